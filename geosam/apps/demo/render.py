"""The demo scene as files: a GeoTIFF as a camera would have taken it, and the visible outlines as truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import CRS
from scipy import ndimage
from shapely import Polygon

from geosam.apps.demo.canvas import Canvas
from geosam.apps.demo.paint import paint
from geosam.apps.demo.scene import KINDS, Thing, compose
from geosam.errors import ExportError, UsageError
from geosam.vector.schema import Column, Target
from geosam.vector.staging import Staging, failures_reported
from geosam.vector.writer import FeatureWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

PIXEL_M = 0.2
#: Map coordinates of the upper left corner.
_ORIGIN = (682_400.0, 5_334_800.0)
_CRS = CRS.from_epsg(32632)
_COLUMNS = (Column("id", "int"), Column("class", "text"))
#: Of what is visible, pieces smaller than this are left out of the truth (square metres).
_SPECK_M2 = 1.0
_MIN_SIDE = 64


def render_scene(
    out_tif: str | Path, out_truth_gpkg: str | Path, *, size: tuple[int, int] = (2400, 1800), seed: int = 7
) -> None:
    """Render a village between fields and a river, and write what can be seen of its buildings, fields and trees.

    The picture is uint8 RGB with pixels of 0.2 m in UTM zone 32N, tiled, nodata 0 in a corner. The truth has the
    columns `id` and `class` (building, field, road, tree, water); what hides something is cut out of it, so that its
    polygons do not overlap. The same size and seed give the same files.

    Args:
        out_tif: The picture; replaced if it exists.
        out_truth_gpkg: The truth; any vector format that geosam writes; replaced if it exists.
        size: (width, height) of the picture in pixels, each at least 64.
        seed: Another seed gives another village.

    Raises:
        UsageError: The size is too small.
        ExportError: A file cannot be written.
    """
    width, height = size
    if min(size) < _MIN_SIDE:
        raise UsageError(f"size is too small: found {width} x {height} px, wanted at least {_MIN_SIDE} a side.")
    for path in (Path(out_tif), Path(out_truth_gpkg)):
        if not path.parent.is_dir():
            raise ExportError(f"the output's folder does not exist: {path}: no folder {path.parent}. Create it first.")
    extent = width * PIXEL_M, height * PIXEL_M
    things = compose(*extent, seed)
    rng = np.random.default_rng([seed, 1])
    canvas = Canvas(width, height, PIXEL_M, rng)
    paint(canvas, things)
    void = Polygon([(0.93 * extent[0], 0), (extent[0], 0), (extent[0], 0.16 * extent[1])])
    _write_picture(Path(out_tif), _exposed(canvas, void, rng))
    _write_truth(Path(out_truth_gpkg), visible(things, shapely.box(0, 0, *extent).difference(void)), seed)


def visible(things: Sequence[Thing], frame: BaseGeometry) -> list[tuple[str, BaseGeometry]]:
    """(class, outline in metres) of what can be seen of every thing that has a class, within `frame`."""
    shapes = np.array([thing.shape for thing in things], dtype=object)
    tree = shapely.STRtree(shapes)
    seen = []
    for row, thing in enumerate(things):
        name = KINDS[thing.kind]
        if name is not None:
            above = [other for other in tree.query(thing.shape, predicate="intersects") if other > row]
            rest = thing.shape.difference(shapely.union_all(shapes[above])).intersection(frame)
            pieces = [part for part in shapely.get_parts(rest) if part.area >= _SPECK_M2]
            if pieces:
                seen.append((name, shapely.union_all(pieces)))
    return seen


def _exposed(canvas: Canvas, void: Polygon, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (3, H, W) behind a lens, a little haze and a sensor; 0 where the flight strip ends."""
    height, width = canvas.shadow.shape
    blurred = ndimage.gaussian_filter(canvas.rgb, (0.6, 0.6, 0))
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    hazy = (blurred * 0.95 + np.array([8, 9, 12])) * (1.02 - 0.05 * (x**2 + y**2))[..., None]
    noise = rng.normal(0, 2.0, (height, width, 1)) + rng.normal(0, 1.0, (height, width, 3))
    exposed = np.clip(np.rint(hazy + noise), 1, 255).astype(np.uint8)
    empty = canvas.patch(void)
    if empty is not None:
        exposed[empty.place][empty.alpha > 0] = 0
    return np.ascontiguousarray(exposed.transpose(2, 0, 1))


def _write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    _, height, width = rgb.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8", "nodata": 0}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel", "photometric": "rgb"}
    with failures_reported(path, rgb.nbytes), Staging(path) as staging:
        made = staging.folder / path.name
        place = Affine(PIXEL_M, 0, _ORIGIN[0], 0, -PIXEL_M, _ORIGIN[1])
        options = {**profile, **layout, "compress": "deflate", "predictor": 2}
        with rasterio.open(made, "w", crs=_CRS.to_wkt(), transform=place, **options) as file:
            file.write(rgb)
        staging.publish([made])


def _write_truth(path: Path, seen: Sequence[tuple[str, BaseGeometry]], seed: int) -> None:
    shapes = np.array([shape for _, shape in seen], dtype=object)
    placed = shapely.transform(shapes, lambda xy: np.array(_ORIGIN) + xy * (1, -1))
    target = Target(path, _CRS, _COLUMNS, "truth", {"made by": "geosam.apps.demo", "seed": seed}, PIXEL_M)
    with FeatureWriter.open(target, overwrite=True) as writer:
        writer.write(placed, {"id": range(1, len(seen) + 1), "class": [name for name, _ in seen]})
