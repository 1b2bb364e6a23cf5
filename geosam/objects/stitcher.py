"""Stitcher: masks of overlapping tiles in, whole objects of the scene out.

Tiles may come in any order; the objects, their geometry and their numbers do not depend on it. A tile's rasters
live until all tiles that overlap it have come; then each piece is clipped to the core of its tile and kept as
corners only (:mod:`geosam.geometry.corners`), in which the border between two cores cancels by itself. An object is
released as soon as no later tile can change it, so memory holds about one row of tiles and the outlines of open
objects, however large those are.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.geometry import corners
from geosam.geometry.corners import NO_CORNERS, Corners
from geosam.objects.scene_object import SceneObject
from geosam.objects.seams import Cover, Findings, Name, SeamRule, TileMasks, compare

if TYPE_CHECKING:
    from geosam.geometry.tiles import TileGrid
    from geosam.segmenters.masks import MaskSet

#: Outlines of open objects beyond this many bytes go to a temporary file.
OUTLINES_IN_MEMORY = 256 << 20


class _Stored(NamedTuple):
    """Corners that were moved to the temporary file."""

    offset: int
    rows: int


@dataclass(eq=False)
class _Member:
    """One mask, from its arrival to the release of its object."""

    name: Name
    whole: bool
    area: int
    score: float
    stability: float
    class_id: int
    class_score: float
    outline: Corners | _Stored = field(default_factory=lambda: NO_CORNERS)
    loose: bool = False
    conflict: int = 0
    strays: dict[int, Corners] = field(default_factory=dict)


@dataclass(eq=False)
class _Cluster:
    """Masks whose fate hangs together, and what was found about them."""

    names: list[Name]
    waiting: int = 1
    """How many of them are of tiles that may still meet another one."""
    joins: list[tuple[Name, Name]] = field(default_factory=list)
    duplicates: list[tuple[Name, Name]] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)


class Stitcher:
    """Joins the masks of a grid's tiles; see the module's text.

    Args:
        grid: the tiles that will come, each exactly once.
        rule: how much agreement joins, removes and covers.
        outlines_in_memory: bytes of open outlines above which they go to a temporary file.
    """

    def __init__(
        self, grid: TileGrid, rule: SeamRule | None = None, *, outlines_in_memory: int = OUTLINES_IN_MEMORY
    ) -> None:
        self._grid = grid
        self._rule = rule or SeamRule()
        self._missing = {index: len(grid.neighbours(index)) for index in range(len(grid))}
        self._alive: dict[int, TileMasks] = {}
        self._members: dict[Name, _Member] = {}
        self._clusters: dict[Name, _Cluster] = {}
        self._outlines = _Outlines(outlines_in_memory)

    def feed(self, index: int, masks: MaskSet) -> list[SceneObject]:
        """Take the masks of tile `index`; returns the objects that no later tile can change, in no stated order.

        Raises:
            ValueError: the tile has come before, or is none of the grid's.
        """
        if index in self._alive or index not in self._missing:
            raise ValueError(f"tile {index} was fed twice or is none of the grid's {len(self._grid)}")
        grid = self._grid
        tile = TileMasks(index, grid.window(index), grid.core(index), grid.inner_edges(index), masks)
        self._admit(tile)
        finished = []
        neighbours = grid.neighbours(index)
        for other in neighbours:
            if other in self._alive:
                self._note(compare(tile, self._alive[other], self._rule))
            if other in self._missing:
                self._missing[other] -= 1
        self._alive[index] = tile
        for candidate in (index, *neighbours):
            if candidate in self._alive and not self._missing[candidate]:
                finished.extend(self._retire(self._alive.pop(candidate)))
                del self._missing[candidate]
        return finished

    def finish(self) -> None:
        """Check that every tile has come, and so every object was released.

        Raises:
            RuntimeError: tiles are missing.
        """
        if self._missing or self._clusters:
            raise RuntimeError(f"{len(self._missing)} of {len(self._grid)} tiles were not stitched")
        self.close()

    def close(self) -> None:
        """Give the temporary file back."""
        self._outlines.close()

    def _admit(self, tile: TileMasks) -> None:
        scores, stabilities = tile.masks.predicted_iou, tile.masks.stability_score
        probable = tile.masks.class_score
        probabilities = np.full(len(scores), np.nan) if probable is None else probable
        columns = (scores.tolist(), stabilities.tolist(), probabilities.tolist())
        for view, score, stability, probability in zip(tile.views, *columns, strict=True):
            self._clusters[view.name] = _Cluster([view.name])
            self._members[view.name] = _Member(
                view.name, view.whole, view.area, score, stability, view.class_id, probability
            )

    def _note(self, findings: Findings) -> None:
        for join in findings.joins:
            self._merge(*join).joins.append(join)
        for pair in findings.duplicates:
            self._merge(*pair).duplicates.append(pair)
        for cover in findings.covers:
            self._merge(cover.piece, cover.whole).covers.append(cover)
        for name in findings.loose:
            self._members[name].loose = True
        for name, pixels in findings.conflicts:
            self._members[name].conflict += pixels
        for name, tile, form in findings.strays:
            self._members[name].strays[tile] = form

    def _merge(self, a: Name, b: Name) -> _Cluster:
        keep, gone = self._clusters[a], self._clusters[b]
        if keep is gone:
            return keep
        if len(keep.names) < len(gone.names):
            keep, gone = gone, keep
        keep.waiting += gone.waiting
        keep.names += gone.names
        keep.joins += gone.joins
        keep.duplicates += gone.duplicates
        keep.covers += gone.covers
        for name in gone.names:
            self._clusters[name] = keep
        return keep

    def _retire(self, tile: TileMasks) -> list[SceneObject]:
        """Turn the tile's masks into outlines, drop its rasters, release what is complete."""
        finished = []
        for view in tile.views:
            outline = view.corners(tile.window if view.whole else tile.core)
            self._members[view.name].outline = self._outlines.keep(outline)
            cluster = self._clusters[view.name]
            cluster.waiting -= 1
            if not cluster.waiting:
                finished.extend(self._resolve(cluster))
        return finished

    def _resolve(self, cluster: _Cluster) -> list[SceneObject]:
        members = {}
        for name in sorted(cluster.names):
            del self._clusters[name]
            members[name] = self._members.pop(name)
        outlines = {name: self._outlines.release(member.outline) for name, member in members.items()}
        wholes = [m for m in members.values() if m.whole and 2 * m.conflict <= m.area]
        wholes = _without_duplicates(wholes, cluster.duplicates, outlines)
        kept = {member.name for member in wholes}
        covers = [cover for cover in cluster.covers if cover.whole in kept]
        groups = _groups([m for m in members.values() if not m.whole], cluster.joins)
        found = [self._object([outlines[m.name]], [m], outlines) for m in wholes]
        found += [self._assemble(g, outlines) for g in groups if not _is_fragment(g, covers, self._rule)]
        return [item for item in found if item is not None]

    def _assemble(self, group: list[_Member], outlines: Mapping[Name, Corners]) -> SceneObject | None:
        """One object from pieces: every pixel from the tile in whose core it lies.

        Where a core belongs to a tile without a piece of this object, a piece keeps its pixels only if that tile
        saw nothing there.
        """
        own: dict[int, list[Corners]] = defaultdict(list)
        stray: dict[int, list[Corners]] = defaultdict(list)
        for member in group:
            own[member.name[0]].append(outlines[member.name])
            for tile, form in member.strays.items():
                stray[tile].append(form)
        parts = [corners.unite(forms) for forms in own.values()]
        parts += [corners.unite(forms) for tile, forms in stray.items() if tile not in own]
        return self._object(parts, group, outlines)

    def _object(
        self, parts: list[Corners], members: list[_Member], outlines: Mapping[Name, Corners]
    ) -> SceneObject | None:
        outline = corners.add(parts)
        alone = len(members) == 1 and not members[0].whole
        if not len(outline) or (alone and 2 * corners.area(outline) < members[0].area):
            return None  # most of it lies where a better placed tile sees something else
        weights = [1] if len(members) == 1 else [corners.area(outlines[member.name]) for member in members]
        total = sum(weights)
        if not total:  # nothing in any of their cores: all of it is stray
            weights, total = [1] * len(members), len(members)

        def mean(values: Iterable[float]) -> float:
            return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total

        return SceneObject(
            outline,
            score=mean(member.score for member in members),
            stability=mean(member.stability for member in members),
            n_tiles=len({m.name[0] for m, weight in zip(members, weights, strict=True) if weight}),
            touches_edge=corners.bounds(outline).touches(self._grid.region),
            truncated=alone or any(member.loose for member in members),
            class_id=members[0].class_id,
            class_score=mean(member.class_score for member in members),
        )


