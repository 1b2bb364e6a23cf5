"""The search for a worker, and the files that are one."""

import sys

import pytest
from qgis.core import QgsApplication

from geosam_qgis.engine import locations
from geosam_qgis.engine.locations import WorkerCommand, command_of, environments, find_worker, search_order
from geosam_qgis.settings import Settings


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(path)`: an executable file there; no other worker exists."""
    monkeypatch.delenv("GEOSAM_WORKER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(locations, "tool_folders", lambda: [tmp_path / "tools"])
    monkeypatch.setattr(QgsApplication, "qgisSettingsDirPath", staticmethod(lambda: f"{tmp_path}/profile/"))

    def make(path):
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
        return str(place)

    return make


def test_the_order_is_setting_variable_own_environment_tools_path(program, monkeypatch):
    assert find_worker() is None
    expected = [program("path/geosam")]
    assert find_worker().program == expected[-1]
    expected.append(program("tools/geosam"))
    assert find_worker().program == expected[-1]
    expected.append(program("profile/geosam/env-3/bin/geosam"))
    (environments() / "current").write_text("env-3")
    assert find_worker().program == expected[-1]
    expected.append(program("é somewhere/geosam"))
    monkeypatch.setenv("GEOSAM_WORKER", expected[-1])
    assert find_worker().program == expected[-1]
    expected.append(program("set/geosam"))
    Settings().worker = expected[-1]
    assert find_worker().program == expected[-1]
    assert [look.command.program for look in search_order(Settings())] == expected[::-1]
    assert next(look.source for look in search_order(Settings())) == "setting"


def test_no_other_worker_replaces_the_one_that_the_user_names(program, monkeypatch):
    program("path/geosam")
    Settings().worker = "/no/such/geosam"
    assert find_worker() is None
    Settings().worker = ""
    monkeypatch.setenv("GEOSAM_WORKER", "/no/such/geosam")
    assert find_worker() is None


def test_a_program_an_interpreter_and_folders_are_understood(program, tmp_path):
    geosam, python = program("env/bin/geosam"), program("env/bin/python3.12")
    assert command_of(geosam, "x") == WorkerCommand(geosam, ("worker",), "x")
    assert command_of(python, "x") == WorkerCommand(python, ("-m", "geosam", "worker"), "x")
    assert command_of(str(tmp_path / "env"), "x").program == geosam
    assert command_of(str(tmp_path / "env" / "bin"), "x").program == geosam
    only = program("other/bin/python")
    assert command_of(str(tmp_path / "other"), "x") == WorkerCommand(only, ("-m", "geosam", "worker"), "x")


def test_what_cannot_be_run_is_no_worker(program, tmp_path):
    place = tmp_path / "geosam"
    place.write_text("")
    assert command_of(str(place), "x") is None
    assert command_of(str(tmp_path / "nothing"), "x") is None
    (tmp_path / "empty").mkdir()
    assert command_of(str(tmp_path / "empty"), "x") is None


def test_a_note_that_points_outside_is_not_followed(program, tmp_path):
    program("outside/bin/geosam")
    environments().mkdir(parents=True)
    (environments() / "current").write_text("../../outside")
    assert find_worker() is None


def test_the_interpreter_of_qgis_is_never_a_worker(program):
    assert sys.executable not in [look.path for look in search_order(Settings())]
