"""Stitcher: masks of overlapping tiles in, whole objects of the scene out.

Tiles may come in any order; objects, their geometry and their scores do not depend on it. When all tiles that overlap a
tile have come, its pieces are clipped to its core and kept as corners only (:mod:`geosam.geometry.corners`), in which
the border between two cores cancels by itself. An object is released as soon as no later tile can change it. So memory
holds about one row of tiles and the outlines of open objects.
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
from geosam.objects.seams import Cover, MaskId, SeamRelations, SeamRule, TileMasks, compare

if TYPE_CHECKING:
    from geosam.geometry.tiles import TileGrid
    from geosam.segmenters.masks import MaskSet

#: Bytes of outlines of open objects above which they go to a temporary file.
OUTLINES_IN_MEMORY = 256 << 20


class _Stored(NamedTuple):
    """Place of corners in the temporary file."""

    offset: int
    """First byte."""
    rows: int
    """Number of corners."""


@dataclass(eq=False)
class _Member:
    """One mask, from the arrival of its tile to the release of its object."""

    name: MaskId
    whole: bool
    area: int
    score: float
    stability: float
    class_id: int
    class_score: float
    outline: Corners | _Stored = field(default_factory=lambda: NO_CORNERS)
    """Corner form: of the whole mask for a whole view, of its part in the core for a piece."""
    loose: bool = False
    """True if it crosses the border of two cores without a partner."""
    conflict: int = 0
    """Pixels that other tiles, in their cores, give to other objects."""
    strays: dict[int, Corners] = field(default_factory=dict)
    """Pixels in the cores of other tiles that have no mask there, by tile."""


@dataclass(eq=False)
class _Cluster:
    """Masks that are resolved together, because relations link them."""

    names: list[MaskId]
    waiting: int = 1
    """Number of masks whose tile may still meet another tile."""
    joins: list[tuple[MaskId, MaskId]] = field(default_factory=list)
    duplicates: list[tuple[MaskId, MaskId]] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)


class Stitcher:
    """Join the masks of overlapping tiles into objects of the scene.

    Args:
        grid: the tiles, each of which is fed exactly once.
        rule: least agreement for joins, duplicates and covers; None for the default.
        outlines_in_memory: bytes of outlines of open objects above which they go to a temporary file.
    """

    def __init__(
        self, grid: TileGrid, rule: SeamRule | None = None, *, outlines_in_memory: int = OUTLINES_IN_MEMORY
    ) -> None:
        self._grid = grid
        self._rule = rule or SeamRule()
        self._missing = {index: len(grid.neighbours(index)) for index in range(len(grid))}
        self._alive: dict[int, TileMasks] = {}
        self._members: dict[MaskId, _Member] = {}
        self._clusters: dict[MaskId, _Cluster] = {}
        self._outlines = _Outlines(outlines_in_memory)

    def feed(self, index: int, masks: MaskSet) -> list[SceneObject]:
        """Take the masks of a tile, and return the objects that no later tile can change, in no stated order.

        Raises:
            ValueError: the tile was fed before, or is not in the grid.
        """
        if index in self._alive or index not in self._missing:
            raise ValueError(
                f"a tile cannot be stitched: number {index} was fed twice, or is none of {len(self._grid)} in the grid"
            )
        grid = self._grid
        tile = TileMasks(index, grid.window(index), grid.core(index), grid.inner_edges(index), masks)
        self._admit(tile)
        finished = []
        neighbours = grid.neighbours(index)
        for other in neighbours:  # each pair of tiles is compared once, when the second one comes
            if other in self._alive:
                self._record(compare(tile, self._alive[other], self._rule))
            if other in self._missing:
                self._missing[other] -= 1
        self._alive[index] = tile
        for candidate in (index, *neighbours):
            if candidate in self._alive and not self._missing[candidate]:  # all its neighbours have come
                finished.extend(self._retire(self._alive.pop(candidate)))
                del self._missing[candidate]
        return finished

    def finish(self) -> None:
        """Check that every tile was fed, so that every object is released, and close.

        Raises:
            RuntimeError: tiles are missing.
        """
        if self._missing or self._clusters:
            raise RuntimeError(f"{len(self._missing)} of {len(self._grid)} tiles were not stitched")
        self.close()

    def close(self) -> None:
        """Delete the temporary file."""
        self._outlines.close()

    def _admit(self, tile: TileMasks) -> None:
        """Begin a cluster for each mask of a tile."""
        scores, stabilities = tile.masks.predicted_iou, tile.masks.stability_score
        class_scores = tile.masks.class_score
        probabilities = np.full(len(scores), np.nan) if class_scores is None else class_scores
        columns = (scores.tolist(), stabilities.tolist(), probabilities.tolist())
        for view, score, stability, probability in zip(tile.views, *columns, strict=True):
            self._clusters[view.name] = _Cluster([view.name])
            self._members[view.name] = _Member(
                view.name, view.whole, view.area, score, stability, view.class_id, probability
            )

    def _record(self, relations: SeamRelations) -> None:
        """Merge the clusters that relations link, and note what concerns single masks."""
        for join in relations.joins:
            self._merge(*join).joins.append(join)
        for pair in relations.duplicates:
            self._merge(*pair).duplicates.append(pair)
        for cover in relations.covers:
            self._merge(cover.piece, cover.whole).covers.append(cover)
        for name in relations.loose:
            self._members[name].loose = True
        for name, pixels in relations.conflicts:
            self._members[name].conflict += pixels
        for name, tile, form in relations.strays:
            self._members[name].strays[tile] = form

    def _merge(self, a: MaskId, b: MaskId) -> _Cluster:
        """Merge the clusters of two masks, and return the merged one."""
        larger, smaller = self._clusters[a], self._clusters[b]
        if larger is smaller:
            return larger
        # The smaller one moves, so that n masks cost n log n moves.
        if len(larger.names) < len(smaller.names):
            larger, smaller = smaller, larger
        larger.waiting += smaller.waiting
        larger.names += smaller.names
        larger.joins += smaller.joins
        larger.duplicates += smaller.duplicates
        larger.covers += smaller.covers
        for name in smaller.names:
            self._clusters[name] = larger
        return larger

    def _retire(self, tile: TileMasks) -> list[SceneObject]:
        """Keep the outlines of the tile's masks, and return the objects of complete clusters."""
        finished = []
        for view in tile.views:
            # A piece ends at its core: pixels beyond come from other tiles.
            outline = view.corners(tile.window if view.whole else tile.core)
            self._members[view.name].outline = self._outlines.keep(outline)
            cluster = self._clusters[view.name]
            cluster.waiting -= 1
            if not cluster.waiting:
                finished.extend(self._resolve(cluster))
        return finished

    def _resolve(self, cluster: _Cluster) -> list[SceneObject]:
        """Make the objects of a complete cluster."""
        members = {}
        for name in sorted(cluster.names):
            del self._clusters[name]
            members[name] = self._members.pop(name)
        outlines = {name: self._outlines.release(member.outline) for name, member in members.items()}
        # A whole view that lies mostly where better placed tiles see other objects is wrong.
        wholes = [m for m in members.values() if m.whole and 2 * m.conflict <= m.area]
        wholes = _without_duplicates(wholes, cluster.duplicates, outlines)
        kept = {member.name for member in wholes}
        covers = [cover for cover in cluster.covers if cover.whole in kept]
        groups = _groups([m for m in members.values() if not m.whole], cluster.joins)
        objects = [self._object([outlines[m.name]], [m], outlines) for m in wholes]
        objects += [self._assemble(g, outlines) for g in groups if not _is_fragment(g, covers, self._rule)]
        return [item for item in objects if item is not None]

    def _assemble(self, group: list[_Member], outlines: Mapping[MaskId, Corners]) -> SceneObject | None:
        """Assemble an object from pieces: each pixel comes from the tile in whose core it lies.

        In the core of a tile without a piece of the object, a piece keeps only pixels where that tile has no mask.
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
        self, parts: list[Corners], members: list[_Member], outlines: Mapping[MaskId, Corners]
    ) -> SceneObject | None:
        """Make an object from disjoint parts; None if most of a lone piece lies outside its core."""
        outline = corners.add(parts)
        alone = len(members) == 1 and not members[0].whole
        if not len(outline) or (alone and 2 * corners.area(outline) < members[0].area):
            return None  # a better placed tile sees something else there
        weights = [1] if len(members) == 1 else [corners.area(outlines[member.name]) for member in members]
        total = sum(weights)
        if not total:  # no member has pixels in its own core
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
    """Outlines in memory up to a limit in bytes, then in a temporary file, which vanishes with the process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._file: IO[bytes] | None = None

    def keep(self, form: Corners) -> Corners | _Stored:
        """Keep an outline; return the outline itself, or its place in the file."""
        if self._held + form.nbytes <= self._limit:
            self._held += form.nbytes
            return form
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the stitcher
        offset = self._file.seek(0, 2)
        self._file.write(form.tobytes())
        return _Stored(offset, len(form))

    def release(self, kept: Corners | _Stored) -> Corners:
        """Return an outline, and free its memory."""
        if isinstance(kept, _Stored):
            assert self._file is not None  # noqa: S101 - something was stored in it
            self._file.seek(kept.offset)
            # Three columns of four bytes.
            return np.frombuffer(self._file.read(kept.rows * 12), np.int32).reshape(kept.rows, 3)
        self._held -= kept.nbytes
        return kept

    def close(self) -> None:
        """Close the file, which deletes it."""
        if self._file is not None:
            self._file.close()


