"""What two overlapping tiles say about each other's masks.

Everything is decided inside the pixels both tiles see. A mask that touches an inner edge of its window is a
*piece* of something larger; any other is a *whole view*. Two tiles yield five kinds of findings:

- joins: pieces that are the same place of one object. Compared are the 4-connected components of piece and strip,
  not the pieces: an object linked through two 1-px bars agrees with itself there and nowhere else.
- duplicates: whole views of the same object.
- covers: pieces that lie inside a whole view, fragments of something the other tile sees better.
- strays: pixels of a piece in the other tile's core where the other tile has no mask at all.
- conflicts: pixels of a whole view in the other tile's core that the other tile gives to other objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from scipy import ndimage

from geosam.geometry.corners import NO_CORNERS, Corners, corners_of
from geosam.geometry.geobox import Edge, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.masks import MaskSet


Name = tuple[int, int]
"""A mask: (tile, row)."""


@dataclass(frozen=True)
class SeamRule:
    """How much agreement is enough."""

    join_iou: float = 0.5
    """Least IoU of two strip components that are the same place of one object."""
    duplicate_iou: float = 0.7
    """Least IoU of two whole views of one object."""
    covered: float = 0.8
    """Least share of a fragment that lies inside the whole view."""


@dataclass(frozen=True, eq=False)
class TileMasks:
    """The masks of one tile, placed in the scene."""

    index: int
    """Number of the tile in its grid."""
    window: Window
    """What the tile saw, scene pixels."""
    core: Window
    """What the tile answers for, scene pixels."""
    inner: Edge
    """Edges of the window beyond which the region goes on."""
    masks: MaskSet
    """Window-local masks."""

    @cached_property
    def boxes_xyxy(self) -> NDArray[np.int64]:
        """(N, 4) boxes in scene pixels."""
        offset = (self.window.col_off, self.window.row_off) * 2
        return np.asarray(self.masks.boxes_xyxy + np.array(offset), np.int64)

    @cached_property
    def whole(self) -> BoolArray:
        """(N,) whether the mask touches no inner edge."""
        return np.asarray((self.masks.touches & int(self.inner)) == 0)

    @cached_property
    def covered(self) -> BoolArray:
        """(H, W) pixels of the window that lie in any mask."""
        union = np.zeros(self.masks.shape_hw, bool)
        for (x0, y0, x1, y1), mask in zip(self.masks.boxes_xyxy.tolist(), self.masks.masks, strict=True):
            union[y0:y1, x0:x1] |= mask
        return union

    @cached_property
    def views(self) -> list[MaskView]:
        """The masks one by one, placed in the scene, by row."""
        classes = np.full(len(self.masks), -1) if self.masks.class_id is None else self.masks.class_id
        boxes = [Window(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in self.boxes_xyxy.tolist()]
        columns = (self.masks.areas_px.tolist(), self.whole.tolist(), classes.tolist())
        names = [(self.index, row) for row in range(len(boxes))]
        return [MaskView(*view) for view in zip(names, boxes, self.masks.masks, *columns, strict=True)]

    def views_in(self, window: Window) -> list[MaskView]:
        """The masks whose boxes share a pixel with `window`, by row."""
        x0, y0, x1, y1 = self.boxes_xyxy.T
        meets = (x0 < window.col_end) & (x1 > window.col_off) & (y0 < window.row_end) & (y1 > window.row_off)
        return [self.views[row] for row in np.flatnonzero(meets).tolist()]


class MaskView(NamedTuple):
    """What one tile sees of one object."""

    name: Name
    box: Window
    mask: BoolArray
    area: int
    whole: bool
    class_id: int

    def within(self, window: Window) -> BoolArray:
        """The part of the mask inside `window`, which must lie in the box."""
        return self.mask[window.relative_to(self.box).slices_rc]

    def corners(self, window: Window) -> Corners:
        """Corner form of the part of the mask inside `window`."""
        common = self.box.intersection(window)
        return NO_CORNERS if common is None else corners_of(self.within(common), common.col_off, common.row_off)


class Cover(NamedTuple):
    """A piece that lies inside a whole view of the other tile."""

    piece: Name
    whole: Name
    shared_px: int


@dataclass(frozen=True, eq=False)
class Findings:
    """What one pair of tiles says; masks are named (tile, row)."""

    joins: list[tuple[Name, Name]] = field(default_factory=list)
    duplicates: list[tuple[Name, Name]] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    loose: list[Name] = field(default_factory=list)
    """Pieces that run over the core border without a partner."""
    strays: list[tuple[Name, int, Corners]] = field(default_factory=list)
    """(piece, the tile whose core they lie in, corner form of the pixels)."""
    conflicts: list[tuple[Name, int]] = field(default_factory=list)
    """(whole view, its pixels in the other tile's core where that tile sees something else)."""


class _Part(NamedTuple):
    """A 4-connected component of a piece inside the strip."""

    name: Name
    box: Window
    mask: BoolArray
    area: int
    class_id: int
    crosses: bool


class _Border(NamedTuple):
    """Where two cores meet: a line two pixels wide, one of each core."""

    line: Window
    vertical: bool


def compare(a: TileMasks, b: TileMasks, rule: SeamRule) -> Findings:
    """Findings about two tiles whose windows share pixels; the order of the two does not matter."""
    if b.index < a.index:
        a, b = b, a
    findings = Findings()
    strip = a.window.intersection(b.window)
    if strip is None:
        return findings
    _join(a, b, strip, rule, findings)
    views_a, views_b = a.views_in(strip), b.views_in(strip)
    for i, j in _meeting([view.box for view in views_a], [view.box for view in views_b]):
        p, q = views_a[i], views_b[j]
        if p.class_id != q.class_id:
            continue
        if p.whole and q.whole:
            if _same(p, q, rule):
                findings.duplicates.append((p.name, q.name))
        elif p.whole or q.whole:
            piece, whole, rivals = (q, p, views_b) if p.whole else (p, q, views_a)
            shared = _fragment_px(piece, whole, rivals, strip, rule)
            if shared:
                findings.covers.append(Cover(piece.name, whole.name, shared))
    same = _related(findings)
    for tile, other in ((a, b), (b, a)):
        findings.strays.extend(_strays(tile, other))
        findings.conflicts.extend(_conflicts(tile, other, same))
    return findings


def _join(a: TileMasks, b: TileMasks, strip: Window, rule: SeamRule, findings: Findings) -> None:
    border = _core_border(a.core, b.core)
    if border is None:
        return
    parts_a, parts_b = _strip_parts(a, b, strip, border), _strip_parts(b, a, strip, border)
    scored = []
    for i, j in _meeting([part.box for part in parts_a], [part.box for part in parts_b]):
        p, q = parts_a[i], parts_b[j]
        if (p.crosses or q.crosses) and p.class_id == q.class_id:
            iou = _iou(p, q, _shared_px(p, q))
            if iou >= rule.join_iou:
                scored.append((-iou, i, j))
    joined_a: set[int] = set()
    joined_b: set[int] = set()
    for _, i, j in sorted(scored):  # best first: each component joins at most one partner
        if i not in joined_a and j not in joined_b:
            joined_a.add(i)
            joined_b.add(j)
            findings.joins.append((parts_a[i].name, parts_b[j].name))
    for parts, joined in ((parts_a, joined_a), (parts_b, joined_b)):
        findings.loose.extend(p.name for i, p in enumerate(parts) if p.crosses and i not in joined)


def _same(p: MaskView, q: MaskView, rule: SeamRule) -> bool:
    """Whether two whole views show one object."""
    if min(p.area, q.area) < rule.duplicate_iou * max(p.area, q.area):
        return False
    return _iou(p, q, _shared_px(p, q)) >= rule.duplicate_iou


def _fragment_px(piece: MaskView, whole: MaskView, rivals: list[MaskView], strip: Window, rule: SeamRule) -> int:
    """Pixels that a piece shares with the other tile's whole view if it is a fragment of it, else 0.

    A car at the edge of its tile also lies inside the parking lot that the other tile sees whole. It is a fragment
    of it only if its own tile has no better view of the lot, a rival, around the car.
    """
    if whole.area < rule.covered * piece.area:
        return 0
    shared = _shared_px(piece, whole)
    if shared < rule.covered * piece.area:
        return 0
    common = whole.box.intersection(strip)
    if common is None:
        return 0
    seen = whole._replace(box=common, mask=whole.within(common), area=int(np.count_nonzero(whole.within(common))))
    if _iou(piece, seen, shared) < rule.join_iou:
        for rival in rivals:
            if rival.name == piece.name or rival.class_id != piece.class_id:
                continue
            holds = _shared_px(rival, piece) >= rule.covered * piece.area
            if holds and _iou(rival, seen, _shared_px(rival, seen)) >= rule.join_iou:
                return 0
    return shared


def _strays(tile: TileMasks, other: TileMasks) -> Iterator[tuple[Name, int, Corners]]:
    """Pixels of the tile's pieces in the other's core that no mask of the other covers."""
    for view in tile.views_in(other.core):
        common = None if view.whole else view.box.intersection(other.core)
        if common is None:
            continue
        unseen = view.within(common) & ~other.covered[common.relative_to(other.window).slices_rc]
        if unseen.any():
            yield view.name, other.index, corners_of(unseen, common.col_off, common.row_off)


def _related(findings: Findings) -> dict[Name, list[Name]]:
    """For each whole view the masks of the other tile that show the same object."""
    related: dict[Name, list[Name]] = defaultdict(list)
    for p, q in findings.duplicates:
        related[p].append(q)
        related[q].append(p)
    for cover in findings.covers:
        related[cover.whole].append(cover.piece)
    return related


def _conflicts(tile: TileMasks, other: TileMasks, related: Mapping[Name, list[Name]]) -> Iterator[tuple[Name, int]]:
    """How many pixels of the tile's whole views the other tile, in its core, gives to other objects."""
    for view in tile.views_in(other.core):
        common = view.box.intersection(other.core) if view.whole else None
        if common is None:
            continue
        disputed = view.within(common) & other.covered[common.relative_to(other.window).slices_rc]
        for _, row in related.get(view.name, ()):
            friend = other.views[row]
            shared = friend.box.intersection(common)
            if shared is not None:
                disputed[shared.relative_to(common).slices_rc] &= ~friend.within(shared)
        pixels = int(np.count_nonzero(disputed))
        if pixels:
            yield view.name, pixels


def _strip_parts(tile: TileMasks, other: TileMasks, strip: Window, border: _Border) -> list[_Part]:
    """Components inside the strip of the pieces that run over the core border, or meet one of the other tile that does.

    A piece that shares no pixel with the other tile's pieces is not taken apart: it joins nothing.
    """
    rivals = [view for view in other.views_in(strip) if not view.whole]
    crossing = [view for view in rivals if view.box.intersection(border.line)]
    parts: list[_Part] = []
    for view in tile.views_in(strip):
        common = None if view.whole else view.box.intersection(strip)
        if common is None:
            continue
        partners = rivals if view.box.intersection(border.line) else crossing
        mask = view.within(common)
        if any(_shared_px(view, partner) for partner in partners):
            parts.extend(_part(view, *found, border) for found in _components(mask, common))
        elif partners is rivals:
            parts.append(_part(view, mask, common, border))
    return parts


def _components(mask: BoolArray, where: Window) -> Iterator[tuple[BoolArray, Window]]:
    labels, _ = ndimage.label(mask)
    for value, (rows, cols) in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[rows, cols] == value
        yield part, Window(where.col_off + cols.start, where.row_off + rows.start, part.shape[1], part.shape[0])


def _part(view: MaskView, mask: BoolArray, box: Window, border: _Border) -> _Part:
    area = int(np.count_nonzero(mask))
    return _Part(view.name, box, mask, area, view.class_id, _crosses(mask, box, border))


def _crosses(mask: BoolArray, box: Window, border: _Border) -> bool:
    """Whether the component has two neighbouring pixels on either side of the core border."""
    common = box.intersection(border.line)
    if common is None or (common.width if border.vertical else common.height) < 2:
        return False
    line = mask[common.relative_to(box).slices_rc]
    before, after = (line[:, 0], line[:, 1]) if border.vertical else (line[0], line[1])
    return bool((before & after).any())


def _shared_px(p: MaskView | _Part, q: MaskView | _Part) -> int:
    common = p.box.intersection(q.box)
    if common is None:
        return 0
    both = p.mask[common.relative_to(p.box).slices_rc] & q.mask[common.relative_to(q.box).slices_rc]
    return int(np.count_nonzero(both))


def _iou(p: MaskView | _Part, q: MaskView | _Part, shared_px: int) -> float:
    return shared_px / (p.area + q.area - shared_px)


def _meeting(boxes_a: list[Window], boxes_b: list[Window]) -> Iterator[tuple[int, int]]:
    """Pairs of boxes that share a pixel, in a fixed order."""
    if not boxes_a or not boxes_b:
        return
    shapes_a, shapes_b = (
        shapely.box(*np.array([(w.col_off + 0.5, w.row_off + 0.5, w.col_end - 0.5, w.row_end - 0.5) for w in boxes]).T)
        for boxes in (boxes_a, boxes_b)
    )
    pairs = shapely.STRtree(shapes_b).query(shapes_a).T
    yield from sorted((int(i), int(j)) for i, j in pairs)


def _core_border(a: Window, b: Window) -> _Border | None:
    """The line along the common border of two cores, or None when they share none."""
    rows = max(a.row_off, b.row_off), min(a.row_end, b.row_end)
    cols = max(a.col_off, b.col_off), min(a.col_end, b.col_end)
    if rows[0] < rows[1] and cols[0] == cols[1]:
        return _Border(Window(cols[0] - 1, rows[0], 2, rows[1] - rows[0]), vertical=True)
    if cols[0] < cols[1] and rows[0] == rows[1]:
        return _Border(Window(cols[0], rows[0] - 1, cols[1] - cols[0], 2), vertical=False)
    return None