class _Outlines:
    """Keeps corners in memory up to a limit, then in a temporary file that vanishes with the process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._file: IO[bytes] | None = None

    def keep(self, form: Corners) -> Corners | _Stored:
        if self._held + form.nbytes <= self._limit:
            self._held += form.nbytes
            return form
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the stitcher
        offset = self._file.seek(0, 2)
        self._file.write(form.tobytes())
        return _Stored(offset, len(form))

    def release(self, kept: Corners | _Stored) -> Corners:
        if isinstance(kept, _Stored):
            assert self._file is not None  # noqa: S101 - something was stored in it
            self._file.seek(kept.offset)
            return np.frombuffer(self._file.read(kept.rows * 12), np.int32).reshape(kept.rows, 3)
        self._held -= kept.nbytes
        return kept

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _without_duplicates(
    wholes: list[_Member], duplicates: Iterable[tuple[Name, Name]], outlines: Mapping[Name, Corners]
) -> list[_Member]:
    """Of several whole views of one object the best: highest score, then first pixel, then first tile."""
    if len(wholes) < 2:
        return wholes
    same: dict[Name, set[Name]] = defaultdict(set)
    for a, b in duplicates:
        same[a].add(b)
        same[b].add(a)

    def rank(member: _Member) -> tuple[float, int, int, Name]:
        x, y, _ = outlines[member.name][0].tolist()
        return -member.score, y, x, member.name

    kept: list[_Member] = []
    names: set[Name] = set()
    for member in sorted(wholes, key=rank):
        if not same[member.name] & names:
            kept.append(member)
            names.add(member.name)
    return kept


def _groups(pieces: list[_Member], joins: Iterable[tuple[Name, Name]]) -> list[list[_Member]]:
    """Pieces that are joined to each other, directly or through others; in order of their names."""
    group_of = {member.name: [member] for member in pieces}
    for a, b in joins:
        keep, gone = group_of[a], group_of[b]
        if keep is gone:
            continue
        if len(keep) < len(gone):
            keep, gone = gone, keep
        keep += gone
        for member in gone:
            group_of[member.name] = keep
    unique = {id(group): group for group in group_of.values()}
    return [sorted(group, key=lambda member: member.name) for group in unique.values()]


def _is_fragment(group: list[_Member], covers: Iterable[Cover], rule: SeamRule) -> bool:
    """Whether one whole view holds (almost) all pixels of the group."""
    names = {member.name for member in group}
    shared: dict[Name, int] = defaultdict(int)
    for cover in covers:
        if cover.piece in names:
            shared[cover.whole] += cover.shared_px
    total = sum(member.area for member in group)
    return any(pixels >= rule.covered * total for pixels in shared.values())
