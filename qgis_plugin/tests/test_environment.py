"""Environment variables of the worker."""

from pathlib import Path

import pytest
from qgis.PyQt.QtCore import QProcessEnvironment

from geosam_qgis.engine.environment import DROPPED, _home_of_qgis, proxy_variables, worker_environment


@pytest.mark.parametrize("name", DROPPED)
def test_what_qgis_has_set_for_itself_is_dropped(name):
    system = QProcessEnvironment()
    system.insert(name, "/opt/qgis")
    assert not worker_environment(system).contains(name)
    assert system.contains(name)


def test_everything_else_is_kept_and_answers_leave_at_once():
    system = QProcessEnvironment()
    kept = {
        "HTTPS_PROXY": "http://p:1",
        "no_proxy": "x",
        "HOME": "/home/ann",
        "CUDA_VISIBLE_DEVICES": "1",
        "PATH": "/bin",
    }
    for name, value in kept.items():
        system.insert(name, value)
    child = worker_environment(system)
    assert {name: child.value(name) for name in child.keys()} == {  # noqa: SIM118 - no mapping
        **kept,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",
    }


def test_without_a_proxy_in_qgis_none_is_handed_on():
    assert proxy_variables() == {}


def test_folders_of_qgis_leave_the_path_where_qgis_brings_everything_along():
    system = QProcessEnvironment()
    system.insert("OSGEO4W_ROOT", "/Q")
    system.insert("PATH", "/Q/bin:/Q/apps/Qt5/bin:/usr/bin:/Qother/bin")
    assert worker_environment(system).value("PATH") == "/usr/bin:/Qother/bin"
    assert _home_of_qgis("", Path("/Applications/QGIS.app/Contents/MacOS")) == Path("/Applications/QGIS.app")
    assert _home_of_qgis("", Path("/usr")) is None
