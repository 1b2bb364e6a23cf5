"""All masks of one tile: the proposals of the segmenter, or the masks of a grid of points.

The steps are those of SAM's automatic mask generator (segment_anything/automatic_mask_generator.py): prompt with
points, keep good masks, drop duplicates. Options search enlarged crops of the tile for small objects, and clear masks
of specks and pinholes. Two things differ from SAM: points lie on a grid of scene pixels, and masks of equal score are
sorted by their pixels.
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

    from geosam._arrays import BoolArray, Floats, Indexes, Labels
    from geosam.segmenters.segmenter import Embedding, KeepRule, Prompted

#: Prompts in one call of the decoder; SAM's default.
_BATCH = 64
#: Distance from the edge of a crop (pixels) below which a mask may be cut off there; SAM's value.
_NEAR_EDGE_PX = 20
#: 8-connected neighbours: SAM counts pixels that touch at a corner as one speck or pinhole.
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class AutomaticRule:
    """Options of the search for all objects of a tile; the defaults are those of SAM's automatic mask generator."""

    spacing_px: int = 32
    """Distance between points of the grid, scene pixels."""
    crop_layers: int = 0
    """Number of layers of enlarged crops that are searched too; layer n has 4 ** n crops."""
    crop_overlap: float = 512 / 1500
    """Overlap of crops of layer 1, as a share of the tile's shorter side; half as much in each next layer."""
    crop_downscale_points: int = 1
    """Spacing of points in crops: that of layer n is `(crop_downscale_points / 2) ** n` times that of the tile."""
    max_crop_duplicate_iou: float = 0.7
    """Largest IoU of the boxes of two masks of different crops; above it, only the one from the smaller crop stays."""
    min_region_px: int = 0
    """Size in pixels below which holes of a mask are filled and separate parts removed, tile by tile; 0 for never."""

    def __post_init__(self) -> None:
        if self.spacing_px < 1 or self.crop_downscale_points < 1 or not 0 <= self.crop_overlap < 1:
            raise ValueError(
                f"an automatic rule has values without sense: found {self}, expected `spacing_px` and "
                "`crop_downscale_points` of at least 1 and `crop_overlap` from 0 to below 1"
            )


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
    """Return all masks of a tile, without duplicates, in an order that depends on the masks alone.

    Args:
        segmenter: the model that made the embedding.
        embedding: embedding of the tile.
        window: place of the tile, scene pixels.
        valid: (H, W) True for pixels that may be prompted.
        keep: scores that a mask needs.
        spacing_px: distance between points of the grid in scene pixels, in place of the rule's.
        rule: points, crops and small regions; None for the default rule. A segmenter that proposes ignores it.
        enlarge: embeds a part of the tile (scene pixels), enlarged to the input of the segmenter; masks decoded from it
            are in pixels of that part. Needed for crops.

    Raises:
        ValueError: the rule has crop layers, and `enlarge` is None.
    """
    if isinstance(segmenter, Proposes):
        return segmenter.propose(embedding, keep)
    rule = AutomaticRule() if rule is None else rule
    rule = rule if spacing_px is None else replace(rule, spacing_px=spacing_px)
    parts, crop_areas = [], []
    for crop, layer in _crops(window, rule):
        valid_crop = valid[_inside(crop, window)]
        points = _grid_points(crop, valid_crop, _spacing(rule, layer))
        if len(points):
            crop_embedding = _embedded(crop, enlarge) if layer else embedding
            masks = _prompted(segmenter, crop_embedding, points, valid_crop.shape, keep)
            masks = _uncut(_moved(masks, crop, window), crop, window)
            parts.append(masks.select(_best(masks, _by_score(masks), keep.max_duplicate_iou)))
            crop_areas += [crop.width * crop.height] * len(parts[-1])
    masks = MaskSet.concatenate(valid.shape, parts)
    if rule.crop_layers:
        smallest_first = np.argsort(np.array(crop_areas, np.int64), kind="stable")
        masks = masks.select(_best(masks, smallest_first, rule.max_crop_duplicate_iou))
    return _without_small_regions(masks, valid, rule, keep) if rule.min_region_px else masks


