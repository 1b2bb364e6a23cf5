"""Programs that can make an environment, and their answers."""

import json
import sys

import pytest
from qgis.PyQt.QtCore import QProcessEnvironment

from geosam_qgis.engine.interpreters import OLDEST, TOO_NEW, Candidate, candidates, read_answer

PYTHON = Candidate("/usr/bin/python3")


def answer(version=OLDEST, program="/usr/bin/python3.11", base="/usr", *, is_64_bit=True):
    return json.dumps([list(version), program, base, is_64_bit])


def test_a_python_of_a_supported_version_is_used_under_its_own_path():
    assert read_answer(PYTHON, f"a warning\n{answer()}") == (Candidate("/usr/bin/python3.11"), "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (answer((3, 10)), "Python 3.10"),
        (answer(TOO_NEW), "Python {}.{}".format(*TOO_NEW)),
        (answer((2, 7)), "Python 2.7"),
        (answer(is_64_bit=False), "Python 3.11, 32 bit"),
        ("No module named ensurepip", "No module named ensurepip"),
        ("", "?"),
    ],
)
def test_an_unusable_python_has_a_reason(text, reason):
    assert read_answer(PYTHON, text) == (None, reason)


def test_the_python_of_qgis_is_never_used_on_windows_and_macos(monkeypatch):
    for platform in ("win32", "darwin"):
        monkeypatch.setattr("geosam_qgis.engine.interpreters.sys.platform", platform)
        assert read_answer(PYTHON, answer(base=sys.base_prefix)) == (None, "QGIS")
        assert read_answer(PYTHON, answer(base="/elsewhere"))[0] is not None


def test_uv_needs_no_answer():
    uv = Candidate("/home/user/.local/bin/uv")
    assert uv.is_uv
    assert uv.question == ("/home/user/.local/bin/uv", "--version")
    assert read_answer(uv, "anything") == (uv, "")


def test_the_launcher_of_windows_gets_a_version():
    launcher = Candidate("C:\\Windows\\py.exe", ("-3.13",))
    assert launcher.question[:3] == ("C:\\Windows\\py.exe", "-3.13", "-c")


def test_a_path_of_the_user_is_the_only_candidate(qgis_app):
    assert list(candidates("/opt/python", QProcessEnvironment())) == [Candidate("/opt/python")]
