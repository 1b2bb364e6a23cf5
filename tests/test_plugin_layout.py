"""Guards of the QGIS plugin that need no QGIS: rooms, copied modules, the oldest Python, imports, lengths."""

import ast
import configparser
import shutil
import sys
from pathlib import Path

import house
import pytest

import geosam

REPOSITORY = Path(geosam.__file__).parents[1]
PLUGIN = REPOSITORY / "qgis_plugin" / "geosam_qgis"
SOURCES = sorted(PLUGIN.rglob("*.py"))
COPIES = {"geosam/apps/worker/protocol.py": "protocol.py", "geosam/prompts/draft.py": "draft.py"}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40

#: What QGIS 3.22 brings on every platform.
PYTHON = (3, 9)
ALLOWED = (set(sys.stdlib_module_names) | {"qgis", "geosam_qgis"}) - {"subprocess", "pickle", "marshal", "shelve"}

#: Where waiting is right: when QGIS has ended its loop, nobody looks any more.
MAY_WAIT = {"engine/process.py", "engine/install_steps.py"}

every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PLUGIN).as_posix())


def parsed(path):
    """The syntax tree, if it is one to the oldest Python that QGIS brings along."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=PYTHON)


def foreign(tree):
    """The modules that are imported but neither the plugin's own, nor QGIS's, nor allowed of the standard library."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        yield from (name for name in names if name.split(".")[0] not in ALLOWED)


def banned(tree):
    """What must not be written, with the reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield "assert: is left out by python -O, and refused by the repository of plugins"
        if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body):
            yield "except ...: pass: hides what went wrong, and is refused by the repository of plugins"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield "except: takes KeyboardInterrupt, too"
        if isinstance(node, ast.Attribute) and node.attr.startswith("waitFor"):
            yield f"{node.attr}: blocks the interface"
        if isinstance(node, ast.Attribute) and node.attr == "exec_":
            yield "exec_: gone in Qt 6; exec() is there in both"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield "print: QGIS has no standard output on Windows"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tr" and not is_text(node.args):
            yield f"{ast.unparse(node)}: what is to be translated has to be one literal text"


def is_text(arguments):
    return len(arguments) == 1 and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str)


def body_lines(function):
    """Lines from `def` to the end, without the docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


@pytest.mark.parametrize("source", COPIES)
def test_the_plugin_has_a_byte_copy_of_what_it_shares_with_the_library(source):
    """If this fails: `make plugin-copies`."""
    assert (PLUGIN / COPIES[source]).read_bytes() == (REPOSITORY / source).read_bytes()


def test_the_plugin_has_the_version_of_the_library():
    metadata = configparser.ConfigParser()
    metadata.read_string((PLUGIN / "metadata.txt").read_text(encoding="utf-8"))
    assert metadata["general"]["version"] == geosam.__version__


def test_every_room_names_its_modules_and_no_import_goes_upward():
    assert [fault for fault in house.room_faults() if fault.startswith("qgis_plugin/")] == []


@pytest.mark.parametrize(
    ("place", "line", "fault"),
    [
        ("engine/client.py", "from geosam_qgis.jobs.sources import source_of", "imports `jobs` from above"),
        ("processing/inputs.py", "import geosam_qgis.tool.dock", "imports `tool` from above"),
        ("jobs/sources.py", "def f():\n    from geosam_qgis.jobs import layer_run", "imports `layer_run` from above"),
        ("engine/novel.py", "", "`novel` is not named"),
    ],
)
def test_the_guard_against_imports_from_above_bites(tmp_path, monkeypatch, place, line, fault):
    copy = tmp_path / "qgis_plugin" / "geosam_qgis"
    shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / place).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    for name, folder in {"REPOSITORY": tmp_path, "LIBRARY": tmp_path / "geosam", "PLUGIN": copy}.items():
        monkeypatch.setattr(house, name, folder)
    (found,) = house.room_faults()
    assert found.startswith("qgis_plugin/geosam_qgis/")
    assert fault in found


def test_no_class_of_the_plugin_has_the_name_of_another():
    assert {name: homes for name, homes in house.clashes().items() if "qgis_plugin" in str(homes)} == {}


@every_source
def test_every_module_is_python_3_9_and_explains_itself(path):
    assert ast.get_docstring(parsed(path))


@every_source
def test_annotations_are_never_evaluated(path):
    """`X | None` in an annotation is no error in Python 3.9 only so."""
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(parsed(path)))
    assert not annotated or "from __future__ import annotations" in path.read_text(encoding="utf-8")


@every_source
def test_only_the_standard_library_and_qgis_are_imported(path):
    assert list(foreign(parsed(path))) == []


@every_source
def test_nothing_banned_is_written(path):
    may_wait = path.relative_to(PLUGIN).as_posix() in MAY_WAIT
    assert [what for what in banned(parsed(path)) if not (may_wait and what.startswith("waitFor"))] == []


def test_modules_and_functions_are_short():
    long = {}
    for path in SOURCES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_MODULE_LINES:
            long[str(path)] = lines
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef) and body_lines(node) > MAX_FUNCTION_LINES:
                long[f"{path}:{node.name}"] = body_lines(node)
    assert long == {}


@pytest.mark.parametrize(
    "line", ["import PyQt5", "from PyQt6.QtCore import Qt", "import numpy as np", "import subprocess"]
)
def test_the_guard_against_foreign_modules_bites(line):
    assert list(foreign(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "assert x",
        "try:\n    f()\nexcept ValueError:\n    pass",
        "try:\n    f()\nexcept:\n    g()",
        "process.waitForFinished(10)",
        "dialog.exec_()",
        "print(1)",
        "tr(f'{count} objects')",
        "tr('a' + name)",
    ],
)
def test_the_guard_against_banned_lines_bites(line):
    assert list(banned(ast.parse(line)))


def test_the_guard_against_newer_syntax_bites(tmp_path):
    newer = tmp_path / "newer.py"
    newer.write_text("match x:\n    case 1:\n        pass\n")
    with pytest.raises(SyntaxError):
        parsed(newer)
