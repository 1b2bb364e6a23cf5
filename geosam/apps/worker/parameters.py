"""Parameters of every method, checked before the task of the request waits for its lane.

A reader takes a value and its place in the message, and returns the value as the method uses it.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from geosam import options
from geosam.apps.worker.protocol import MAX_ID
from geosam.prompts.draft import Draft, DraftError

if TYPE_CHECKING:
    from geosam.options import Option

Reader = Callable[[Any, str], Any]


class ParameterError(ValueError):
    """A parameter is missing, unknown, or not as expected; the message names it."""


def _unexpected(place: str, value: Any, expected: str) -> ParameterError:
    return ParameterError(f"{place}: found {reprlib.repr(value)}, expected {expected}")


def _within(kind: str, limits: Mapping[str, float | None]) -> str:
    """Return the name of a kind of numbers with its limits: "a number, at least 0, at most 1"."""
    return ", ".join([kind, *(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)])


def _is_text(value: Any, encode: Callable[[str], bytes]) -> bool:
    """Return True if a value is a text, not empty, without NUL, of characters that `encode` accepts."""
    try:
        return isinstance(value, str) and bool(encode(value)) and "\0" not in value
    except UnicodeError:
        return False


def text(value: Any, place: str) -> str:
    """Read a text that is not empty, of Unicode characters other than NUL."""
    if not _is_text(value, str.encode):
        raise _unexpected(place, value, "a text")
    return str(value)


def path(value: Any, place: str) -> str:
    """Read the name of a file, which need not be Unicode."""
    if not _is_text(value, os.fsencode):
        raise _unexpected(place, value, "the name of a file")
    return str(value)


def flag(value: Any, place: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise _unexpected(place, value, "true or false")
    return value


def integer(least: float | None = None, most: float | None = None) -> Reader:
    """Return a reader of whole numbers within limits."""
    expected = _within("a whole number", {"at least": least, "at most": most})

    def read(value: Any, place: str) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)  # in Python, True is an integer
        if not whole or (least is not None and value < least) or (most is not None and value > most):
            raise _unexpected(place, value, expected)
        return int(value)

    return read


def number(above: float | None = None, least: float | None = None, most: float | None = None) -> Reader:
    """Return a reader of finite numbers within limits."""
    expected = _within("a number", {"above": above, "at least": least, "at most": most})

    def read(value: Any, place: str) -> float:
        try:
            real = math.nan if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
        except OverflowError:
            real = math.inf
        if not math.isfinite(real):
            raise _unexpected(place, value, "a finite number")
        if (above is not None and real <= above) or (least is not None and real < least):
            raise _unexpected(place, value, expected)
        if most is not None and real > most:
            raise _unexpected(place, value, expected)
        return real

    return read


def bounds(value: Any, place: str) -> tuple[float, float, float, float]:
    """Read map bounds (xmin, ymin, xmax, ymax) that enclose an area."""
    read = number()
    corners = [read(item, place) for item in value] if isinstance(value, list) and len(value) == 4 else [0.0] * 4
    xmin, ymin, xmax, ymax = corners
    if xmin >= xmax or ymin >= ymax:
        raise _unexpected(place, value, "[xmin, ymin, xmax, ymax] with xmin < xmax and ymin < ymax")
    return xmin, ymin, xmax, ymax


def one_of(*values: str) -> Reader:
    """Return a reader of a text that is one of `values`."""

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in values:
            raise _unexpected(place, value, f"one of {', '.join(values)}")
        return value

    return read


def list_of(reader: Reader) -> Reader:
    """Return a reader of arrays of values that `reader` reads."""

    def read(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise _unexpected(place, value, "an array")
        return [reader(item, f"{place}[{index}]") for index, item in enumerate(value)]

    return read


def record(required: Mapping[str, Reader], optional: Mapping[str, Reader]) -> Reader:
    """Return a reader of objects. An optional value that is null counts as missing."""
    readers = {**required, **optional}

    def read(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _unexpected(place, value, "an object")
        items = {name: item for name, item in value.items() if item is not None or name not in optional}
        for name in (*(name for name in required if name not in items), *items):
            if name not in readers:
                raise ParameterError(f"{place}: {name[:50]!r} is none of {', '.join(readers)}")
            if name not in items:
                raise ParameterError(f"{place}.{name}: missing")
        return {name: readers[name](item, f"{place}.{name}") for name, item in items.items()}

    return read


def draft(value: Any, place: str) -> Draft:
    """Read the draft of an object."""
    try:
        checked = Draft.from_json(value)
    except DraftError as error:
        raise ParameterError(f"{place}: {error}") from None
    text(checked.crs, f"{place}.crs")
    return checked


def identifier(value: Any, place: str) -> int | str:
    """Read a whole number of 64 bits, or a text."""
    if isinstance(value, str):
        return text(value, place)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _unexpected(place, value, "a text or a whole number of 64 bits")
    return value


def attributes(value: Any, place: str) -> dict[str, Any]:
    """Read texts, numbers, true, false or null, by name."""
    if not isinstance(value, dict):
        raise _unexpected(place, value, "an object")
    for name, item in value.items():
        where = f"{place}.{text(name, place)}"
        if isinstance(item, float):
            number()(item, where)
        elif item and not isinstance(item, bool):
            identifier(item, where)
    return value


def reader_of(option: Option) -> Reader:
    """Return the reader of an option's values."""
    match option.kind:
        case "choice":
            return one_of(*option.choices)
        case "integer" | "bytes":
            return integer(option.least, option.most)
        case "number":
            return number(option.above, option.least, option.most)
        case _:
            return _READERS[option.kind]


