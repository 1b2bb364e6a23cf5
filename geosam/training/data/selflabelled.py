"""Pictures that nobody labelled, labelled by a network that has learnt already.

A mask is believed if the network finds it in the mirrored picture too, and expects much of it both times. What it does
not find is unknown, not background. (Consistency under transformations as in FixMatch, Sohn et al. 2020.)
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geosam.errors import UsageError
from geosam.geometry.pixel_sets import mask_iou
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import embed, within
from geosam.scene import open_scene
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import KeepRule, Proposes
from geosam.training.data.cached import kept
from geosam.training.samples import LabelledPicture
from geosam.vector.polygons import read_polygons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geosam.geometry.geobox import Window
    from geosam.scene import Scene, Tile
    from geosam.segmenters.segmenter import Segmenter

#: Side of the pictures.
TILE_PX = 1024
#: What is expected of a mask that is believed, and how well it has to agree with one of the mirrored picture.
_KEEP = KeepRule(min_predicted_iou=0.7, min_stability=0.7, max_duplicate_iou=0.6)
_AGREEMENT = 0.8


def self_labelled_pictures(
    path: Path, labelled_area: Path | None, segmenter: Segmenter, folder: Path
) -> Iterator[LabelledPicture]:
    """The tiles of a scene with the masks that `segmenter` is sure of, from `folder` where they lie there already.

    Args:
        path: The scene.
        labelled_area: Vector file with polygons; tiles that touch them are left out, since better labels exist.
        segmenter: Proposes masks.
        folder: Where the pictures are kept, under names that say which weights labelled them.

    Raises:
        UsageError: the segmenter finds nothing by itself.
    """
    with closing(open_scene(path)) as scene:
        taken = shapely.GeometryCollection() if labelled_area is None else _area(scene, labelled_area)
        grid = TileGrid.over(scene.region, TILE_PX, 2)
        mark = blake2b(segmenter.spec.fingerprint.encode(), digest_size=8).hexdigest()
        for number in range(len(grid)):
            window = grid.window(number)
            if not shapely.box(window.col_off, window.row_off, window.col_end, window.row_end).intersects(taken):
                file = folder / f"{path.parent.name}-{mark}-{number:05}.npz"
                yield kept(file, partial(_labelled, scene, window, segmenter))


def _area(scene: Scene, path: Path) -> shapely.Geometry:
    polygons = read_polygons(path).to_crs(scene.geobox.crs).polygons
    return shapely.union_all(shapely.transform(polygons, scene.geobox.to_pixel))


def _labelled(scene: Scene, window: Window, segmenter: Segmenter) -> LabelledPicture:
    """A tile with numbered masks; the smaller of two that overlap is on top."""
    tile = scene.read(window)
    sure = _agreed(_masks(tile, segmenter), _masks(tile, segmenter, mirrored=True))
    instances = np.zeros(window.shape_hw, np.int32)
    for number, row in enumerate(np.argsort(-sure.areas_px, kind="stable").tolist(), start=1):
        instances[sure.full(row)] = number
    nowhere = np.zeros(window.shape_hw, bool)
    name = f"self_labelled/{scene.path}, column {window.col_off}, row {window.row_off}"
    return LabelledPicture(name, tile.rgb, tile.valid, instances, nowhere, math.sqrt(math.prod(scene.gsd_xy)))


def _masks(tile: Tile, segmenter: Segmenter, *, mirrored: bool = False) -> MaskSet:
    """What the segmenter is sure of, as masks of the tile as it is."""
    if not tile.valid.any():
        return MaskSet.empty(tile.window.shape_hw)
    turned = slice(None, None, -1 if mirrored else 1)
    shown = replace(tile, rgb=tile.rgb[:, :, turned], valid=tile.valid[:, turned])
    (embedding,) = embed(segmenter, [shown])
    if not isinstance(segmenter, Proposes):
        raise UsageError(f"the model {segmenter.spec.name} finds nothing by itself. Name a network that proposes.")
    found = within(segmenter.propose(embedding, _KEEP), tile)
    masks = [found.full(row)[:, turned] for row in range(len(found))]
    return MaskSet.from_full(masks, found.shape_hw, predicted_iou=found.predicted_iou)


def _agreed(masks: MaskSet, others: MaskSet) -> MaskSet:
    """The masks that are among the others too."""
    return masks.select([row for row in range(len(masks)) if _best_iou(masks, row, others) >= _AGREEMENT])


def _best_iou(masks: MaskSet, row: int, others: MaskSet) -> float:
    """IoU of a mask with the one of the others that is most like it; 0 where none meets it."""
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    u0, v0, u1, v1 = others.boxes_xyxy.T
    mask = masks.full(row)
    best = 0.0
    for near in np.flatnonzero((u0 < x1) & (u1 > x0) & (v0 < y1) & (v1 > y0)).tolist():
        best = max(best, mask_iou(mask, others.full(near)))
    return best
