"""What each method takes: parameters are checked before anything is imported or waits for them.

A reader takes a value and the place it stands at, and returns the value as the method wants it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from geosam.apps.worker.protocol import MAX_ID
from geosam.prompts.draft import GRANULARITIES, Draft, DraftError

Reader = Callable[[Any, str], Any]


class ParameterError(ValueError):
    """A parameter is missing, unknown, or not what is wanted; the message names it."""


def text(value: Any, place: str) -> str:
    """A text that is not empty, of Unicode characters other than NUL."""
    try:
        wanted = isinstance(value, str) and value.encode() and "\0" not in value
    except UnicodeError:
        wanted = False
    if not wanted:
        raise ParameterError(f"{place}: a text wanted")
    return str(value)


def path(value: Any, place: str) -> str:
    """A text that can name a file, which need not be Unicode."""
    try:
        wanted = isinstance(value, str) and os.fsencode(value) and "\0" not in value
    except UnicodeError:
        wanted = False
    if not wanted:
        raise ParameterError(f"{place}: the name of a file wanted")
    return str(value)


def flag(value: Any, place: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ParameterError(f"{place}: true or false wanted")
    return value


def integer(at_least: int | None = None, at_most: int | None = None) -> Reader:
    """A reader of whole numbers within limits."""

    def read(value: Any, place: str) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        low = at_least is not None and whole and value < at_least
        high = at_most is not None and whole and value > at_most
        if not whole or low or high:
            limits = [f"at least {at_least}"] * (at_least is not None) + [f"at most {at_most}"] * (at_most is not None)
            raise ParameterError(f"{place}: {', '.join(['a whole number', *limits])} wanted")
        return int(value)

    return read


def number(value: Any, place: str) -> float:
    """A finite number."""
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ParameterError(f"{place}: a finite number wanted")
    return found


def not_negative(value: Any, place: str) -> float:
    """A finite number of at least 0."""
    if (found := number(value, place)) < 0:
        raise ParameterError(f"{place}: a number of at least 0 wanted")
    return found


def positive(value: Any, place: str) -> float:
    """A finite number above 0."""
    if (found := number(value, place)) <= 0:
        raise ParameterError(f"{place}: a number above 0 wanted")
    return found


def share(value: Any, place: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= (found := number(value, place)) <= 1:
        raise ParameterError(f"{place}: a number from 0 to 1 wanted")
    return found


def bounds(value: Any, place: str) -> tuple[float, float, float, float]:
    """Map bounds (xmin, ymin, xmax, ymax) that enclose an area."""
    found = [number(item, place) for item in value] if isinstance(value, list) and len(value) == 4 else [0.0] * 4
    xmin, ymin, xmax, ymax = found
    if xmin >= xmax or ymin >= ymax:
        raise ParameterError(f"{place}: [xmin, ymin, xmax, ymax] with xmin < xmax and ymin < ymax wanted")
    return xmin, ymin, xmax, ymax


def one_of(*values: str) -> Reader:
    """A reader of one of some texts."""

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in values:
            raise ParameterError(f"{place}: one of {', '.join(values)} wanted")
        return value

    return read


def list_of(reader: Reader) -> Reader:
    """A reader of arrays."""

    def read(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise ParameterError(f"{place}: an array wanted")
        return [reader(item, f"{place}[{index}]") for index, item in enumerate(value)]

    return read


def record(required: Mapping[str, Reader], optional: Mapping[str, Reader]) -> Reader:
    """A reader of objects: what was given, by name; null stands for something optional that was not."""

    def read(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ParameterError(f"{place}: an object wanted")
        given = {name: item for name, item in value.items() if item is not None or name not in optional}
        for name in (*(name for name in required if name not in given), *given):
            if name not in required and name not in optional:
                raise ParameterError(f"{place}: {name[:50]!r} is none of {', '.join([*required, *optional])}")
            if name not in given:
                raise ParameterError(f"{place}.{name}: missing")
        return {name: {**required, **optional}[name](item, f"{place}.{name}") for name, item in given.items()}

    return read


def draft(value: Any, place: str) -> Draft:
    """What a user has said about an object."""
    try:
        found = Draft.from_json(value)
    except DraftError as error:
        raise ParameterError(f"{place}: {error}") from None
    text(found.crs, f"{place}.crs")
    return found


def identifier(value: Any, place: str) -> int | str:
    """A whole number of 64 bits, or a text."""
    if isinstance(value, str):
        return text(value, place)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ParameterError(f"{place}: a text or a whole number of 64 bits wanted")
    return value


def attributes(value: Any, place: str) -> dict[str, Any]:
    """Texts, numbers, true, false or null by name."""
    if not isinstance(value, dict):
        raise ParameterError(f"{place}: an object wanted")
    for name, item in value.items():
        where = f"{place}.{text(name, place)}"
        if isinstance(item, float):
            number(item, where)
        elif item and not isinstance(item, bool):
            identifier(item, where)
    return value


model = record(
    {"name": path},
    {
        "device": one_of("auto", "cpu", "cuda"),
        "precision": one_of("auto", "fp32", "bf16", "fp16"),
        "backend": one_of("auto", "torch", "openvino"),
    },
)
"""The arguments of `load_segmenter`."""

_opening = record(
    {},
    {
        "crs": text,
        "bands": list_of(integer(1)),
        "stretch": text,
        "resolution": positive,
        "window": bounds,
        "gcps": flag,
        "assume_pixels": flag,
        "untrusted": flag,
        "sha256": text,
        "max_pixels": positive,
    },
)

_running = record(
    {},
    {
        "tile_size": integer(3),
        "overlap": integer(2),
        "workers": integer(1, 1024),
        "layout": one_of("overlapping", "planar"),
        "min_area_m2": not_negative,
        "simplify_m": not_negative,
        "fill_holes_m2": not_negative,
        "overwrite": flag,
        "restart": flag,
        "allow_partial": flag,
        "keep": record({}, {"min_predicted_iou": share, "min_stability": share}),
        "automatic": record({}, {"spacing_px": integer(1), "crop_layers": integer(0, 3), "min_region_px": integer(0)}),
    },
)

_prompting = record(
    {},
    {
        "layer": text,
        "encoding": text,
        "crs": text,
        "polygons": one_of("box", "mask"),
        "granularity": one_of(*GRANULARITIES),
        "skip_outside": flag,
    },
)

_evaluating = record(
    {}, {"within": path, "iou": number, "tolerance_m": positive, "layer": text, "reference_layer": text}
)

_prompted = record({"id": identifier, "draft": draft}, {"attributes": attributes})


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise ParameterError(f"{place}: a text of at most {MAX_ID} characters wanted")
    return value


def _request_id(value: Any, place: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ParameterError(f"{place}: the id of a request wanted")
    return value


#: What every method may be given besides.
COMMON: Mapping[str, Reader] = {"client": _name, "stream": _name}

#: Parameters of every method: required ones, optional ones.
PARAMETERS: Mapping[str, tuple[Mapping[str, Reader], Mapping[str, Reader]]] = {
    "initialize": ({"protocol": integer()}, {"model": model}),
    "open": ({"path": path}, {"options": _opening}),
    "close": ({"scene": text}, {}),
    "segment": (
        {"scene": text, "model": model, "draft": draft},
        {"look": one_of("known", "window", "whole"), "simplify_m": not_negative, "fill_holes_m2": not_negative},
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
    "status": ({}, {}),
    "shutdown": ({}, {}),
}


def arguments(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The checked parameters of a method.

    Raises:
        ParameterError: naming the parameter.
    """
    required, optional = PARAMETERS[method]
    found: dict[str, Any] = record(required, {**optional, **COMMON})(params, "params")
    return found