_READERS: Mapping[str, Reader] = {
    "text": text,
    "crs": text,
    "flag": flag,
    "bands": list_of(integer(1)),
    "bounds": bounds,
    "file": path,
    "folder": path,
}


def _optional(options: Iterable[Option]) -> dict[str, Reader]:
    """Return readers of options, by their names in the library."""
    return {option.target: reader_of(option) for option in options}


_COMPUTING = {name: read for name, read in _optional(options.MODEL).items() if name != "name"}

model = record({"name": path}, _COMPUTING)
"""Reader of the arguments of `load_segmenter`."""

_opening = record({}, _optional(options.OPENING))

_running = record(
    {},
    {
        **_optional(options.RUN),
        "keep": record({}, _optional(options.KEEP)),
        "automatic": record({}, _optional(options.AUTOMATIC)),
    },
)

_prompting = record({}, _optional(options.PROMPTS))

_evaluating = record({}, _optional(options.EVALUATION))

_shaping = _optional(options.pick(options.SHAPING, "simplify_m", "fill_holes_m2"))

_prompted = record({"id": identifier, "draft": draft}, {"attributes": attributes})


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise _unexpected(place, value, f"a text of at most {MAX_ID} characters")
    return value


def _request_id(value: Any, place: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _unexpected(place, value, "the id of a request")
    return value


#: Optional parameters of every method.
COMMON: Mapping[str, Reader] = {"client": _name, "stream": _name}

#: Parameters of each method: required ones, optional ones.
PARAMETERS: Mapping[str, tuple[Mapping[str, Reader], Mapping[str, Reader]]] = {
    "initialize": ({"protocol": integer()}, {"model": model}),
    "open": ({"path": path}, {"options": _opening}),
    "close": ({"scene": text}, {}),
    "segment": (
        {"scene": text, "model": model, "draft": draft},
        {"look": one_of("known", "window", "whole"), **_shaping},
    ),
    "prefetch": ({"scene": text, "model": model, "bounds": bounds, "crs": text}, {}),
    "run": (
        {"path": path, "model": model, "out": path},
        {
            "options": _opening,
            "prompts": path,
            "prompting": _prompting,
            "window": bounds,
            "running": _running,
            "cache": path,
            "send_objects": flag,
        },
    ),
    "evaluate": ({"predicted": path, "reference": path}, {"options": _evaluating}),
    "save_prompts": ({"path": path, "objects": list_of(_prompted)}, {"overwrite": flag}),
    "cancel": ({"id": _request_id}, {}),
    "options": ({}, {}),
    "status": ({}, {}),
    "shutdown": ({}, {}),
}


def arguments(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked parameters of a method.

    Raises:
        ParameterError: a parameter is missing, unknown or wrong; the message names it.
    """
    required, optional = PARAMETERS[method]
    checked: dict[str, Any] = record(required, {**optional, **COMMON})(params, "params")
    return checked
