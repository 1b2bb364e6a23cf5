"""Labels of a scene: read a scene and its label layer as a labelled picture.

A label covers the pixels that geosam itself gives to a polygon.
"""

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

    from geosam._arrays import BoolArray
    from geosam.prompts.prompt import ScenePrompt
    from geosam.scene import Scene

LabelKind: TypeAlias = Literal["polygons", "boxes", "points"]

#: Pixels around a labelled area that are read with it, as surroundings of the objects at its edge.
MARGIN_PX = 512
#: A polygon that comes this close to the border of the labelled area without crossing it was cut there (pixels).
_CUT_PX = 1.0
#: Rows that are read at a time.
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
        scene: Raster that geosam can open.
        labels: Vector file with one object in each feature.
        kind: Kind of the features: outlines, polygons of which only the box counts, or points.
        area: Vector file with polygons inside which everything is labelled; None stands for the whole scene.
        complete: True if every object in the area is labelled; otherwise a pixel without a label is unknown.
        bands: Bands of the scene, counted from 1; None: by colour interpretation.
        gsd: Metres on the ground per pixel; None: as in the file.

    Raises:
        SceneError: The raster cannot be used.
        PromptError: A layer cannot be used, or has no object in the scene.
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
    """Read the region of an opened scene with the objects of a label layer; arguments as for :func:`read_labelled`.

    With an `area`, only the envelope of the area and 512 px around it are read. Objects are numbered in the order of
    the layer; where objects overlap, the smaller one is on top. A polygon that was cut at the border of the area is
    unknown. With complete boxes, pixels outside all boxes are background; with points, all pixels are unknown.

    Raises:
        UsageError: `kind` is none of the kinds.
        SceneError: The raster is damaged.
        PromptError: A layer cannot be used, or has no object in the region.
    """
    if kind not in get_args(LabelKind):
        raise UsageError(
            f"unknown kind of labels: found {kind!r}, expected one of {', '.join(get_args(LabelKind))}.",
            remedy="Correct the kind.",
            code="unknown-label-kind",
            kind=kind,
        )
    limits = None if area is None else _placed(scene, area, "polygons", scene.region)
    window = scene.region if limits is None else _around(limits, scene.region)
    objects = _placed(scene, labels, kind, window)
    rgb, valid = _read(scene, window)
    labelled = valid & complete
    if limits is not None:
        labelled &= _painted(limits, window) > 0
    origin = np.array([window.col_off, window.row_off] * 2, np.float64)
    boxes, points = np.zeros((0, 4)), np.zeros((0, 2))
    whole: list[ScenePrompt] = []
    if kind == "points":
        points = np.concatenate([each.points_xy[each.labels == 1] for each in objects]) - origin[:2]
        labelled[:] = False
    elif kind == "boxes":
        boxes = np.array([each.box_xyxy for each in objects]) - origin
        for x0, y0, x1, y1 in boxes.round().astype(int).clip(0).tolist():
            labelled[y0:y1, x0:x1] = False  # the outline in the box is unknown
    else:
        whole, cut = _divided(objects, limits or [], scene)
        labelled &= _painted(cut, window) == 0
    instances = _painted(whole, window) * valid
    gsd = math.sqrt(math.prod(scene.gsd_xy))
    marks = boxes.astype(np.float32), points.astype(np.float32)
    return LabelledPicture(scene.path, rgb, valid, instances, labelled, gsd, *marks)


