"""Targets: labelled objects that a segmenter shall find, and how well an answer shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage

from geosam.geometry.corners import corners_of
from geosam.geometry.geobox import Window
from geosam.geometry.polygons import polygonize
from geosam.training.data.clicks import Click, corrective_click, innermost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.scene import Scene
    from geosam.training.samples import LabelledPicture
    from geosam.vector.polygons import PolygonLayer

#: Objects smaller than this are no targets, pixels.
LEAST_AREA_PX = 25
#: An object of a scene is a target if at least this share of its polygon lies on valid pixels.
INSIDE_SHARE = 0.5


class Target(NamedTuple):
    """An object that is to be found, in pixels of a scene or a picture."""

    window: Window
    """The tight box of its mask."""
    mask: BoolArray
    """(h, w) of the window."""

    def first_click(self) -> Click:
        """At its innermost point."""
        x, y = innermost(self.mask)
        return Click(x + self.window.col_off, y + self.window.row_off, 1)

    def next_click(self, answer: BoolArray, shown: Window) -> Click | None:
        """Where the answer (H, W) in a window around the object is most wrong; None where nothing is."""
        target = np.zeros(shown.shape_hw, bool)
        target[self.window.relative_to(shown).slices_rc] = self.mask
        click = corrective_click(target, answer)
        return click and Click(click.x + shown.col_off, click.y + shown.row_off, click.label)

    def iou(self, answer: BoolArray, answer_area: float) -> float:
        """IoU with an answer: its part (h, w) in the object's window, and its whole area in pixels."""
        common = np.count_nonzero(self.mask & answer)
        return float(common / (np.count_nonzero(self.mask) + answer_area - common))


def targets_of_scene(scene: Scene, layer: PolygonLayer) -> tuple[list[Target], int]:
    """The objects of a layer that can be asked for, in its order, and how many are too small or not in the scene.

    An object is what its polygon covers of the valid pixels of the scene's region.
    """
    polygons = shapely.transform(layer.to_crs(scene.geobox.crs).polygons, scene.geobox.to_pixel)
    found = [_target(scene, polygon) for polygon in polygons]
    targets = [target for target in found if target is not None]
    return targets, len(found) - len(targets)


def targets_of_picture(picture: LabelledPicture) -> list[Target]:
    """The objects of a picture that are large enough, by their numbers."""
    height, width = picture.instances.shape
    pieces = enumerate(ndimage.find_objects(picture.instances), start=1)
    masks = ((picture.instances[pixels] == number, pixels) for number, pixels in pieces if pixels is not None)
    whole = Window(0, 0, width, height)
    return [_cut(mask, pixels, whole) for mask, pixels in masks if np.count_nonzero(mask) >= LEAST_AREA_PX]


def outlines(targets: Sequence[Target]) -> NDArray[np.object_]:
    """(N,) polygons along the pixel edges of targets."""
    return polygonize([corners_of(mask, window.col_off, window.row_off) for window, mask in targets])


def burnt(polygon: Any | None, window: Window) -> BoolArray:
    """The pixels (H, W) of a window whose centres a polygon in pixels covers; none of None."""
    if polygon is None:
        return np.zeros(window.shape_hw, bool)
    shift = Affine.translation(window.col_off, window.row_off)
    return np.asarray(rasterize([polygon], out_shape=window.shape_hw, transform=shift, dtype=np.uint8) > 0)


def _target(scene: Scene, polygon: Any) -> Target | None:
    """What a polygon in scene pixels covers."""
    x0, y0, x1, y1 = polygon.bounds
    col, row = math.floor(x0), math.floor(y0)
    window = Window(col, row, max(1, math.ceil(x1) - col), max(1, math.ceil(y1) - row)).intersection(scene.region)
    if window is None:
        return None
    mask = burnt(polygon, window) & scene.read(window).valid
    if np.count_nonzero(mask) < max(LEAST_AREA_PX, INSIDE_SHARE * polygon.area):
        return None
    (pixels,) = ndimage.find_objects(mask.astype(np.int8))
    return _cut(mask[pixels], pixels, window)


def _cut(mask: BoolArray, pixels: tuple[slice, slice], window: Window) -> Target:
    """The target whose mask (h, w) shows some rows and columns of a window."""
    rows, cols = pixels
    col, row = window.col_off + cols.start, window.row_off + rows.start
    return Target(Window(col, row, cols.stop - cols.start, rows.stop - rows.start), mask)
