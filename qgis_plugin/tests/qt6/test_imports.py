"""Every module of the plugin under the real PyQt6: it can be imported, and Qt has all its names."""

import importlib
from pathlib import Path

import pytest
from dotted import unknown_names

PLUGIN = Path(__file__).parents[2] / "geosam_qgis"
SOURCES = sorted(PLUGIN.rglob("*.py"))
every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PLUGIN).as_posix())


@every_source
def test_a_module_is_imported_under_qt_6(path):
    parts = path.relative_to(PLUGIN.parent).with_suffix("").parts
    assert importlib.import_module(".".join(parts).removesuffix(".__init__")).__doc__


@every_source
def test_every_name_of_qt_exists_in_qt_6(path):
    assert unknown_names(path.read_text(encoding="utf-8"), "qgis.PyQt") == []


def test_the_search_for_unknown_names_bites():
    old = "from qgis.PyQt.QtCore import Qt\nQt.LeftButton\nQt.MouseButton.LeftButton\n"
    assert unknown_names(old, "qgis.PyQt") == ["line 2: qgis.PyQt.QtCore: Qt.LeftButton"]


def test_qt_is_the_real_one():
    from qgis.PyQt.QtCore import QT_VERSION, QProcess

    assert QT_VERSION >= 0x060000
    assert QProcess.__module__ == "PyQt6.QtCore"