def read_label_map(scene: str | Path, labels: str | Path) -> LabelledPicture:
    """Read a picture without georeference, and a raster of the same size with the number of each pixel's object.

    A pixel with the number 0 is background. The picture has no scale: `gsd` is NaN.

    Raises:
        UnreadableScene: A file is missing or damaged, or the sizes differ.
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
        raise UnreadableScene(f"the label map cannot be read: {labels}: {error}, expected a raster.") from error
    if instances.shape != tile.valid.shape:
        raise UnreadableScene(
            f"the label map does not fit: {labels}: found {instances.shape} rows and columns, expected "
            f"{tile.valid.shape} as in {scene}.",
            remedy="Export both at one size.",
            code="label-map-size",
            labels=str(labels),
            shape=instances.shape,
            expected=tile.valid.shape,
        )
    return LabelledPicture(str(scene), tile.rgb, tile.valid, np.where(tile.valid, instances, 0), tile.valid, math.nan)


def _placed(scene: Scene, path: str | Path, kind: LabelKind, window: Window) -> list[ScenePrompt]:
    """Read the objects of a layer that lie in a window, in scene pixels."""
    prompts = _objects(path, kind)
    placed, _ = to_scene(prompts, scene.geobox, skip_outside=True)  # a layer may hold the labels of other scenes
    inside = [prompt for prompt in placed if _window_of(prompt, window)]
    if not inside:
        raise PromptOutsideScene(
            f"no labels in the scene: {path}: 0 of {len(prompts)} {kind} lie in {scene.path}, expected at least one.",
            remedy="Check that both show the same place, and their CRSs.",
            code="no-labels-in-scene",
            labels=str(path),
            scene=scene.path,
        )
    return inside


def _objects(path: str | Path, kind: LabelKind) -> list[Prompt]:
    """Read the features of a layer as prompts of one kind."""
    if kind == "points":
        prompts, _ = read_prompts(path)
        for prompt in prompts:
            if prompt.box_xyxy is not None:
                raise PromptError(
                    f"a label cannot be used: {prompt.source}: found a polygon, expected points only.",
                    remedy="Remove it.",
                    code="label-not-a-point",
                    source=prompt.source,
                )
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
    """Window of the pixels in `within` that the envelope of an object touches; None if there are none."""
    x0, y0, x1, y1 = prompt.bounds_xyxy
    col, row = math.floor(x0), math.floor(y0)
    return within.intersection(Window(col, row, max(math.ceil(x1) - col, 1), max(math.ceil(y1) - row, 1)))


def _around(limits: list[ScenePrompt], region: Window) -> Window:
    """Window of the region around the envelope of some polygons, with a margin of 512 px."""
    corners = np.array([prompt.bounds_xyxy for prompt in limits])
    col, row = np.floor(corners[:, :2].min(axis=0)).astype(int) - MARGIN_PX
    col_end, row_end = np.ceil(corners[:, 2:].max(axis=0)).astype(int) + MARGIN_PX
    window = region.intersection(Window(int(col), int(row), int(col_end - col), int(row_end - row)))
    assert window is not None  # noqa: S101 - polygons outside the region were left out
    return window


def _read(scene: Scene, window: Window) -> tuple[NDArray[np.uint8], BoolArray]:
    """Read the colours (3, H, W) and the valid mask (H, W) of a window."""
    # In strips: the values of the file may take several times as much memory as the colours.
    rgb, valid = np.empty((3, *window.shape_hw), np.uint8), np.empty(window.shape_hw, bool)
    for row in range(0, window.height, _ROWS_AT_ONCE):
        rows = slice(row, min(row + _ROWS_AT_ONCE, window.height))
        tile = scene.read(Window(window.col_off, window.row_off + row, window.width, rows.stop - row))
        rgb[:, rows], valid[rows] = tile.rgb, tile.valid
    return rgb, valid


def _painted(objects: list[ScenePrompt], window: Window) -> NDArray[np.int32]:
    """Number (H, W) the pixels of a window by the polygons, 1 to N, that hold them; the smaller of several is on top.

    A polygon holds the pixels that it would have as a prompt mask.
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
    """Separate polygons that are whole from those that were cut at the border of the labelled area.

    A label layer that is clipped to an area holds pieces of the objects at its border; the rest of these objects is in
    the picture, without a label.
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
            "labelled area, expected at least one that does not.",
            remedy="Draw the area around the labelled objects.",
            code="only-cut-labels",
            scene=scene.path,
            polygons=len(objects),
        )
    rows = list(zip(objects, is_cut.tolist(), strict=True))
    return [each for each, cut in rows if not cut], [each for each, cut in rows if cut]
