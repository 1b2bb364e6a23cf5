"""The demo scene as files: a GeoTIFF as a camera would have taken it, and the visible outlines as truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS
from scipy import ndimage

from geosam.apps.demo.village import paint_village
from geosam.errors import ExportError, UsageError
from geosam.geometry.corners import corners_of
from geosam.geometry.geobox import GeoBox
from geosam.geometry.polygons import place, polygonize
from geosam.training.synthetic.canvas import Canvas, Sun
from geosam.training.synthetic.palette import TEMPERATE, land_of
from geosam.training.synthetic.pictures import LEAST_PIXELS, expose
from geosam.vector.schema import Column, Target
from geosam.vector.staging import Staging, failures_reported
from geosam.vector.writer import FeatureWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Bytes, Labels

#: Side of the scene and of a pixel.
SIZE_PX, PIXEL_M = 1792, 0.2
#: A village with water, fields and roofs of many colours, in good light.
SEED = 12
#: Map coordinates of the upper left corner.
_ORIGIN = (682_400.0, 5_334_800.0)
_CRS = CRS.from_epsg(32632)
_COLUMNS = (Column("id", "int"), Column("class", "text"))
_MIN_SIZE_PX = 256
#: Morning light from the lower left, with shadows nearly as long as things are high.
_SUN = Sun(-0.64, 0.77, 0.9, (0.60, 0.56, 0.48), 0.6)


def render_scene(out_tif: str | Path, out_truth_gpkg: str | Path, *, size: int = SIZE_PX, seed: int = SEED) -> None:
    """Render a village between fields and a stream, and write the outlines of its objects as truth.

    The picture is uint8 RGB with pixels of 0.2 m in UTM zone 32N, tiled, with nodata 0 in one corner. The truth has
    the columns `id` and `class` (building, field, water, tree, car). It holds the visible part of every object, so its
    polygons do not overlap. Streets, lawns and hedges are scenery, no objects. The same size and seed give the same
    pixels and polygons.

    The default model learnt from pictures of the same painter. So the scene shows how geosam works; it does not measure
    how good geosam is on real pictures.

    Args:
        out_tif: the picture; replaced if it exists.
        out_truth_gpkg: the truth, in any vector format that geosam writes; replaced if it exists.
        size: side of the picture in pixels, at least 256.
        seed: number that decides the details; another seed gives another village.

    Raises:
        UsageError: the size is too small.
        ExportError: a file cannot be written.
    """
    if size < _MIN_SIZE_PX:
        raise UsageError(
            f"`size` is too small: found {size} px, expected at least {_MIN_SIZE_PX}.",
            remedy="Leave it out for the default.",
            code="demo-size-too-small",
            size=size,
        )
    for path in (Path(out_tif), Path(out_truth_gpkg)):
        if not path.parent.is_dir():
            raise ExportError(
                f"the folder of the output does not exist: {path}: found no folder {path.parent}.",
                remedy="Create it first.",
                code="demo-folder-missing",
            )
    canvas = Canvas(size, PIXEL_M, np.random.default_rng(seed))
    canvas.sun, canvas.lean = _SUN, np.zeros(2)  # straight from above: roofs hide no walls
    classes = np.array(["", *paint_village(canvas, land_of(TEMPERATE))])
    canvas.cast_shadows()  # once all heights are known
    valid = _valid(size)
    geobox = GeoBox(size, size, Affine(PIXEL_M, 0, _ORIGIN[0], 0, -PIXEL_M, _ORIGIN[1]), _CRS)
    _write_picture(Path(out_tif), expose(canvas, valid), geobox)
    _write_truth(Path(out_truth_gpkg), np.where(valid, canvas.instances, 0), classes, geobox, seed)


def _valid(size: int) -> BoolArray:
    """Return True (H, W) but for the upper right corner, where the flight strip ends."""
    y, x = np.ogrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    return np.asarray(x - 0.6 * y < 0.94, np.bool_)


def _write_picture(path: Path, rgb: Bytes, geobox: GeoBox) -> None:
    with failures_reported(path, rgb.nbytes), Staging(path) as staging:
        staged = staging.folder / path.name
        with rasterio.open(
            staged,
            "w",
            driver="GTiff",
            width=geobox.width,
            height=geobox.height,
            count=3,
            dtype="uint8",
            nodata=0,
            crs=geobox.crs.to_wkt(),
            transform=geobox.transform,
            tiled=True,
            blockxsize=256,
            blockysize=256,
            interleave="pixel",
            photometric="rgb",
            compress="deflate",
            predictor=2,
        ) as file:
            file.write(rgb)
        staging.publish([staged])


def _write_truth(path: Path, instances: Labels, classes: NDArray[np.str_], geobox: GeoBox, seed: int) -> None:
    """Write the outline of every object that is large enough to be seen."""
    numbers, corners = [], []
    for number, window in enumerate(ndimage.find_objects(instances), start=1):
        if window is None:
            continue
        mask = instances[window] == number
        if mask.sum() >= LEAST_PIXELS:
            numbers.append(number)
            corners.append(corners_of(mask, window[1].start, window[0].start))
    target = Target(path, _CRS, _COLUMNS, "truth", {"made by": "geosam.apps.demo", "seed": seed}, PIXEL_M)
    with FeatureWriter(target, overwrite=True) as writer:
        rows = {"id": range(1, len(numbers) + 1), "class": classes[numbers].tolist()}
        writer.write(place(polygonize(corners), geobox), rows)