def _without_duplicates(
    wholes: list[_Member], duplicates: Iterable[tuple[MaskId, MaskId]], outlines: Mapping[MaskId, Corners]
) -> list[_Member]:
    """Keep the best whole view of each object: the highest score, then the first pixel, then the first tile."""
    if len(wholes) < 2:
        return wholes
    same: dict[MaskId, set[MaskId]] = defaultdict(set)
    for a, b in duplicates:
        same[a].add(b)
        same[b].add(a)

    # Never by arrival, so that the order of the tiles does not change the result.
    def rank(member: _Member) -> tuple[float, int, int, MaskId]:
        x, y, _ = outlines[member.name][0].tolist()
        return -member.score, y, x, member.name

    kept: list[_Member] = []
    names: set[MaskId] = set()
    for member in sorted(wholes, key=rank):
        if not same[member.name] & names:
            kept.append(member)
            names.add(member.name)
    return kept


def _groups(pieces: list[_Member], joins: Iterable[tuple[MaskId, MaskId]]) -> list[list[_Member]]:
    """Group pieces that are joined directly or through other pieces; each group is sorted by name."""
    group_of = {member.name: [member] for member in pieces}
    for a, b in joins:
        larger, smaller = group_of[a], group_of[b]
        if larger is smaller:
            continue
        if len(larger) < len(smaller):
            larger, smaller = smaller, larger
        larger += smaller
        for member in smaller:
            group_of[member.name] = larger
    unique = {id(group): group for group in group_of.values()}  # all members share the list of their group
    return [sorted(group, key=lambda member: member.name) for group in unique.values()]


def _is_fragment(group: list[_Member], covers: Iterable[Cover], rule: SeamRule) -> bool:
    """Return True if one whole view covers the group by the rule."""
    names = {member.name for member in group}
    shared: dict[MaskId, int] = defaultdict(int)
    for cover in covers:
        if cover.piece in names:
            shared[cover.whole] += cover.shared_px
    total = sum(member.area for member in group)
    return any(pixels >= rule.covered * total for pixels in shared.values())
