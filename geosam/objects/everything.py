"""All masks of one tile: what the segmenter proposes, or what a grid of points prompts out of it.

The steps are those of SAM's automatic mask generator (segment_anything/automatic_mask_generator.py): ask at points,
keep what is good, drop duplicates; and on request look again at enlarged crops of the tile for small objects, and
clear masks of specks and pinholes. Two things differ. Points are anchored to scene pixels, in crops too, so that
neighbouring tiles ask at the same places; and masks with equal scores are ordered by their pixels, not by when they
were found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage

from geosam.geometry.geobox import Window
from geosam.geometry.pixel_sets import box_around
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.segmenter import Proposes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.segmenter import Embedding, KeepRule, Prompted

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

#: Prompts decoded at once.
_BATCH = 64
#: A mask whose box comes this close to the edge of a crop may be cut off there, pixels.
_NEAR_EDGE_PX = 20
#: Pixels that touch at a corner belong to one speck or pinhole, as SAM counts them.
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class AutomaticRule:
    """How a tile is asked for all its objects; the defaults are those of SAM's automatic mask generator."""

    spacing_px: int = 32
    """Distance of the grid's points, scene pixels."""
    crop_layers: int = 0
    """Layers of crops to look at besides the tile; layer n has 4 ** n of them."""
    crop_overlap: float = 512 / 1500
    """What neighbouring crops of layer 1 share, as a part of the tile's shorter side; halved in every next layer."""
    crop_downscale_points: int = 1
    """Points of layer n are `(crop_downscale_points / 2) ** n` times as far apart as those of the tile."""
    max_crop_duplicate_iou: float = 0.7
    """Of two masks of different crops whose boxes agree more than this, the one from the smaller crop stays."""
    min_region_px: int = 0
    """Holes and separate parts of a mask below this size are filled and removed, tile by tile; 0 leaves them."""

    def __post_init__(self) -> None:
        if self.spacing_px < 1 or self.crop_downscale_points < 1 or not 0 <= self.crop_overlap < 1:
            raise ValueError(f"spacing and downscale of at least 1 and an overlap of 0 to 1 expected, got {self}")


def segment_tile(
    segmenter: Proposes | Prompted,
    embedding: Embedding,
    window: Window,
    valid: BoolArray,
    keep: KeepRule,
    *,
    spacing_px: int | None = None,
    rule: AutomaticRule | None = None,
    enlarge: Callable[[Window], Embedding] | None = None,
) -> MaskSet:
    """Masks of the tile at `window`, without duplicates, in an order that depends on nothing but the masks.

    Args:
        segmenter: made the embedding.
        embedding: of the tile.
        window: where the tile lies, scene pixels.
        valid: (H, W) pixels that may be prompted.
        keep: what is worth keeping.
        spacing_px: distance of the grid's points in scene pixels, in place of the rule's.
        rule: points, crops and small regions; without effect on what the segmenter proposes. None is the default rule.
        enlarge: embeds a part of the tile (scene pixels) as large as the segmenter takes it, so that decoding answers
            in pixels of that part; needed for crops.
    """
    if isinstance(segmenter, Proposes):
        return segmenter.propose(embedding, keep)
    rule = AutomaticRule() if rule is None else rule
    rule = rule if spacing_px is None else replace(rule, spacing_px=spacing_px)
    parts, crop_areas = [], []
    for crop, layer in _crops(window, rule):
        seen = valid[_inside(crop, window)]
        points = _grid_points(crop, seen, _spacing(rule, layer))
        if len(points):
            masks = _prompted(segmenter, _embedded(crop, enlarge) if layer else embedding, points, seen.shape, keep)
            masks = _uncut(_moved(masks, crop, window), crop, window)
            parts.append(masks.select(_best(masks, _by_score(masks), keep.max_duplicate_iou)))
            crop_areas += [crop.width * crop.height] * len(parts[-1])
    masks = MaskSet.concatenate(valid.shape, parts)
    if rule.crop_layers:
        smallest_first = np.argsort(np.array(crop_areas, np.int64), kind="stable")
        masks = masks.select(_best(masks, smallest_first, rule.max_crop_duplicate_iou))
    return _without_small_regions(masks, valid, rule, keep) if rule.min_region_px else masks


