"""Target objects: labelled objects that a segmenter is prompted for, and the IoU of its answers."""

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
from geosam.prompts.prompt import ScenePrompt
from geosam.training.data.clicks import Click, corrective_click, innermost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.scene import Scene
    from geosam.training.samples import LabelledPicture
    from geosam.vector.polygons import PolygonLayer

#: Objects with fewer pixels are no targets.
MIN_AREA_PX = 25
#: A polygon is a target if at least this share of its area lies on valid pixels.
INSIDE_SHARE = 0.5


class TargetObject(NamedTuple):
    """A labelled object in pixels of a scene or a picture."""

    window: Window
    """Tight box of the mask."""
    mask: BoolArray
    """(h, w) pixels of the object in the window."""

    @property
    def bounds_xyxy(self) -> tuple[float, float, float, float]:
        """Tight box of the mask: x0, y0, x1, y1."""
        window = self.window
        return float(window.col_off), float(window.row_off), float(window.col_end), float(window.row_end)

    def first_click(self) -> Click:
        """Click at the innermost point."""
        x, y = innermost(self.mask)
        return Click(x + self.window.col_off, y + self.window.row_off, 1)

    def next_click(self, predicted: BoolArray, window: Window) -> Click | None:
        """Click where a predicted mask (H, W) of a window around the object is most wrong; None if it is right."""
        target = np.zeros(window.shape_hw, bool)
        target[self.window.relative_to(window).slices_rc] = self.mask
        click = corrective_click(target, predicted)
        return click and Click(click.x + window.col_off, click.y + window.row_off, click.label)

    def click_prompt(self, index: int) -> ScenePrompt:
        """Make a prompt of the first click."""
        x, y, label = self.first_click()
        return ScenePrompt(index, np.array([[x, y]]), np.array([label], np.int8), None, None, "auto", (x, y, x, y))

    def box_prompt(self, index: int) -> ScenePrompt:
        """Make a prompt of the tight box."""
        box = self.bounds_xyxy
        return ScenePrompt(index, np.empty((0, 2)), np.empty(0, np.int8), box, None, "auto", box)

    def iou(self, predicted: BoolArray, predicted_area: float) -> float:
        """Compute the IoU with a predicted mask.

        Args:
            predicted: (h, w) part of the predicted mask in the object's window.
            predicted_area: Pixels of the whole predicted mask.
        """
        common = np.count_nonzero(self.mask & predicted)
        return float(common / (np.count_nonzero(self.mask) + predicted_area - common))


def targets_of_scene(scene: Scene, layer: PolygonLayer) -> tuple[list[TargetObject], int]:
    """Turn the polygons of a layer into target objects, in order.

    The mask of a polygon holds the valid pixels of the scene's region that it covers.

    Returns:
        The target objects, and the number of polygons that are too small or not in the scene.
    """
    polygons = shapely.transform(layer.to_crs(scene.geobox.crs).polygons, scene.geobox.to_pixel)
    objects = [_target_of_polygon(scene, polygon) for polygon in polygons]
    targets = [target for target in objects if target is not None]
    return targets, len(objects) - len(targets)


def targets_of_picture(picture: LabelledPicture) -> list[TargetObject]:
    """Find the objects of a picture that are large enough, in the order of their numbers."""
    height, width = picture.instances.shape
    pieces = enumerate(ndimage.find_objects(picture.instances), start=1)
    masks = ((picture.instances[pixels] == number, pixels) for number, pixels in pieces if pixels is not None)
    whole = Window(0, 0, width, height)
    return [_placed(mask, pixels, whole) for mask, pixels in masks if np.count_nonzero(mask) >= MIN_AREA_PX]


def outlines(targets: Sequence[TargetObject]) -> NDArray[np.object_]:
    """Polygons (N,) along the pixel edges of target objects."""
    return polygonize([corners_of(mask, window.col_off, window.row_off) for window, mask in targets])


def polygon_mask(polygon: Any | None, window: Window) -> BoolArray:
    """Mask (H, W) of the pixels of a window whose centres a polygon in pixels covers; empty for None."""
    if polygon is None:
        return np.zeros(window.shape_hw, bool)
    shift = Affine.translation(window.col_off, window.row_off)
    return np.asarray(rasterize([polygon], out_shape=window.shape_hw, transform=shift, dtype=np.uint8) > 0)


def _target_of_polygon(scene: Scene, polygon: Any) -> TargetObject | None:
    """Make the target object of a polygon in scene pixels; None if it is too small or not in the scene."""
    x0, y0, x1, y1 = polygon.bounds
    col, row = math.floor(x0), math.floor(y0)
    window = Window(col, row, max(1, math.ceil(x1) - col), max(1, math.ceil(y1) - row)).intersection(scene.region)
    if window is None:
        return None
    mask = polygon_mask(polygon, window) & scene.read(window).valid
    if np.count_nonzero(mask) < max(MIN_AREA_PX, INSIDE_SHARE * polygon.area):
        return None
    (pixels,) = ndimage.find_objects(mask.astype(np.int8))
    return _placed(mask[pixels], pixels, window)


def _placed(mask: BoolArray, pixels: tuple[slice, slice], window: Window) -> TargetObject:
    """Place a mask (h, w) that shows some rows and columns of a window."""
    rows, cols = pixels
    col, row = window.col_off + cols.start, window.row_off + rows.start
    return TargetObject(Window(col, row, cols.stop - cols.start, rows.stop - rows.start), mask)
