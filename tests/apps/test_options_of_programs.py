"""Command line and worker take the options of the tables, within the same limits."""

import click
import pytest

from geosam import options
from geosam.apps.cli.main import cli
from geosam.apps.cli.options.schema import schema_options
from geosam.apps.worker.parameters import PARAMETERS, ParameterError, arguments, reader_of

#: Tables that each command takes whole.
TAKEN = {
    "segment": (
        options.OPENING,
        options.MODEL,
        options.PROMPTS,
        options.RUN,
        options.RULES,
        options.CACHE,
    ),
    "embed": (options.OPENING, options.MODEL, options.TILING, options.pick(options.CACHE, "cache_size")),
    "info": (options.OPENING,),
    "evaluate": (options.EVALUATION,),
    "preview": (options.OPENING, options.PREVIEW),
    "finetune": (
        options.OPENING,
        options.LEARNING,
        options.pick(options.MODEL, "model", "device", "precision"),
        options.pick(options.CACHE, "cache"),
    ),
}
#: Options of the command line that no table has: inputs, outputs, and prompts written as text.
OWN = {"scene", "output", "store", "polygons", "predicted", "reference", "layer", "help"}
OWN |= {"prompts", "points", "negatives", "boxes", "json", "quiet", "debug"}
EVERY = {option.name: option for table in options.GROUPS.values() for option in table}


@pytest.mark.parametrize("name", TAKEN)
def test_a_command_has_the_options_of_its_tables_and_no_other(name):
    expected = {option.name for table in TAKEN[name] for option in table}
    parameters = {param.name for param in cli.commands[name].params}
    assert expected <= parameters <= expected | OWN


@pytest.mark.parametrize("name", TAKEN)
def test_a_command_has_the_choices_and_limits_of_the_tables_and_shows_their_defaults(name):
    parameters = {param.name: param for param in cli.commands[name].params if isinstance(param, click.Option)}
    for option in (option for table in TAKEN[name] for option in table):
        param = parameters[option.name]
        assert param.is_flag == (option.kind == "flag")
        assert param.default in (None, False) or not isinstance(param.default, (int, float, str)), option.name
        if option.kind == "choice":
            assert tuple(param.type.choices) == option.choices
        if option.kind in {"integer", "number"}:
            assert (param.type.min, param.type.max) == (option.above or option.least or 0, option.most)
        if option.kind != "flag" and option.default is not None:
            assert (
                f"[default: {option.default:g}".replace("e+", "e")
                if not isinstance(option.default, str)
                else f"[default: {option.default}]" in param.help
            )


@click.command()
@schema_options(EVERY.values())
def everything(**values):
    return values


def accepted_by_command(option, text):
    """Return True if the command line takes a text for an option."""
    flag = next(param.opts[0] for param in everything.params if param.name == option.name)
    try:
        everything.main([flag, text], standalone_mode=False)
    except click.UsageError:
        return False
    return True


def accepted_by_worker(option, value):
    """Return True if the worker takes a value for an option."""
    try:
        reader_of(option)(value, "place")
    except ParameterError:
        return False
    return True


NUMERIC = [option for option in EVERY.values() if option.kind in {"integer", "number"}]


@pytest.mark.parametrize("option", NUMERIC, ids=lambda option: option.name)
@pytest.mark.parametrize("value", [-1, 0, 1, 2, 3, 4, 1024, 1025, 0.5, 1.5])
def test_command_line_and_worker_have_the_same_limits(option, value):
    assert accepted_by_command(option, str(value)) == accepted_by_worker(option, value)


@pytest.mark.parametrize("option", [one for one in EVERY.values() if one.choices], ids=lambda option: option.name)
def test_command_line_and_worker_have_the_same_choices(option):
    for choice in (*option.choices, "other"):
        assert accepted_by_command(option, choice) == accepted_by_worker(option, choice) == (choice != "other")


def test_the_worker_takes_every_option_of_a_run_by_its_name_in_the_library():
    run = {"path": "a.tif", "model": {"name": "threshold"}, "out": "o.gpkg"}
    values = {option.target: option.default for option in options.RUN}
    rules = {option.target: option.default for option in options.AUTOMATIC}
    keep = {option.target: 0.5 for option in options.KEEP}
    running = {**values, "automatic": rules, "keep": keep}
    assert arguments("run", {**run, "running": running})["running"] == running
    opening = {option.target: option.default for option in options.OPENING}
    stated = {name: value for name, value in opening.items() if value is not None}
    assert arguments("run", {**run, "options": opening})["options"] == stated
    assert "options" in PARAMETERS
