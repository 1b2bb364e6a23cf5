"""Scene and label layer -> LabelledPicture: labels lie on the pixels that geosam itself would give them."""

from __future__ import annotations

import logging
import math
import warnings
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geosam.errors import PromptError, PromptOutsideScene, UnreadableScene, UsageError
from geosam.geometry.geobox import Window
from geosam.prompts.in_window import in_window
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene
from geosam.prompts.prompt import Prompt
from geosam.scene import open_scene
from geosam.training.samples import LabelledPicture
from geosam.vector.polygons import read_polygons

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from geosam.prompts.prompt import ScenePrompt
    from geosam.scene import Scene

LabelKind: TypeAlias = Literal["polygons", "boxes", "points"]

#: What is read around a labelled area, as surroundings of the objects at its edge (pixels).
MARGIN_PX = 512
#: Polygons that come this close to the border of the labelled area, and do not cross it, end there (pixels).
_CUT_PX = 1.0
#: Rows that are read at once.
_ROWS_AT_ONCE = 1024

logger = logging.getLogger(__name__)


def read_labelled(
    scene: str | Path,
    labels: str | Path,
    *,
    kind: LabelKind = "polygons",
    area: str | Path | None = None,
    complete: bool = True,
    bands: Sequence[int] | None = None,
    gsd: float | None = None,
) -> LabelledPicture:
    """Read a scene with the objects of a label layer; see :func:`label_scene`.

    Args:
        scene: Any raster that geosam opens.
        labels: Vector file with one object in each feature.
        kind: What the features are: outlines, polygons of which only the box counts, or points.
        area: Vector file with polygons inside which everything is labelled; None stands for the whole scene.
        complete: Whether everything is labelled there; otherwise a pixel without label is unknown.
        bands: The scene's bands, counted from 1; by colour interpretation when left out.
        gsd: Metres on the ground per pixel; native when left out.

    Raises:
        SceneError: the raster cannot be used.
        PromptError: a layer cannot be used, or has no object in the scene.
    """
    opened = open_scene(scene, bands=bands, resolution=gsd)
    try:
        return label_scene(opened, labels, kind=kind, area=area, complete=complete)
    finally:
        opened.close()


def label_scene(
    scene: Scene,
    labels: str | Path,
    *,
    kind: LabelKind = "polygons",
    area: str | Path | None = None,
    complete: bool = True,
) -> LabelledPicture:
    """The region of an opened scene with the objects of a label layer; arguments as for :func:`read_labelled`.

    Of a scene with an `area`, only the envelope of the area and 512 px around it are read. Objects are numbered in the
    order of the layer; where they overlap, the smaller one is on top. A polygon that ends at the border of the area has
    been cut there, and its pixels are unknown. Where everything is labelled with boxes, what lies outside all of them
    is background; around points nothing is known.

    Raises:
        SceneError: the raster is damaged.
        PromptError: a layer cannot be used, or has no object in the region.
    """
    if kind not in get_args(LabelKind):
        raise UsageError(f"kind of labels: {kind!r} found, one of {', '.join(get_args(LabelKind))} wanted. Correct it.")
    limits = None if area is None else _placed(scene, area, "polygons", scene.region)
    window = scene.region if limits is None else _around(limits, scene.region)
    objects = _placed(scene, labels, kind, window)
    rgb, valid = _read(scene, window)
    known = valid & complete
    if limits is not None:
        known &= _painted(limits, window) > 0
    origin = np.array([window.col_off, window.row_off] * 2, np.float64)
    boxes, points = np.zeros((0, 4)), np.zeros((0, 2))
    whole: list[ScenePrompt] = []
    if kind == "points":
        points = np.concatenate([each.points_xy[each.labels == 1] for each in objects]) - origin[:2]
        known[:] = False
    elif kind == "boxes":
        boxes = np.array([each.box_xyxy for each in objects]) - origin
        for x0, y0, x1, y1 in boxes.round().astype(int).clip(0).tolist():
            known[y0:y1, x0:x1] = False
    else:
        whole, cut = _divided(objects, limits or [], scene)
        known &= _painted(cut, window) == 0
    instances = _painted(whole, window) * valid
    gsd = math.sqrt(math.prod(scene.gsd_xy))
    marks = boxes.astype(np.float32), points.astype(np.float32)
    return LabelledPicture(scene.path, rgb, valid, instances, known, gsd, *marks)


def read_label_map(scene: str | Path, labels: str | Path) -> LabelledPicture:
    """Read a picture without georeference and the raster of the same size that numbers its objects, 0 for none.

    Such pictures have no scale: `gsd` is NaN.

    Raises:
        UnreadableScene: a file is missing or damaged, or the sizes differ.
    """
    opened = open_scene(scene, assume_pixels=True)
    try:
        tile = opened.read(opened.region)
    finally:
        opened.close()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(labels) as file:
                instances = file.read(1).astype(np.int32)
    except RasterioError as error:
        raise UnreadableScene(f"the label map cannot be read: {labels}: {error}, a raster wanted.") from error
    if instances.shape != tile.valid.shape:
        raise UnreadableScene(
            f"the label map does not fit: {labels}: {instances.shape} rows and columns found, {tile.valid.shape} "
            f"wanted as in {scene}. Export both at one size."
        )
    return LabelledPicture(str(scene), tile.rgb, tile.valid, np.where(tile.valid, instances, 0), tile.valid, math.nan)


