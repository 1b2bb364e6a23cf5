"""Drafts: what a user has said so far about one object, step by step, with undo and redo.

A draft is a plain value in map coordinates. A session answers it, the worker takes it as JSON, and a polygon that was
accepted can carry it, to be gone on with later. The QGIS plugin has a copy of this module, so it needs nothing but the
standard library, and no newer syntax than Python 3.9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: Which of the masks of an ambiguous click is wanted, in the order in which a key goes through them.
GRANULARITIES = ("auto", "part", "whole", "group")

XY = tuple[float, float]
Ring = tuple[XY, ...]


class DraftError(ValueError):
    """Data that is no draft; the message names the field."""


@dataclass(frozen=True)
class Step:
    """One thing that was said."""

    kind: str
    """`point`, `box` or `mask`."""
    label: int
    """1 includes, 0 excludes; 1 for boxes and masks."""
    rings: tuple[Ring, ...]
    """Of a point: one ring of one vertex. Of a box: one ring of its four corners, turned however the map was turned.
    Of a mask: the rings of polygons, whose inner rings are holes by being inside."""


@dataclass(frozen=True)
class Draft:
    """Steps in the order they were said; at most one is a box and at most one a mask."""

    crs: str
    """CRS of all coordinates: `EPSG:32633`, or WKT; x is easting or longitude."""
    steps: tuple[Step, ...] = ()
    granularity: str = "auto"
    """One of GRANULARITIES."""

    @property
    def selects(self) -> bool:
        """Whether anything in it includes, so that there is something to look for."""
        return any(step.label for step in self.steps)

    def with_point(self, x: float, y: float, label: int) -> Draft:
        """With one more point."""
        return self._with(Step("point", label, (((x, y),),)))

    def with_box(self, corners: Sequence[XY]) -> Draft:
        """With a box of four corners, instead of an earlier one."""
        return self._with(Step("box", 1, (tuple(corners),)))

    def with_mask(self, rings: Sequence[Sequence[XY]]) -> Draft:
        """With a polygon that was drawn, instead of an earlier one."""
        return self._with(Step("mask", 1, tuple(tuple(ring) for ring in rings)))

    def with_next_granularity(self) -> Draft:
        """With the next level of detail."""
        place = GRANULARITIES.index(self.granularity)
        return replace(self, granularity=GRANULARITIES[(place + 1) % len(GRANULARITIES)])

    def to_json(self) -> dict[str, Any]:
        """As plain data; the inverse of :meth:`from_json`."""
        steps = [
            {"kind": step.kind, "label": step.label, "rings": [[list(xy) for xy in ring] for ring in step.rings]}
            for step in self.steps
        ]
        return {"crs": self.crs, "granularity": self.granularity, "steps": steps}

    @classmethod
    def from_json(cls, data: Any) -> Draft:
        """Read what :meth:`to_json` gave.

        Raises:
            DraftError: it is not that.
        """
        known = _mapping(data, "draft")
        crs, granularity, steps = known.get("crs"), known.get("granularity", "auto"), known.get("steps")
        if not isinstance(crs, str) or not crs:
            raise DraftError("draft.crs: a text wanted")
        if granularity not in GRANULARITIES:
            raise DraftError("draft.granularity: one of {} wanted".format(", ".join(GRANULARITIES)))
        draft = cls(crs, tuple(_step(step, number) for number, step in enumerate(_sequence(steps, "draft.steps"))))
        for kind in ("box", "mask"):
            if sum(step.kind == kind for step in draft.steps) > 1:
                raise DraftError(f"draft.steps: at most one {kind} wanted")
        return replace(draft, granularity=granularity)

    def _with(self, step: Step) -> Draft:
        kept = tuple(old for old in self.steps if step.kind == "point" or old.kind != step.kind)
        return replace(self, steps=(*kept, step))


class History:
    """A draft that can be changed, and changed back."""

    def __init__(self, draft: Draft) -> None:
        self._past: list[Draft] = []
        self._future: list[Draft] = []
        self._present = draft

    @property
    def draft(self) -> Draft:
        """As it is now."""
        return self._present

    @property
    def can_undo(self) -> bool:
        """Whether there was anything before."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether anything was undone that has not been changed since."""
        return bool(self._future)

    def change(self, draft: Draft) -> None:
        """Go on with another draft; what was undone is gone."""
        if draft != self._present:
            self._past.append(self._present)
            self._future.clear()
            self._present = draft

    def undo(self) -> bool:
        """Go back to what it was before the last change; False if there was none."""
        return self._move(self._past, self._future)

    def redo(self) -> bool:
        """Take the last undo back; False if there was none."""
        return self._move(self._future, self._past)

    def _move(self, source: list[Draft], target: list[Draft]) -> bool:
        if not source:
            return False
        target.append(self._present)
        self._present = source.pop()
        return True


#: Fewest and most vertices of each of the rings of a step, and most rings.
_SHAPES = {"point": (1, 1, 1), "box": (4, 4, 1), "mask": (3, 100_000, 10_000)}


def _step(data: Any, number: int) -> Step:
    place = f"draft.steps[{number}]"
    known = _mapping(data, place)
    kind, label = known.get("kind"), known.get("label", 1)
    if not isinstance(kind, str) or kind not in _SHAPES:
        raise DraftError("{}.kind: one of {} wanted".format(place, ", ".join(_SHAPES)))
    if type(label) is not int or label not in ((0, 1) if kind == "point" else (1,)):
        raise DraftError("{}.label: 1 (include){} wanted".format(place, " or 0 (exclude)" if kind == "point" else ""))
    rings = tuple(_ring(ring, place) for ring in _sequence(known.get("rings"), place + ".rings"))
    fewest, most, rings_at_most = _SHAPES[kind]
    if not 1 <= len(rings) <= rings_at_most or not all(fewest <= len(ring) <= most for ring in rings):
        raise DraftError(f"{place}.rings: {fewest} to {most} vertices a ring wanted for a {kind}")
    return Step(kind, label, rings)


def _ring(data: Any, place: str) -> Ring:
    return tuple(_xy(vertex, place) for vertex in _sequence(data, place + ".rings"))


def _xy(data: Any, place: str) -> XY:
    numbers = _sequence(data, place + ".rings")
    if len(numbers) != 2 or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        raise DraftError(f"{place}.rings: vertices of two numbers wanted")
    try:
        x, y = float(numbers[0]), float(numbers[1])
    except OverflowError:
        x = y = math.inf
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DraftError(f"{place}.rings: finite numbers wanted")
    return x, y


def _mapping(data: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise DraftError(f"{place}: an object wanted")
    return data


def _sequence(data: Any, place: str) -> Sequence[Any]:
    if not isinstance(data, (list, tuple)):
        raise DraftError(f"{place}: an array wanted")
    return data