def _crops(tile: Window, rule: AutomaticRule) -> Iterator[tuple[Window, int]]:
    """Yield the tile and its crops, each with its layer, at the places of `generate_crop_boxes` of SAM."""
    yield tile, 0
    for layer in range(1, rule.crop_layers + 1):
        count = 2**layer
        shared = int(rule.crop_overlap * min(tile.shape_hw) * 2 / count)
        # Rounded up, so that the crops cover the tile; the last ones may reach beyond it and are clipped.
        width, height = (-(-(shared * (count - 1) + side) // count) for side in (tile.width, tile.height))
        for col, row in product(range(count), range(count)):
            x, y = tile.col_off + col * (width - shared), tile.row_off + row * (height - shared)
            crop = Window(x, y, width, height).intersection(tile)
            if crop is not None:
                yield crop, layer


def _spacing(rule: AutomaticRule, layer: int) -> int:
    spacing = rule.spacing_px
    for _ in range(layer):
        spacing = spacing * rule.crop_downscale_points // 2
    return max(spacing, 1)


def _inside(crop: Window, tile: Window) -> tuple[slice, slice]:
    """Return the slices (rows, columns) of the crop in an array of the tile."""
    return replace(crop, col_off=crop.col_off - tile.col_off, row_off=crop.row_off - tile.row_off).slices_rc


def _embedded(crop: Window, enlarge: Callable[[Window], Embedding] | None) -> Embedding:
    if enlarge is None:
        raise ValueError("crop layers need a function that embeds a crop: `enlarge`: found None")
    return enlarge(crop)


def _grid_points(window: Window, valid: BoolArray, spacing: int) -> Floats:
    """Return points (N, 2) of the scene's lattice on valid pixels, as window pixels x, y; centres lie at 0.5."""
    x = _lattice(window.col_off, window.width, spacing)
    y = _lattice(window.row_off, window.height, spacing)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    cols, rows = points.astype(np.intp).T
    return points[valid[rows, cols]]


def _lattice(begin: int, length: int, spacing: int) -> Floats:
    # Multiples of the spacing in scene pixels: neighbouring tiles prompt the strip that they share at the same places.
    first = -(-(begin - spacing // 2) // spacing) * spacing + spacing // 2
    return np.arange(first, begin + length, spacing, dtype=np.float64) - begin + 0.5


def _prompted(
    segmenter: Prompted, embedding: Embedding, points: Floats, shape_hw: tuple[int, int], keep: KeepRule
) -> MaskSet:
    """Decode the points, and return the good masks, with duplicates."""
    starts = range(0, len(points), _BATCH)
    batches = (_single_points(points[start : start + _BATCH]) for start in starts)
    decoded = [segmenter.decode(embedding, batch, multimask=True, keep=keep) for batch in batches]
    masks = MaskSet.concatenate(shape_hw, decoded)
    good = (masks.predicted_iou >= keep.min_predicted_iou) & (masks.stability_score >= keep.min_stability)
    masks = masks.select(good)
    return replace(masks, prompt_index=np.full(len(masks), -1, np.int32))  # the points are no prompts of the user


def _single_points(points: Floats) -> PixelPrompts:
    count = len(points)
    label = np.ones(1, np.int8)
    return PixelPrompts(tuple(points[:, None]), (label,) * count, np.full((count, 4), np.nan), (None,) * count)


def _moved(masks: MaskSet, crop: Window, tile: Window) -> MaskSet:
    """Move masks of a crop to their place in the tile."""
    shift = np.array([crop.col_off - tile.col_off, crop.row_off - tile.row_off] * 2, np.int32)
    return replace(masks, shape_hw=tile.shape_hw, boxes_xyxy=masks.boxes_xyxy + shift)


def _uncut(masks: MaskSet, crop: Window, tile: Window) -> MaskSet:
    """Drop masks that the crop may have cut off: those near an edge of the crop that is no edge of the tile."""
    rows, cols = _inside(crop, tile)
    sides = _sides(masks)
    near_crop = np.abs(sides - [cols.start, rows.start, cols.stop, rows.stop]) <= _NEAR_EDGE_PX
    near_tile = np.abs(sides - [0, 0, tile.width, tile.height]) <= _NEAR_EDGE_PX
    return masks.select(~(near_crop & ~near_tile).any(axis=1))


def _sides(masks: MaskSet) -> Floats:
    """Return boxes (N, 4) from first to last pixel, as SAM measures them: a pixel less at the right and the bottom."""
    return np.asarray(masks.boxes_xyxy - np.array([0.0, 0.0, 1.0, 1.0]))


def _by_score(masks: MaskSet) -> Indexes:
    """Sort rows by predicted IoU, the best first; of equal ones, the first box and then the larger mask come first."""
    # Never by the order of the points: neighbouring tiles must choose the same mask.
    boxes = masks.boxes_xyxy.astype(np.float64)
    return np.lexsort((-masks.areas_px, *boxes.T[[2, 3, 0, 1]], -masks.predicted_iou.astype(np.float64)))


def _best(masks: MaskSet, order: Indexes, max_iou: float) -> Indexes:
    """Drop duplicates as SAM does: go through rows in `order`, and drop later ones whose boxes agree with a kept one.

    Of equal masks one stays at any `max_iou`; different masks may share a box if `max_iou` is 1.

    Returns:
        The kept rows, in `order`.
    """
    sides = _sides(masks)
    tree = shapely.STRtree(shapely.box(*sides.T))
    dropped = np.zeros(len(masks), bool)
    kept: dict[tuple[bytes, bytes, int], int] = {}
    for row in order:
        class_id = -1 if masks.class_id is None else int(masks.class_id[row])
        content = sides[row].tobytes(), masks.masks[row].tobytes(), class_id
        if dropped[row] or content in kept:
            continue
        kept[content] = row
        near = tree.query(tree.geometries[row])
        same_class = masks.class_id is None or masks.class_id[near] == masks.class_id[row]
        dropped[near[(_box_iou(sides[row], sides[near]) > max_iou) & same_class]] = True
    return np.array(list(kept.values()), np.intp)


def _box_iou(box: Floats, others: Floats) -> Floats:
    """Return the IoU (N,) of a box with other boxes; 0 where they share no area, also for boxes without area."""
    shared = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
    return np.asarray(np.divide(shared, areas, out=np.zeros_like(shared), where=shared > 0))


def _without_small_regions(masks: MaskSet, valid: BoolArray, rule: AutomaticRule, keep: KeepRule) -> MaskSet:
    """Fill small holes, remove small parts, then drop new duplicates (`postprocess_small_regions` of SAM).

    Of two duplicates the one that needed no change stays.
    """
    cleared = [_cleared(masks, row, valid, rule.min_region_px) for row in range(len(masks))]
    boxes = np.array([box for _, box, _ in cleared], np.int32).reshape(-1, 4)
    unchanged_first = np.argsort([changed for _, _, changed in cleared], kind="stable")
    masks = replace(masks, masks=tuple(mask for mask, _, _ in cleared), boxes_xyxy=boxes)
    return masks.select(_best(masks, unchanged_first, max(keep.max_duplicate_iou, rule.max_crop_duplicate_iou)))


def _cleared(masks: MaskSet, row: int, valid: BoolArray, least: int) -> tuple[BoolArray, NDArray[np.int32], bool]:
    """Clear one mask of small regions, see :func:`_without_small_regions`.

    Returns:
        The mask cropped to its box, the box (x0, y0, x1, y1) in pixels of the tile, and True if it was changed.
    """
    # A margin of so many pixels that a hole which continues outside the box reaches `least` pixels there.
    x0, y0, x1, y1 = masks.boxes_xyxy[row].tolist()
    across, down = -(-least // (y1 - y0)), -(-least // (x1 - x0))
    left, top = max(x0 - across, 0), max(y0 - down, 0)
    valid_around = valid[top : y1 + down, left : x1 + across]
    mask = np.zeros(valid_around.shape, bool)
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = masks.masks[row]

    labels, sizes = _regions(~mask)
    holes = sizes < least
    mask |= holes[labels]
    labels, sizes = _regions(mask)
    specks = sizes < least
    changed = bool(holes.any() or specks.any())
    if specks[1:].all():  # a mask never becomes empty
        specks[1 + np.argmax(sizes[1:])] = False
    mask &= valid_around & ~specks[labels]  # a hole of invalid pixels stays

    around = box_around(mask)
    assert around is not None  # noqa: S101 - the largest part stays
    box = np.array(around.shifted(left, top).bounds_xyxy, np.int32)
    return mask[around.slices_rc].copy(), box, changed


def _regions(pixels: BoolArray) -> tuple[Labels, Floats]:
    """Return labels (H, W) of 8-connected regions, 0 elsewhere, and the size of each label; infinite for 0."""
    labels, _ = ndimage.label(pixels, _TOUCHING)
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    sizes[0] = np.inf
    return labels, sizes