def _placed(scene: Scene, path: str | Path, kind: LabelKind, window: Window) -> list[ScenePrompt]:
    """The objects of a layer in scene pixels, at least one of which lies in the window."""
    prompts = _objects(path, kind)
    placed, _ = to_scene(prompts, scene.geobox, skip_outside=True)  # labels of other scenes need no word
    inside = [prompt for prompt in placed if _window_of(prompt, window)]
    if not inside:
        raise PromptOutsideScene(
            f"no labels in the scene: {path}: 0 of {len(prompts)} {kind} lie in {scene.path}, at least one wanted. "
            "Check that both are of the same place, and their CRSs."
        )
    return inside


def _objects(path: str | Path, kind: LabelKind) -> list[Prompt]:
    if kind == "points":
        prompts, _ = read_prompts(path)
        for prompt in prompts:
            if prompt.box_xyxy is not None:
                raise PromptError(f"a label cannot be used: {prompt.source}: a polygon, points only wanted. Remove it.")
        return prompts
    layer = read_polygons(path)
    for note in layer.notes:
        logger.warning(note)
    rows = zip(layer.ids.tolist(), layer.polygons, strict=True)
    if kind == "boxes":
        return [
            Prompt(name, layer.crs, box_xyxy=shape.bounds, source=f"{layer.source}, feature {name}", outline=shape)
            for name, shape in rows
        ]
    return [Prompt(name, layer.crs, mask=shape, source=f"{layer.source}, feature {name}") for name, shape in rows]


def _window_of(prompt: ScenePrompt, within: Window) -> Window | None:
    """The pixels that the envelope of an object touches, as far as they lie in `within`."""
    x0, y0, x1, y1 = prompt.bounds_xyxy
    col, row = math.floor(x0), math.floor(y0)
    return within.intersection(Window(col, row, max(math.ceil(x1) - col, 1), max(math.ceil(y1) - row, 1)))


def _around(limits: list[ScenePrompt], region: Window) -> Window:
    """The part of the region that lies in the envelope of some polygons or 512 px around it."""
    corners = np.array([prompt.bounds_xyxy for prompt in limits])
    col, row = np.floor(corners[:, :2].min(axis=0)).astype(int) - MARGIN_PX
    col_end, row_end = np.ceil(corners[:, 2:].max(axis=0)).astype(int) + MARGIN_PX
    window = region.intersection(Window(int(col), int(row), int(col_end - col), int(row_end - row)))
    assert window is not None  # noqa: S101 - polygons outside the region were left out
    return window


def _read(scene: Scene, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture (3, H, W) and valid mask (H, W) of a window, read in strips: values may be wider than the picture."""
    rgb, valid = np.empty((3, *window.shape_hw), np.uint8), np.empty(window.shape_hw, bool)
    for row in range(0, window.height, _ROWS_AT_ONCE):
        rows = slice(row, min(row + _ROWS_AT_ONCE, window.height))
        tile = scene.read(Window(window.col_off, window.row_off + row, window.width, rows.stop - row))
        rgb[:, rows], valid[rows] = tile.rgb, tile.valid
    return rgb, valid


def _painted(objects: list[ScenePrompt], window: Window) -> NDArray[np.int32]:
    """(H, W) numbers 1 to N of the polygons that hold each pixel of a window, the smaller of several; 0 for none.

    Pixels are chosen by the rule for masks that are given as prompts.
    """
    result = np.zeros(window.shape_hw, np.int32)
    areas = [each.polygon.area for each in objects]
    for i in sorted(range(len(objects)), key=lambda i: (-areas[i], i)):
        part = _window_of(objects[i], window)
        if part is not None:
            mask = in_window([objects[i]], part).masks[0]
            result[part.relative_to(window).slices_rc][mask] = i + 1
    return result


def _divided(
    objects: list[ScenePrompt], limits: list[ScenePrompt], scene: Scene
) -> tuple[list[ScenePrompt], list[ScenePrompt]]:
    """Polygons that are whole, and those that end inside the scene where the labelled area does.

    Whoever cuts labels to an area leaves pieces of objects at its border, whose other parts are in the picture.
    """
    if not limits:
        return objects, []
    edges = scene.region
    inner = shapely.box(edges.col_off, edges.row_off, edges.col_end, edges.row_end).buffer(-1)
    labelled = shapely.union_all([each.polygon for each in limits])
    shapes = np.array([each.polygon for each in objects], object)
    is_cut = shapely.dwithin(shapes, labelled.boundary.intersection(inner), _CUT_PX)
    is_cut &= shapely.covered_by(shapes, labelled.buffer(_CUT_PX))
    if is_cut.all():
        raise PromptError(
            f"no whole object is labelled: {scene.path}: all {len(objects)} polygons in it end at the border of the "
            "labelled area, at least one wanted that does not. Draw the area around what is labelled."
        )
    rows = list(zip(objects, is_cut.tolist(), strict=True))
    return [each for each, cut in rows if not cut], [each for each, cut in rows if cut]
