"""The tables of options say what the library's functions and values say."""

import ast
import dataclasses
import inspect
import json
from pathlib import Path
from typing import get_args

import pytest

import geosam
from geosam import options
from geosam.evaluation.compare import evaluate
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.everything import AutomaticRule
from geosam.objects.shaping import Shaping
from geosam.objects.windows import WindowRule
from geosam.prompts import prompt
from geosam.prompts.draft import GRANULARITIES
from geosam.prompts.layer import read_prompts
from geosam.run.options import RunOptions
from geosam.scene import open_scene
from geosam.segmenters.compute import Backend, Device, Precision
from geosam.segmenters.registry import load_segmenter, registry
from geosam.segmenters.segmenter import KeepRule
from geosam.training.finetune import FineTuneOptions

LIBRARY = Path(geosam.__file__).parent
ALL = [(group, option) for group, table in options.GROUPS.items() for option in table]
NAMES = [f"{group}.{option.name}" for group, option in ALL]
#: Arguments of a call that are no options of it: its inputs and outputs, and what a caller hands in.
INPUTS = {"self", "path", "predicted", "reference", "within", "scene", "polygons_path", "out_png"}


def stated_defaults(taker):
    """Default of every argument or field that has one, and None for those without."""
    if dataclasses.is_dataclass(taker):
        fields = dataclasses.fields(taker)
        return {field.name: None if field.default is dataclasses.MISSING else field.default for field in fields}
    parameters = inspect.signature(taker).parameters.values()
    stated = {one.name: None if one.default is inspect.Parameter.empty else one.default for one in parameters}
    return {name: default for name, default in stated.items() if name not in INPUTS}


@pytest.mark.parametrize(
    ("taker", "table"),
    [
        (open_scene, options.OPENING),
        (Shaping, options.SHAPING),
        (EmbeddingStore.__init__, options.CACHE),
        (FineTuneOptions, options.LEARNING),
        (evaluate, options.pick(options.EVALUATION, "iou", "tolerance_m")),
        (read_prompts, options.pick(options.PROMPTS, "layer", "encoding", "polygons", "prompt_crs")),
    ],
)
def test_a_taker_has_the_options_of_its_table_and_their_defaults(taker, table):
    assert stated_defaults(taker) == options.defaults(table)


@pytest.mark.parametrize(
    ("taker", "table"),
    [
        (load_segmenter, options.pick(options.MODEL, "device", "precision", "backend")),
        (RunOptions, options.RUN),
        (AutomaticRule, options.AUTOMATIC),
        (geosam.preview, options.PREVIEW),
        (geosam.evaluate, options.pick(options.EVALUATION, "layer", "reference_layer")),
        (WindowRule, options.pick(options.TILING, "tile_size", "overlap")),
        (TileGrid.over, options.pick(options.TILING, "tile_size", "overlap")),
    ],
)
def test_a_taker_of_more_agrees_about_the_options_of_its_table(taker, table):
    stated = stated_defaults(taker)
    expected = options.defaults(table)
    assert {name: stated[name] for name in expected} == expected


def test_the_fields_of_a_run_that_are_no_options_are_known():
    assert set(stated_defaults(RunOptions)) - set(options.defaults(options.RUN)) == {"command", "keep", "automatic"}
    assert set(options.defaults(options.KEEP)) <= set(stated_defaults(KeepRule))


def test_choices_are_those_of_the_types_that_the_library_states():
    choices = {option.name: option.choices for _, option in ALL if option.kind == "choice"}
    assert choices["device"] == get_args(Device)
    assert choices["precision"] == get_args(Precision)
    assert choices["backend"] == get_args(Backend)
    assert choices["granularity"] == prompt.GRANULARITIES == GRANULARITIES


def test_the_default_model_is_the_first_of_the_registry():
    assert options.defaults(options.MODEL)["name"] == next(iter(registry))


@pytest.mark.parametrize(("_", "option"), ALL, ids=NAMES)
def test_a_table_contradicts_itself_nowhere(_, option):
    assert (option.kind == "choice") == bool(option.choices)
    assert option.kind != "choice" or option.default == option.choices[0]
    assert option.kind != "flag" or option.default is False
    numeric = option.kind in {"integer", "number", "bytes"}
    assert numeric or (option.least, option.above, option.most) == (None, None, None)
    if numeric and option.default is not None:
        assert option.above is None or option.default > option.above
        assert option.least is None or option.default >= option.least
        assert option.most is None or option.default <= option.most
    assert option.help.endswith(".")
    assert json.loads(json.dumps(option.to_json()))["default"] == option.default


@pytest.mark.parametrize("table", options.GROUPS.values(), ids=options.GROUPS)
def test_no_table_has_a_name_twice(table):
    assert len({option.name for option in table}) == len({option.target for option in table}) == len(table)


def test_values_are_handed_on_by_the_names_of_the_library_and_missing_ones_are_left_out():
    values = {"spacing": 16, "crop_layers": None, "other": 3, "min_region": 0}
    assert options.values_for(options.AUTOMATIC, values) == {"spacing_px": 16, "min_region_px": 0}
    assert options.values_for(options.OUTPUT, {"restart": False}) == {"restart": False}


def written_defaults(node):
    """(name, default) of every argument, option or look-up that a piece of a program gives a default."""
    if isinstance(node, ast.FunctionDef):
        positional = [*node.args.posonlyargs, *node.args.args]
        pairs = zip(positional[::-1], node.args.defaults[::-1], strict=False)
        pairs = [*pairs, *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
        yield from ((argument.arg, default) for argument, default in pairs if default is not None)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".get", ".pop")) and len(node.args) == 2:
        yield getattr(node.args[0], "value", None), node.args[1]


def test_the_programs_repeat_no_default_of_an_option():
    names = {name for _, option in ALL for name in (option.name, option.target)}
    programs = [*(LIBRARY / "apps" / "cli").rglob("*.py"), *(LIBRARY / "apps" / "worker").rglob("*.py")]
    assert len(programs) > 20
    for path in programs:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("option"):
                assert "default" not in {word.arg for word in node.keywords}, (path, node.lineno)
            for name, default in written_defaults(node):
                assert name not in names or ast.unparse(default) in {"None", "False"}, (path, node.lineno)
