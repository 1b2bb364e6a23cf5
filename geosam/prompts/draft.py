"""Drafts: the steps in which a user describes one object, with undo and redo.

A draft is a plain value in map coordinates. A session answers it and the worker takes it as JSON. An accepted polygon
can carry its draft, so that a user can continue it later. The QGIS plugin has a copy of this module, so it needs only
the standard library, and no newer syntax than Python 3.9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: Levels of detail, which choose a mask for an ambiguous click, in the order in which a key goes through them.
GRANULARITIES = ("auto", "part", "whole", "group")

#: Number of steps that a printed draft lists.
_SHOWN = 8

XY = tuple[float, float]
Ring = tuple[XY, ...]


class DraftError(ValueError):
    """Signal data that is no draft; the message names the field."""


@dataclass(frozen=True, repr=False)
class Step:
    """One step of a draft: a click, a box or a drawn polygon."""

    kind: str
    """`point`, `box` or `mask`."""
    label: int
    """1 includes, 0 excludes; 1 for boxes and masks."""
    rings: tuple[Ring, ...]
    """Vertices (x, y). A point has one ring of one vertex. A box has one ring of its four corners, which need not be
    parallel to the axes. A mask has the rings of its polygons; a ring inside another one is a hole."""

    def __repr__(self) -> str:
        return "Step({}{}, {} vertices)".format(self.kind, "+" if self.label else "-", sum(map(len, self.rings)))


@dataclass(frozen=True, repr=False)
class Draft:
    """Steps in the order in which they were taken; at most one is a box and at most one a mask."""

    crs: str = ""
    """CRS of all coordinates: `EPSG:32633`, or WKT; x is easting or longitude. Empty: the CRS of the scene."""
    steps: tuple[Step, ...] = ()
    granularity: str = "auto"
    """Level of detail, one of GRANULARITIES."""

    def __repr__(self) -> str:
        # A drawn polygon may have 100,000 vertices, and a CRS may be a page of WKT.
        steps = ", ".join(step.kind + ("+" if step.label else "-") for step in self.steps[:_SHOWN])
        more = f" and {len(self.steps) - _SHOWN} more" if len(self.steps) > _SHOWN else ""
        return f"Draft({self.crs[:40]!r}, [{steps}{more}], {self.granularity!r})"

    @property
    def selects(self) -> bool:
        """Return True if at least one step includes, so that there is something to find."""
        return any(step.label for step in self.steps)

    def with_point(self, x: float, y: float, label: int) -> Draft:
        """Add a point."""
        return self._with(Step("point", label, (((x, y),),)))

    def with_box(self, corners: Sequence[XY]) -> Draft:
        """Add a box of four corners; it replaces an earlier one."""
        return self._with(Step("box", 1, (tuple(corners),)))

    def with_mask(self, rings: Sequence[Sequence[XY]]) -> Draft:
        """Add a drawn polygon; it replaces an earlier one."""
        return self._with(Step("mask", 1, tuple(tuple(ring) for ring in rings)))

    def with_next_granularity(self) -> Draft:
        """Change to the next level of detail."""
        place = GRANULARITIES.index(self.granularity)
        return replace(self, granularity=GRANULARITIES[(place + 1) % len(GRANULARITIES)])

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the inverse of :meth:`from_json`."""
        steps = [
            {"kind": step.kind, "label": step.label, "rings": [[list(xy) for xy in ring] for ring in step.rings]}
            for step in self.steps
        ]
        return {"crs": self.crs, "granularity": self.granularity, "steps": steps}

    @classmethod
    def from_json(cls, data: Any) -> Draft:
        """Read the data of :meth:`to_json`. Its CRS must be named: a client and a scene may have different ones.

        Raises:
            DraftError: the data is no draft.
        """
        fields = _mapping(data, "draft")
        crs, granularity, steps = fields.get("crs"), fields.get("granularity", "auto"), fields.get("steps")
        if not isinstance(crs, str) or not crs:
            raise DraftError("draft.crs: expected a text")
        if granularity not in GRANULARITIES:
            raise DraftError("draft.granularity: expected one of {}".format(", ".join(GRANULARITIES)))
        draft = cls(crs, tuple(_step(step, number) for number, step in enumerate(_sequence(steps, "draft.steps"))))
        for kind in ("box", "mask"):
            if sum(step.kind == kind for step in draft.steps) > 1:
                raise DraftError(f"draft.steps: expected at most one {kind}")
        return replace(draft, granularity=granularity)

    def _with(self, step: Step) -> Draft:
        kept = tuple(old for old in self.steps if step.kind == "point" or old.kind != step.kind)
        return replace(self, steps=(*kept, step))


class History:
    """A draft with undo and redo."""

    def __init__(self, draft: Draft) -> None:
        self._past: list[Draft] = []
        self._future: list[Draft] = []
        self._present = draft

    @property
    def draft(self) -> Draft:
        """The present draft."""
        return self._present

    @property
    def can_undo(self) -> bool:
        """Return True if a change can be undone."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Return True if an undone change can be repeated."""
        return bool(self._future)

    def change(self, draft: Draft) -> None:
        """Replace the draft; undone changes are forgotten."""
        if draft != self._present:
            self._past.append(self._present)
            self._future.clear()
            self._present = draft

    def undo(self) -> bool:
        """Undo the last change; return False if there is none."""
        return self._move(self._past, self._future)

    def redo(self) -> bool:
        """Repeat the last undone change; return False if there is none."""
        return self._move(self._future, self._past)

    def _move(self, source: list[Draft], target: list[Draft]) -> bool:
        if not source:
            return False
        target.append(self._present)
        self._present = source.pop()
        return True


#: Fewest and most vertices of every ring of a step, and the largest number of rings.
_SHAPES = {"point": (1, 1, 1), "box": (4, 4, 1), "mask": (3, 100_000, 10_000)}


def _step(data: Any, number: int) -> Step:
    place = f"draft.steps[{number}]"
    fields = _mapping(data, place)
    kind, label = fields.get("kind"), fields.get("label", 1)
    if not isinstance(kind, str) or kind not in _SHAPES:
        raise DraftError("{}.kind: expected one of {}".format(place, ", ".join(_SHAPES)))
    if type(label) is not int or label not in ((0, 1) if kind == "point" else (1,)):
        raise DraftError("{}.label: expected 1 (include){}".format(place, " or 0 (exclude)" if kind == "point" else ""))
    rings = tuple(_ring(ring, place) for ring in _sequence(fields.get("rings"), place + ".rings"))
    fewest, most, rings_at_most = _SHAPES[kind]
    if not 1 <= len(rings) <= rings_at_most or not all(fewest <= len(ring) <= most for ring in rings):
        raise DraftError(f"{place}.rings: expected {fewest} to {most} vertices a ring for a {kind}")
    return Step(kind, label, rings)


def _ring(data: Any, place: str) -> Ring:
    return tuple(_xy(vertex, place) for vertex in _sequence(data, place + ".rings"))


def _xy(data: Any, place: str) -> XY:
    numbers = _sequence(data, place + ".rings")
    if len(numbers) != 2 or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        raise DraftError(f"{place}.rings: expected vertices of two numbers")
    try:
        x, y = float(numbers[0]), float(numbers[1])
    except OverflowError:
        x = y = math.inf
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DraftError(f"{place}.rings: expected finite numbers")
    return x, y


def _mapping(data: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise DraftError(f"{place}: expected an object")
    return data


def _sequence(data: Any, place: str) -> Sequence[Any]:
    if not isinstance(data, (list, tuple)):
        raise DraftError(f"{place}: expected an array")
    return data
