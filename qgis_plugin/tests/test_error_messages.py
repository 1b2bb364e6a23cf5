"""Errors of the worker in the words of the plugin: no parameter of Python, no option of the command line."""

import ast
import re
from pathlib import Path

import pytest

import translations
from geosam_qgis.engine import error_messages
from geosam_qgis.engine.error_messages import error_message, plain_text

LIBRARY = Path(__file__).parents[2] / "geosam"
#: Parts of the library that the worker does not use: other programs, and the door for Python.
UNREACHABLE = (
    *("training", "apps/cli", "apps/demo", "api", "run/arguments", "run/inputs", "run/result"),
    *("objects/click_session", "prompts/sources", "vector/frame"),
)
#: Errors of arguments that only Python has: no file and no draft contains them.
PYTHON_ONLY = {"labels-do-not-fit", "points-not-pairs", "prompt-without-crs"}
PYTHON_OR_OPTION = re.compile(r"`|(?<![\w-])--[a-z]|=(True|False|None)\b|\b[a-z]+_[a-z_]+\b")
#: Names with an underscore that users see in QGIS: models and fields of layers.
SEEN = re.compile(r"\b(geosam_lite|object_id|sam\w*|regions|mobile_sam)\b")


def text_of(node):
    """The text of a literal, with `7` for every value in it; empty for anything else."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(piece.value if isinstance(piece, ast.Constant) else "7" for piece in node.values)
    return ""


def errors():
    """(code, message, remedy, names of values) of every error of the library that has a code."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.relative_to(LIBRARY).as_posix().startswith(UNREACHABLE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                words = {word.arg: word.value for word in node.keywords}
                code = words.get("code")
                if (
                    isinstance(code, ast.Constant)
                    and isinstance(code.value, str)
                    and code.value not in {"", *PYTHON_ONLY}
                ):
                    message = " ".join(filter(None, map(text_of, node.args)))
                    names = set(words) - {"code", "remedy", None}
                    yield code.value, message, text_of(words.get("remedy")), names


ERRORS = sorted({code: (message, remedy, names) for code, message, remedy, names in errors()}.items())


def shown(code, message, remedy, values):
    data = {"type": "UsageError", "exit_code": 2, "code": code, "remedy": remedy, "values": values}
    return error_message(f"{message} {remedy}".strip(), data)


@pytest.mark.parametrize(("code", "error"), ERRORS, ids=[code for code, _ in ERRORS])
def test_no_error_with_a_code_shows_a_parameter_or_an_option(code, error):
    message, remedy, names = error
    text = shown(code, message, remedy, dict.fromkeys(names, 7))
    assert text
    assert not PYTHON_OR_OPTION.search(SEEN.sub("", text)), text


def test_no_text_of_the_plugin_shows_a_parameter_or_an_option():
    texts = [re.sub(r"\{[^}]*\}", "7", SEEN.sub("", text)) for text in translations.texts()]
    assert len(texts) > 200
    assert [text for text in texts if PYTHON_OR_OPTION.search(text)] == []


def test_there_are_errors_with_codes():
    assert len(ERRORS) > 20


def test_a_remedy_of_the_plugin_takes_the_place_of_the_worker_s():
    message = "the layer has no CRS: roofs.shp: found coordinates only, expected a declared CRS."
    text = shown("prompts-without-crs", message, "Give the CRS of the prompts, `prompt_crs`.", {"place": "roofs.shp"})
    assert text == f"{message} Set the CRS of the prompt layer in its properties."


def test_the_worker_s_remedy_remains_where_the_plugin_has_none():
    assert shown("novel", "`overlap` is 7.", "Choose `tile_size=512`.", {}) == (
        "“Overlap of tiles” is 7. Choose “Tile size” = 512."
    )


@pytest.mark.parametrize("data", [None, {}, {"code": 7}, {"code": "disk-full"}, {"code": "disk-full", "values": []}])
def test_a_worker_of_another_version_may_send_less(data):
    assert error_message("The disk is full. Use --overwrite.", data) == "The disk is full. Use “Replace the file”."


def test_values_that_do_not_fit_a_remedy_leave_the_worker_s(monkeypatch):
    monkeypatch.setattr(error_messages, "_remedies", lambda: {"novel": "Free {megabytes} MB."})
    assert shown("novel", "Full.", "Free some space.", {"megabytes": 5}) == "Full. Free 5 MB."
    assert shown("novel", "Full.", "Free some space.", {"other": 5}) == "Full. Free some space."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Use `overwrite=True`.", "Use “Replace the file”."),
        ('Give `crs="EPSG:32633"`.', "Give “CRS of the raster layer” = EPSG:32633."),
        ("Use --tile-size 512.", "Use “Tile size” 512."),
        ("Raise `cache_size`.", "Raise “cache size”."),
        ("Run `geosam models` for the list.", "Run “geosam models” for the list."),
        ("a-b --- c 7 -- 8", "a-b --- c 7 -- 8"),
    ],
)
def test_names_of_parameters_become_names_of_fields(text, expected):
    assert plain_text(text) == expected


def test_the_plugin_has_remedies_for_codes_of_the_library_only():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LIBRARY.rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    codes = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    codes |= {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() for name in classes}  # an error without a code
    assert set(error_messages._remedies()) - codes == set()
