"""Sentences for the end of a worker: the reason, and a remedy in QGIS."""

import signal

import pytest

from geosam_qgis import protocol
from geosam_qgis.engine.exit_messages import explain, explain_versions
from geosam_qgis.engine.process import Ending

REMEDY = "Press Diagnose to install a worker, or to choose another one."


def test_a_program_that_cannot_be_started_is_named_with_the_reason_of_the_system():
    text = explain(Ending("start", 0, "No such file or directory", ""), "/opt/geosam")
    assert text == f"The worker /opt/geosam could not be started: No such file or directory. {REMEDY}"


def test_a_program_that_sends_no_message_is_named_with_the_violation():
    text = explain(Ending("protocol", 0, "no JSON", ""), "/bin/echo")
    assert text == f"/bin/echo does not answer like a geosam worker: no JSON. {REMEDY}"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_names_its_signal_and_the_place_of_the_output(name):
    number = int(signal.Signals[name])
    text = explain(Ending("crash", number, "", "Fatal Python error"), "geosam")
    assert f"(signal {number} {name})" in text
    assert "message log" in text
    assert "memory" not in text


def test_a_kill_by_the_system_names_memory_as_the_likely_reason():
    text = explain(Ending("crash", int(signal.SIGKILL), "", ""), "geosam")
    assert "signal 9 SIGKILL; the system sends it when memory runs out" in text


def test_a_signal_without_a_name_is_shown_by_its_number():
    assert "(signal 4711)" in explain(Ending("crash", 4711, "", ""), "geosam")


def test_a_crash_on_windows_shows_the_status_as_windows_writes_it(monkeypatch):
    monkeypatch.setattr("geosam_qgis.engine.exit_messages.sys.platform", "win32")
    assert "(0xC0000005)" in explain(Ending("crash", -1073741819, "", ""), "geosam.exe")


def test_the_last_failed_import_is_named_with_the_program_and_the_remedy():
    printed = "ImportError: first\nTraceback\nModuleNotFoundError: No module named 'torch'.\n"
    text = explain(Ending("exit", 1, "", printed), "/env/bin/geosam")
    expected = (
        "An import failed in the worker's environment (/env/bin/geosam): ModuleNotFoundError: No module named 'torch'."
    )
    assert text == f"{expected} {REMEDY}"


def test_a_geosam_without_the_command_is_too_old():
    text = explain(Ending("exit", 2, "", "Error: No such command 'worker'."), "geosam")
    assert text == "geosam is too old for this plugin: it has no worker. Update the package geosam-toolkit."


def test_another_end_shows_the_exit_code_and_the_last_line():
    text = explain(Ending("exit", 3, "", "one\n\n  the last line  \n\n"), "geosam")
    assert text == "The worker ended with exit code 3. Its last message: the last line"


def test_a_very_long_line_is_cut():
    text = explain(Ending("exit", 3, "", "x" * 10_000), "geosam")
    assert text.count("x") < 400


def test_an_end_without_output_has_the_remedy():
    assert explain(Ending("exit", 3, "", ""), "geosam") == f"The worker ended with exit code 3. {REMEDY}"


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (protocol.VERSION + 1, "Update the plugin."),
        (0, "the package geosam-toolkit"),
        (None, "the package geosam-toolkit"),
    ],
)
def test_the_older_of_worker_and_plugin_is_to_be_updated(version, remedy):
    text = explain_versions(version, "geosam")
    assert f"uses protocol {version}, this plugin uses protocol {protocol.VERSION}" in text
    assert remedy in text
