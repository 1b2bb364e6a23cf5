"""Pseudo-labels: unlabelled pictures that a trained network labels.

A mask becomes a label if the network proposes it for the picture and for the mirrored picture, both times with a high
expected IoU. The other pixels are unknown, not background. (Consistency under transformations as in FixMatch, Sohn et
al. 2020.)
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
from geosam.training.data.picture_cache import cached_picture
from geosam.training.samples import LabelledPicture
from geosam.vector.polygons import read_polygons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geosam.geometry.geobox import Window
    from geosam.scene import Scene, Tile
    from geosam.segmenters.segmenter import Segmenter

#: Side of the pictures in pixels.
TILE_PX = 1024
#: Least quality of a mask that becomes a label.
_KEEP = KeepRule(min_predicted_iou=0.7, min_stability=0.7, max_duplicate_iou=0.6)
#: Least IoU of such a mask with a mask of the mirrored picture.
_AGREEMENT = 0.8


def self_labelled_pictures(
    path: Path, labelled_area: Path | None, segmenter: Segmenter, folder: Path
) -> Iterator[LabelledPicture]:
    """Yield the tiles of a scene with the masks that a segmenter is sure of.

    Args:
        path: File of the scene.
        labelled_area: Vector file with polygons; tiles that touch them are left out, since better labels exist.
        segmenter: Segmenter that proposes masks.
        folder: Folder that keeps the pictures, under names that tell which weights labelled them.

    Raises:
        UsageError: The segmenter proposes no masks.
    """
    with closing(open_scene(path)) as scene:
        excluded = shapely.GeometryCollection() if labelled_area is None else _area(scene, labelled_area)
        grid = TileGrid.over(scene.region, TILE_PX, 2)
        mark = blake2b(segmenter.spec.fingerprint.encode(), digest_size=8).hexdigest()
        for number in range(len(grid)):
            window = grid.window(number)
            if not shapely.box(window.col_off, window.row_off, window.col_end, window.row_end).intersects(excluded):
                file = folder / f"{path.parent.name}-{mark}-{number:05}.npz"
                yield cached_picture(file, partial(_labelled, scene, window, segmenter))


def _area(scene: Scene, path: Path) -> shapely.Geometry:
    """Read the polygons of a file as one geometry in scene pixels."""
    polygons = read_polygons(path).to_crs(scene.geobox.crs).polygons
    return shapely.union_all(shapely.transform(polygons, scene.geobox.to_pixel))


def _labelled(scene: Scene, window: Window, segmenter: Segmenter) -> LabelledPicture:
    """Number the masks of a tile; the smaller of two masks that overlap is on top."""
    tile = scene.read(window)
    sure = _agreed(_masks(tile, segmenter), _masks(tile, segmenter, mirrored=True))
    instances = np.zeros(window.shape_hw, np.int32)
    for number, row in enumerate(np.argsort(-sure.areas_px, kind="stable").tolist(), start=1):
        instances[sure.full(row)] = number
    nowhere = np.zeros(window.shape_hw, bool)  # a pixel without a mask is unknown
    name = f"self_labelled/{scene.path}, column {window.col_off}, row {window.row_off}"
    return LabelledPicture(name, tile.rgb, tile.valid, instances, nowhere, math.sqrt(math.prod(scene.gsd_xy)))


def _masks(tile: Tile, segmenter: Segmenter, *, mirrored: bool = False) -> MaskSet:
    """Propose masks for a tile or its mirror image; masks of the mirror image are turned back."""
    if not tile.valid.any():
        return MaskSet.empty(tile.window.shape_hw)
    cols = slice(None, None, -1 if mirrored else 1)
    picture = replace(tile, rgb=tile.rgb[:, :, cols], valid=tile.valid[:, cols])
    (embedding,) = embed(segmenter, [picture])
    if not isinstance(segmenter, Proposes):
        raise UsageError(
            f"the model cannot label pictures: {segmenter.spec.name} proposes no masks, expected a model that does.",
            remedy="Name a network that proposes masks.",
            code="teacher-without-proposals",
            teacher=segmenter.spec.name,
        )
    proposals = within(segmenter.propose(embedding, _KEEP), tile)
    masks = [proposals.full(row)[:, cols] for row in range(len(proposals))]
    return MaskSet.from_full(masks, proposals.shape_hw, predicted_iou=proposals.predicted_iou)


def _agreed(masks: MaskSet, others: MaskSet) -> MaskSet:
    """Select the masks that are nearly equal to one of the others."""
    return masks.select([row for row in range(len(masks)) if _best_iou(masks, row, others) >= _AGREEMENT])


def _best_iou(masks: MaskSet, row: int, others: MaskSet) -> float:
    """Find the best IoU of a mask with any of the others; 0 if none overlaps it."""
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    u0, v0, u1, v1 = others.boxes_xyxy.T
    mask = masks.full(row)
    best = 0.0
    for near in np.flatnonzero((u0 < x1) & (u1 > x0) & (v0 < y1) & (v1 > y0)).tolist():
        best = max(best, mask_iou(mask, others.full(near)))
    return best
