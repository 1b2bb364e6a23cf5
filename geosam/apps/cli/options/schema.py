"""Options of the command line, made from the tables of `geosam.options`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from geosam.apps.cli.options.value_types import BANDS, BOUNDS, CRS_TEXT, SIZE
from geosam.options import MODEL, Option, defaults, values_for

Command: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Command], Command]

#: Flags whose names are shorter than those of the parameters.
_FLAGS: Final = {
    "min_area_m2": "--min-area",
    "fill_holes_m2": "--fill-holes",
    "simplify_m": "--simplify",
    "tolerance_m": "--tolerance",
    "sha256": "--verify",
}


def schema_options(*groups: Iterable[Option], **helps: str) -> Decorator:
    """Add an option for every row of some tables. The command receives the values by the names in the tables.

    A value that the user does not set is None (False for a flag): the library knows its own defaults, and the help
    text shows them.

    Args:
        groups: tables of `geosam.options`.
        **helps: help texts that say more than the table, by name.
    """
    options = [option for group in groups for option in group]

    def decorate(command: Command) -> Command:
        for option in reversed(options):  # click shows the last decorator first
            command = _decorator(option, helps.get(option.name, option.help))(command)
        return command

    return decorate


def model_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `load_segmenter`; the model is the default one unless another one is named."""
    return {"name": defaults(MODEL)["name"], **values_for(MODEL, options)}


def _decorator(option: Option, text: str) -> Decorator:
    flag = _FLAGS.get(option.name, f"--{option.name.replace('_', '-')}")
    if option.kind == "flag":
        # A flag that is not set is False. None would leave the choice to the library.
        return click.option(flag, option.name, is_flag=True, help=text)
    shown = option.absent if option.default is None else _shown(option.default)
    text = f"{text} [default: {shown}]" if shown and "[default" not in text else text
    # Click gets no default: a value that the user did not set must not replace the library's default.
    return click.option(flag, option.name, type=_type_of(option), metavar=option.form or None, help=text)


def _shown(default: Any) -> str:
    """Return a default as a user would type it: 1024, 2e11, auto."""
    return f"{default:g}".replace("e+", "e") if isinstance(default, (int, float)) else str(default)


def _type_of(option: Option) -> click.ParamType[Any]:
    """Return click's type for the values of an option."""
    match option.kind:
        case "choice":
            return click.Choice(option.choices)
        case "integer":
            return click.IntRange(_whole(option.least), _whole(option.most))
        case "number":
            least = option.least if option.above is None else option.above
            return click.FloatRange(least, option.most, min_open=option.above is not None)
        case "folder":
            return click.Path(path_type=Path)
        case _:
            own = {"bounds": BOUNDS, "bands": BANDS, "crs": CRS_TEXT, "bytes": SIZE}
            return own.get(option.kind, click.STRING)


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)