def _crops(tile: Window, rule: AutomaticRule) -> Iterator[tuple[Window, int]]:
    """Yield the tile and its crops with their layers, placed as `generate_crop_boxes` of SAM places them."""
    yield tile, 0
    for layer in range(1, rule.crop_layers + 1):
        count = 2**layer
        shared = int(rule.crop_overlap * min(tile.shape_hw) * 2 / count)
        width, height = (-(-(shared * (count - 1) + side) // count) for side in (tile.width, tile.height))
        for col, row in product(range(count), range(count)):
            x, y = tile.col_off + col * (width - shared), tile.row_off + row * (height - shared)
            crop = Window(x, y, width, height).intersection(tile)
            if crop is not None:
                yield crop, layer


def _spacing(rule: AutomaticRule, layer: int) -> int:
    apart = rule.spacing_px
    for _ in range(layer):
        apart = apart * rule.crop_downscale_points // 2
    return max(apart, 1)


def _inside(crop: Window, tile: Window) -> tuple[slice, slice]:
    """(rows, columns) of the crop in an array of the tile."""
    return replace(crop, col_off=crop.col_off - tile.col_off, row_off=crop.row_off - tile.row_off).slices_rc


def _embedded(crop: Window, enlarge: Callable[[Window], Embedding] | None) -> Embedding:
    if enlarge is None:
        raise ValueError("crop layers need `enlarge`, which embeds a crop; None was given")
    return enlarge(crop)


def _grid_points(window: Window, valid: BoolArray, spacing: int) -> Floats:
    """(N, 2) corner-based window pixels of the scene-wide lattice that lie on valid pixels."""
    x = _lattice(window.col_off, window.width, spacing)
    y = _lattice(window.row_off, window.height, spacing)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    cols, rows = points.astype(np.intp).T
    return points[valid[rows, cols]]


def _lattice(begin: int, length: int, spacing: int) -> Floats:
    first = -(-(begin - spacing // 2) // spacing) * spacing + spacing // 2
    return np.arange(first, begin + length, spacing, dtype=np.float64) - begin + 0.5


def _prompted(
    segmenter: Prompted, embedding: Embedding, points: Floats, shape_hw: tuple[int, int], keep: KeepRule
) -> MaskSet:
    """The good masks at the points, with duplicates; they answer to no prompt of the user."""
    starts = range(0, len(points), _BATCH)
    batches = (_single_points(points[start : start + _BATCH]) for start in starts)
    decoded = [segmenter.decode(embedding, batch, multimask=True, keep=keep) for batch in batches]
    masks = MaskSet.concatenate(shape_hw, decoded)
    good = (masks.predicted_iou >= keep.min_predicted_iou) & (masks.stability_score >= keep.min_stability)
    masks = masks.select(good)
    return replace(masks, prompt_index=np.full(len(masks), -1, np.int32))


def _single_points(points: Floats) -> PixelPrompts:
    count = len(points)
    one = np.ones(1, np.int8)
    return PixelPrompts(tuple(points[:, None]), (one,) * count, np.full((count, 4), np.nan), (None,) * count)


def _moved(masks: MaskSet, crop: Window, tile: Window) -> MaskSet:
    """Masks of a crop as masks of the tile."""
    shift = np.array([crop.col_off - tile.col_off, crop.row_off - tile.row_off] * 2, np.int32)
    return replace(masks, shape_hw=tile.shape_hw, boxes_xyxy=masks.boxes_xyxy + shift)


def _uncut(masks: MaskSet, crop: Window, tile: Window) -> MaskSet:
    """Masks without those that the crop may have cut off: near an edge of the crop that is no edge of the tile."""
    rows, cols = _inside(crop, tile)
    sides = _sides(masks)
    near_crop = np.abs(sides - [cols.start, rows.start, cols.stop, rows.stop]) <= _NEAR_EDGE_PX
    near_tile = np.abs(sides - [0, 0, tile.width, tile.height]) <= _NEAR_EDGE_PX
    return masks.select(~(near_crop & ~near_tile).any(axis=1))


def _sides(masks: MaskSet) -> Floats:
    """(N, 4) boxes from first to last pixel, as SAM measures them: a pixel less on the right and at the bottom."""
    return np.asarray(masks.boxes_xyxy - np.array([0.0, 0.0, 1.0, 1.0]))


def _by_score(masks: MaskSet) -> Rows:
    """Rows by predicted IoU, best first; ties go to the first box, then to the larger mask."""
    boxes = masks.boxes_xyxy.astype(np.float64)
    return np.lexsort((-masks.areas_px, *boxes.T[[2, 3, 0, 1]], -masks.predicted_iou.astype(np.float64)))


def _best(masks: MaskSet, order: Rows, max_iou: float) -> Rows:
    """The rows that are left, in `order`, when each drops all later ones whose boxes agree with its own.

    Equal masks are one mask at any `max_iou`; different ones may share a box when it is 1.
    """
    sides = _sides(masks)
    tree = shapely.STRtree(shapely.box(*sides.T))
    dropped = np.zeros(len(masks), bool)
    kept: dict[tuple[bytes, bytes, int], int] = {}
    for row in order:
        class_id = -1 if masks.class_id is None else int(masks.class_id[row])
        mask = sides[row].tobytes(), masks.masks[row].tobytes(), class_id
        if dropped[row] or mask in kept:
            continue
        kept[mask] = row
        near = tree.query(tree.geometries[row])
        alike = masks.class_id is None or masks.class_id[near] == masks.class_id[row]
        dropped[near[(_box_iou(sides[row], sides[near]) > max_iou) & alike]] = True
    return np.array(list(kept.values()), np.intp)


def _box_iou(box: Floats, others: Floats) -> Floats:
    """(N,) IoU of a box with others; two that share no area agree in nothing, be it that they have none."""
    shared = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
    return np.asarray(np.divide(shared, areas, out=np.zeros_like(shared), where=shared > 0))


def _without_small_regions(masks: MaskSet, valid: BoolArray, rule: AutomaticRule, keep: KeepRule) -> MaskSet:
    """Masks with small holes filled and small parts removed, and then without the duplicates that gives.

    Of two that agree the one that needed no change stays (`postprocess_small_regions` of SAM).
    """
    cleared = [_cleared(masks, row, valid, rule.min_region_px) for row in range(len(masks))]
    boxes = np.array([box for _, box, _ in cleared], np.int32).reshape(-1, 4)
    unchanged_first = np.argsort([changed for _, _, changed in cleared], kind="stable")
    masks = replace(masks, masks=tuple(mask for mask, _, _ in cleared), boxes_xyxy=boxes)
    return masks.select(_best(masks, unchanged_first, max(keep.max_duplicate_iou, rule.max_crop_duplicate_iou)))


def _cleared(masks: MaskSet, row: int, valid: BoolArray, least: int) -> tuple[BoolArray, NDArray[np.int32], bool]:
    """(mask, box, whether it had small regions) of one mask, see :func:`_without_small_regions`.

    Around it is looked at so much of the tile that a region which goes on further out is not small.
    """
    x0, y0, x1, y1 = masks.boxes_xyxy[row].tolist()
    across, down = -(-least // (y1 - y0)), -(-least // (x1 - x0))
    left, top = max(x0 - across, 0), max(y0 - down, 0)
    seen = valid[top : y1 + down, left : x1 + across]
    mask = np.zeros(seen.shape, bool)
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = masks.masks[row]

    labels, sizes = _regions(~mask)
    holes = sizes < least
    mask |= holes[labels]
    labels, sizes = _regions(mask)
    specks = sizes < least
    changed = bool(holes.any() or specks.any())
    if specks[1:].all():
        specks[1 + np.argmax(sizes[1:])] = False
    mask &= seen & ~specks[labels]

    around = box_around(mask)
    assert around is not None  # noqa: S101 - the largest part stays
    box = np.array(around.shifted(left, top).bounds_xyxy, np.int32)
    return mask[around.slices_rc].copy(), box, changed


def _regions(pixels: BoolArray) -> tuple[NDArray[np.int32], Floats]:
    """Labels (H, W) of what hangs together, 0 elsewhere; and the size of each label, infinite for 0."""
    labels, _ = ndimage.label(pixels, _TOUCHING)
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    sizes[0] = np.inf
    return labels, sizes
