"""The words of the command line: parameters of the library become options.

The library names its parameters in backticks, as in "Use `overwrite=True`." The command line says "Use --overwrite."
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from geosam.options import GROUPS

if TYPE_CHECKING:
    from geosam.errors import GeosamError

#: A parameter in backticks, perhaps with a value. Other words in backticks (`gdalwarp -tps`) stay as they are.
_PARAMETER: Final = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")

#: Option by the name of the field that it sets, where the two names differ and the field's name is unambiguous.
_FIELDS: Final = {
    option.field: option.name for group in GROUPS.values() for option in group if option.field not in ("", "name")
}

#: Remedies by the code of an error, where the command line has a better one than the library. Fields in braces are
#: values of the error.
REMEDIES: Mapping[str, str] = {
    "prompts-without-crs": "Give their CRS, for example --prompt-crs EPSG:4326 for longitude and latitude.",
    "prompt-crs-mismatch": "Give the CRS that the coordinates are in, --prompt-crs.",
    "scene-crs-unknown": "Give a code, for example --crs EPSG:32633.",
    "out-of-memory-at-task": "Use fewer --workers or a smaller --tile-size. The same command continues from there.",
    "worker-died-twice": "Use fewer --workers or a smaller --tile-size. The same command continues from there.",
}


class Wording:
    """Translator of the library's texts: parameters become options of the command.

    Args:
        root: the command, with its sub-commands.
        running: the sub-command that runs; its options come first where several commands know a parameter.
    """

    def __init__(self, root: click.Command, running: click.Command | None = None) -> None:
        self._parameters: dict[str, click.Parameter] = {}
        # The running command first: `polygons` is an option of one command and an argument of another.
        for command in (*([] if running is None else [running]), *_commands(root)):
            for parameter in command.params:
                for name in _names(parameter):
                    self._parameters.setdefault(name, parameter)
        # Fields last: `crs` is a field of prompts, too, but the name of the scene's option.
        for name, option in _FIELDS.items():
            if option in self._parameters:
                self._parameters.setdefault(name, self._parameters[option])

    def text(self, text: str) -> str:
        """Replace every parameter in backticks by the option that sets it."""
        return _PARAMETER.sub(self._option, text)

    def error(self, error: GeosamError) -> str:
        """Return the message of an error, with the remedy that fits the command line."""
        if error.code not in REMEDIES:
            return self.text(str(error))
        return f"{self.text(error.message)} {REMEDIES[error.code].format_map(error.values)}"

    def _option(self, match: re.Match[str]) -> str:
        name, value = match.groups()
        parameter = self._parameters.get(name)
        if parameter is None:
            return match[0]
        if isinstance(parameter, click.Argument):
            return parameter.human_readable_name
        return _with_value(parameter, value)


def _commands(root: click.Command) -> Iterator[click.Command]:
    """Yield the command and all commands below it."""
    yield root
    if isinstance(root, click.Group):
        for command in root.commands.values():
            yield from _commands(command)


def _names(parameter: click.Parameter) -> Iterator[str]:
    """Yield the names under which the library may know an option: its own, and those of its flags."""
    yield str(parameter.name)
    for flag in parameter.opts:
        yield flag.lstrip("-").replace("-", "_")


def _with_value(option: click.Parameter, value: str | None) -> str:
    """Return an option with its value, as a user writes it."""
    flag = max(option.opts, key=len)  # --output, not -o
    if not value:
        return flag
    try:
        literal: Any = ast.literal_eval(value)
    except (ValueError, SyntaxError):  # the value is words: `window=xmin,ymin,xmax,ymax`
        return f"{flag} {value}"
    if literal is None or literal is False:
        return f"no {flag}"
    if literal is True:
        return flag
    parts = literal if isinstance(literal, (list, tuple)) else [literal]
    return f"{flag} {shlex.quote(','.join(map(str, parts)))}"
