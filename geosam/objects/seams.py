"""Relations between the masks of two overlapping tiles.

All decisions use the *strip*: the pixels that both tiles see. A mask that touches an inner edge of its window is a
*piece* of a larger object; any other mask is a *whole view*. Two tiles have five kinds of relations:

- joins: pieces of one object that agree in the strip.
- duplicates: whole views of one object.
- covers: pieces inside a whole view; they are fragments of an object that the other tile sees better.
- strays: pixels of a piece in the other tile's core where the other tile has no mask.
- conflicts: pixels of a whole view in the other tile's core that the other tile gives to other objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import shapely
from scipy import ndimage

from geosam.geometry.corners import NO_CORNERS, Corners, corners_of
from geosam.geometry.geobox import Edge, Window

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Integers
    from geosam.segmenters.masks import MaskSet


MaskId: TypeAlias = tuple[int, int]
"""Identity of a mask: (number of its tile, row in the tile's masks)."""


@dataclass(frozen=True)
class SeamRule:
    """Least agreement for each relation."""

    join_iou: float = 0.5
    """Least IoU of two components in the strip that belong to one object."""
    duplicate_iou: float = 0.7
    """Least IoU of two whole views of one object."""
    covered: float = 0.8
    """Least share of a fragment inside the whole view."""


@dataclass(frozen=True, eq=False)
class TileMasks:
    """Masks of one tile, placed in the scene."""

    index: int
    """Number of the tile in its grid."""
    window: Window
    """Window that the tile saw, scene pixels."""
    core: Window
    """Part of the window for which the tile is responsible, scene pixels; the cores of all tiles share no pixel."""
    inner: Edge
    """Edges of the window beyond which the region continues."""
    masks: MaskSet
    """Masks in pixels of the window."""

    @cached_property
    def boxes_xyxy(self) -> Integers:
        """Boxes (N, 4) in scene pixels: x0, y0, x1, y1; the last two are exclusive."""
        offset = (self.window.col_off, self.window.row_off) * 2
        return np.asarray(self.masks.boxes_xyxy + np.array(offset), np.int64)

    @cached_property
    def whole(self) -> BoolArray:
        """Test (N,) for masks that touch no inner edge."""
        return np.asarray((self.masks.touches & int(self.inner)) == 0)

    @cached_property
    def covered(self) -> BoolArray:
        """Pixels of the window (H, W) that lie in any mask."""
        union = np.zeros(self.masks.shape_hw, bool)
        for (x0, y0, x1, y1), mask in zip(self.masks.boxes_xyxy.tolist(), self.masks.masks, strict=True):
            union[y0:y1, x0:x1] |= mask
        return union

    @cached_property
    def views(self) -> list[MaskView]:
        """Masks one by one, placed in the scene, by row."""
        classes = np.full(len(self.masks), -1) if self.masks.class_id is None else self.masks.class_id
        boxes = [Window(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in self.boxes_xyxy.tolist()]
        columns = (self.masks.areas_px.tolist(), self.whole.tolist(), classes.tolist())
        names = [(self.index, row) for row in range(len(boxes))]
        return [MaskView(*view) for view in zip(names, boxes, self.masks.masks, *columns, strict=True)]

    def views_in(self, window: Window) -> list[MaskView]:
        """Return the masks whose boxes share a pixel with `window` (scene pixels), by row."""
        x0, y0, x1, y1 = self.boxes_xyxy.T
        # All boxes at once: a tile has hundreds of masks, and few of them lie in a strip.
        meets = (x0 < window.col_end) & (x1 > window.col_off) & (y0 < window.row_end) & (y1 > window.row_off)
        return [self.views[row] for row in np.flatnonzero(meets).tolist()]


class MaskView(NamedTuple):
    """One mask of a tile, placed in the scene."""

    name: MaskId
    box: Window
    """Box of the mask, scene pixels."""
    mask: BoolArray
    """Mask (H, W), cropped to the box."""
    area: int
    """Number of its pixels."""
    whole: bool
    """True for a whole view, False for a piece."""
    class_id: int
    """Class of the mask; -1 without classes."""

    def within(self, window: Window) -> BoolArray:
        """Return the part of the mask inside `window` (scene pixels), which must lie in the box."""
        return self.mask[window.relative_to(self.box).slices_rc]

    def corners(self, window: Window) -> Corners:
        """Return the corner form of the part of the mask inside `window` (scene pixels)."""
        common = self.box.intersection(window)
        return NO_CORNERS if common is None else corners_of(self.within(common), common.col_off, common.row_off)


class Cover(NamedTuple):
    """Piece that lies inside a whole view of the other tile."""

    piece: MaskId
    whole: MaskId
    shared_px: int
    """Pixels that both have."""


@dataclass(frozen=True, eq=False)
class SeamRelations:
    """Relations between the masks of two tiles, see the text of the module."""

    joins: list[tuple[MaskId, MaskId]] = field(default_factory=list)
    """Pairs of pieces of one object."""
    duplicates: list[tuple[MaskId, MaskId]] = field(default_factory=list)
    """Pairs of whole views of one object."""
    covers: list[Cover] = field(default_factory=list)
    """Fragments and the whole views around them."""
    loose: list[MaskId] = field(default_factory=list)
    """Pieces that cross the border of the cores without a partner."""
    strays: list[tuple[MaskId, int, Corners]] = field(default_factory=list)
    """(piece, tile in whose core the pixels lie, corner form of the pixels)."""
    conflicts: list[tuple[MaskId, int]] = field(default_factory=list)
    """(whole view, number of its pixels in the other tile's core that belong to other objects there)."""


class _Part(NamedTuple):
    """4-connected component of a piece inside the strip."""

    name: MaskId
    box: Window
    mask: BoolArray
    area: int
    class_id: int
    crosses: bool
    """True if it crosses the border of the cores."""


class _Border(NamedTuple):
    """Border of two cores."""

    line: Window
    """Line two pixels wide: one pixel of each core."""
    vertical: bool


def compare(a: TileMasks, b: TileMasks, rule: SeamRule) -> SeamRelations:
    """Compare the masks of two tiles whose windows share pixels; the order of the two does not matter."""
    if b.index < a.index:  # one order, so that ties do not depend on which tile comes last
        a, b = b, a
    relations = SeamRelations()
    strip = a.window.intersection(b.window)
    if strip is None:
        return relations
    _join(a, b, strip, rule, relations)
    views_a, views_b = a.views_in(strip), b.views_in(strip)
    for i, j in _meeting([view.box for view in views_a], [view.box for view in views_b]):
        p, q = views_a[i], views_b[j]
        if p.class_id != q.class_id:  # an object has one class
            continue
        if p.whole and q.whole:
            if _are_duplicates(p, q, rule):
                relations.duplicates.append((p.name, q.name))
        elif p.whole or q.whole:
            piece, whole, rivals = (q, p, views_b) if p.whole else (p, q, views_a)
            shared = _fragment_px(piece, whole, rivals, strip, rule)
            if shared:
                relations.covers.append(Cover(piece.name, whole.name, shared))
    same = _related(relations)
    for tile, other in ((a, b), (b, a)):
        relations.strays.extend(_strays(tile, other))
        relations.conflicts.extend(_conflicts(tile, other, same))
    return relations


def _join(a: TileMasks, b: TileMasks, strip: Window, rule: SeamRule, relations: SeamRelations) -> None:
    """Add the joins of two tiles, and the pieces that found no partner."""
    border = _core_border(a.core, b.core)
    if border is None:
        return
    # Components of a piece in the strip are compared, not pieces: two parts of an object that hang together through
    # bars of one pixel agree there and nowhere else.
    parts_a, parts_b = _strip_parts(a, b, strip, border), _strip_parts(b, a, strip, border)
    scored = []
    for i, j in _meeting([part.box for part in parts_a], [part.box for part in parts_b]):
        p, q = parts_a[i], parts_b[j]
        # A component on one side of the border lies in one core and needs no partner.
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
            relations.joins.append((parts_a[i].name, parts_b[j].name))
    for parts, joined in ((parts_a, joined_a), (parts_b, joined_b)):
        relations.loose.extend(p.name for i, p in enumerate(parts) if p.crosses and i not in joined)


def _are_duplicates(p: MaskView, q: MaskView, rule: SeamRule) -> bool:
    """Test whether two whole views show one object."""
    # The areas alone bound the IoU; counting shared pixels costs more.
    if min(p.area, q.area) < rule.duplicate_iou * max(p.area, q.area):
        return False
    return _iou(p, q, _shared_px(p, q)) >= rule.duplicate_iou


def _fragment_px(piece: MaskView, whole: MaskView, rivals: list[MaskView], strip: Window, rule: SeamRule) -> int:
    """Return the pixels that a piece shares with a whole view of the other tile; 0 if it is no fragment of it.

    A rival is another mask of the piece's own tile that shows the whole view and holds the piece. A car at the edge of
    its tile lies inside the parking lot that the other tile sees whole; where the own tile has a mask of the lot too,
    the car is an object of its own.
    """
    if whole.area < rule.covered * piece.area:
        return 0
    shared = _shared_px(piece, whole)
    if shared < rule.covered * piece.area:
        return 0
    common = whole.box.intersection(strip)
    if common is None:
        return 0
    in_strip = whole._replace(box=common, mask=whole.within(common), area=int(np.count_nonzero(whole.within(common))))
    # A piece that agrees with the whole view in the strip is the same object, also if a rival surrounds it.
    if _iou(piece, in_strip, shared) < rule.join_iou:
        for rival in rivals:
            if rival.name == piece.name or rival.class_id != piece.class_id:
                continue
            holds = _shared_px(rival, piece) >= rule.covered * piece.area
            if holds and _iou(rival, in_strip, _shared_px(rival, in_strip)) >= rule.join_iou:
                return 0
    return shared


def _strays(tile: TileMasks, other: TileMasks) -> Iterator[tuple[MaskId, int, Corners]]:
    """Yield pixels of the tile's pieces in the other tile's core that no mask there covers."""
    for view in tile.views_in(other.core):
        common = None if view.whole else view.box.intersection(other.core)  # a whole view keeps all its pixels
        if common is None:
            continue
        uncovered = view.within(common) & ~other.covered[common.relative_to(other.window).slices_rc]
        if uncovered.any():
            yield view.name, other.index, corners_of(uncovered, common.col_off, common.row_off)


def _related(relations: SeamRelations) -> dict[MaskId, list[MaskId]]:
    """Return, for each whole view, the masks of the other tile that show the same object."""
    related: dict[MaskId, list[MaskId]] = defaultdict(list)
    for p, q in relations.duplicates:
        related[p].append(q)
        related[q].append(p)
    for cover in relations.covers:
        related[cover.whole].append(cover.piece)
    return related


def _conflicts(
    tile: TileMasks, other: TileMasks, related: Mapping[MaskId, list[MaskId]]
) -> Iterator[tuple[MaskId, int]]:
    """Count the pixels of the tile's whole views that the other tile, in its core, gives to other objects."""
    for view in tile.views_in(other.core):
        common = view.box.intersection(other.core) if view.whole else None
        if common is None:
            continue
        disputed = view.within(common) & other.covered[common.relative_to(other.window).slices_rc]
        for _, row in related.get(view.name, ()):  # masks of the same object dispute nothing
            partner = other.views[row]
            shared = partner.box.intersection(common)
            if shared is not None:
                disputed[shared.relative_to(common).slices_rc] &= ~partner.within(shared)
        pixels = int(np.count_nonzero(disputed))
        if pixels:
            yield view.name, pixels


def _strip_parts(tile: TileMasks, other: TileMasks, strip: Window, border: _Border) -> list[_Part]:
    """Cut the pieces of a tile to the strip and into components, where they or a piece that they meet cross the border.

    Args:
        tile: its pieces are cut.
        other: the other tile.
        strip: pixels of both tiles, scene pixels.
        border: border of their cores.
    """
    rivals = [view for view in other.views_in(strip) if not view.whole]
    crossing = [view for view in rivals if view.box.intersection(border.line)]
    parts: list[_Part] = []
    for view in tile.views_in(strip):
        common = None if view.whole else view.box.intersection(strip)
        if common is None:
            continue
        # Two parts can be joined if one of them crosses: a part of this tile, or one of the other.
        partners = rivals if view.box.intersection(border.line) else crossing
        mask = view.within(common)
        if any(_shared_px(view, partner) for partner in partners):
            parts.extend(_part(view, *component, border) for component in _components(mask, common))
        elif partners is rivals:  # it joins nothing, and labelling takes time
            parts.append(_part(view, mask, common, border))
    return parts


def _components(mask: BoolArray, window: Window) -> Iterator[tuple[BoolArray, Window]]:
    """Yield the 4-connected components of a mask (H, W) of `window`, each with its box in scene pixels."""
    labels, _ = ndimage.label(mask)
    for value, (rows, cols) in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[rows, cols] == value
        yield part, Window(window.col_off + cols.start, window.row_off + rows.start, part.shape[1], part.shape[0])


def _part(view: MaskView, mask: BoolArray, box: Window, border: _Border) -> _Part:
    area = int(np.count_nonzero(mask))
    return _Part(view.name, box, mask, area, view.class_id, _crosses(mask, box, border))


def _crosses(mask: BoolArray, box: Window, border: _Border) -> bool:
    """Return True if the component has two neighbouring pixels, one on either side of the border of the cores."""
    common = box.intersection(border.line)
    if common is None or (common.width if border.vertical else common.height) < 2:
        return False
    line = mask[common.relative_to(box).slices_rc]
    before, after = (line[:, 0], line[:, 1]) if border.vertical else (line[0], line[1])
    return bool((before & after).any())


def _shared_px(p: MaskView | _Part, q: MaskView | _Part) -> int:
    """Count the pixels that two masks share."""
    common = p.box.intersection(q.box)
    if common is None:
        return 0
    both = p.mask[common.relative_to(p.box).slices_rc] & q.mask[common.relative_to(q.box).slices_rc]
    return int(np.count_nonzero(both))


def _iou(p: MaskView | _Part, q: MaskView | _Part, shared_px: int) -> float:
    return shared_px / (p.area + q.area - shared_px)


def _meeting(boxes_a: list[Window], boxes_b: list[Window]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of boxes that share a pixel, as their numbers, in order."""
    if not boxes_a or not boxes_b:
        return
    # Shrunk by half a pixel on each side: boxes that only touch share no pixel.
    shapes_a, shapes_b = (
        shapely.box(*np.array([(w.col_off + 0.5, w.row_off + 0.5, w.col_end - 0.5, w.row_end - 0.5) for w in boxes]).T)
        for boxes in (boxes_a, boxes_b)
    )
    pairs = shapely.STRtree(shapes_b).query(shapes_a).T
    yield from sorted((int(i), int(j)) for i, j in pairs)  # the tree's own order is not defined


def _core_border(a: Window, b: Window) -> _Border | None:
    """Return the border of two cores; None if they share no side."""
    rows = max(a.row_off, b.row_off), min(a.row_end, b.row_end)
    cols = max(a.col_off, b.col_off), min(a.col_end, b.col_end)
    if rows[0] < rows[1] and cols[0] == cols[1]:
        return _Border(Window(cols[0] - 1, rows[0], 2, rows[1] - rows[0]), vertical=True)
    if cols[0] < cols[1] and rows[0] == rows[1]:
        return _Border(Window(cols[0], rows[0] - 1, cols[1] - cols[0], 2), vertical=False)
    return None
