"""Georeference of a file: its grid on Earth, presented north-up, or an error that names the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from geosam.errors import MissingCRS, UsageError
from geosam.geometry.geobox import GeoBox, crs_name

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: CRS of a raster that is used without a georeference: a pixel counts as a metre.
PIXEL_CRS = CRS.from_wkt(
    'ENGCRS["Pixels",EDATUM["Pixel grid"],CS[Cartesian,2],AXIS["x",east,ORDER[1]],AXIS["y",north,ORDER[2]],'
    'LENGTHUNIT["metre",1]]'
)


@dataclass(frozen=True)
class Georeference:
    """The grid of a file, presented north-up, and the flips that present it so."""

    geobox: GeoBox
    """The grid, with x to the right and y up where the file's axes run the other way."""
    flip_x: bool
    """True if columns are counted from the right of the file."""
    flip_y: bool
    """True if rows are counted from the bottom of the file."""
    kind: str
    """Origin of the grid in words, for :meth:`Scene.describe`."""


def georeference(ds: DatasetReader, name: str, *, crs: CRS | None, gcps: bool, assume_pixels: bool) -> Georeference:
    """Return the georeference of an open dataset.

    Args:
        ds: the dataset; with `gcps`, a warped one.
        name: path or URL, for messages.
        crs: CRS of a file that has none.
        gcps: True if the dataset is warped by its ground control points.
        assume_pixels: True to place a file without georeference in pixel coordinates.

    Raises:
        MissingCRS: no CRS, no transform, or a transform that is not finite or not invertible.
        UsageError: `crs` or `assume_pixels` contradicts the file.
    """
    own = _own_crs(ds, name)
    t = ds.transform
    placed = t[:6] != Affine.identity()[:6]  # the transform that GDAL reports for a file without one
    if assume_pixels:
        if own is not None and placed:
            raise UsageError(
                f"the scene has a georeference: `assume_pixels`: {name} is in {crs_name(own)}.",
                remedy="Leave `assume_pixels` out.",
                code="pixels-assumed-of-georeferenced",
                scene=name,
                crs=crs_name(own),
            )
        return Georeference(GeoBox(ds.width, ds.height, Affine(1, 0, 0, 0, -1, 0), PIXEL_CRS), False, False, "pixels")
    _check_crs(name, own, crs)
    if not placed:
        raise _unplaced(ds, name, own)
    if own is None and crs is None:
        raise MissingCRS(
            f"the scene has no CRS: {name}: found a transform only, expected a coordinate reference system.",
            remedy='Give the CRS, for example `crs="EPSG:32633"`.',
            code="scene-without-crs",
            scene=name,
        )
    grid = _grid(ds, t, own or crs, name)
    flip_x, flip_y = _flips(t)
    by_file = "transform and CRS" if own else "transform of the file, CRS given by the user"
    kind = "ground control points" if gcps else by_file
    return Georeference(_unflipped(grid, flip_x=flip_x, flip_y=flip_y), flip_x, flip_y, kind)


def _check_crs(name: str, own: CRS | None, crs: CRS | None) -> None:
    if crs is not None and own is not None and not own.equals(crs, ignore_axis_order=True):
        raise UsageError(
            f"the scene has another CRS: `crs`: found {crs_name(crs)}, expected {crs_name(own)}, the CRS of {name}.",
            remedy="Leave `crs` out, or reproject the file with gdalwarp.",
            code="crs-contradicts-scene",
            scene=name,
            crs=crs_name(crs),
            own=crs_name(own),
        )


def _own_crs(ds: DatasetReader, name: str) -> CRS | None:
    if not ds.crs:
        return None
    try:
        return CRS.from_wkt(ds.crs.to_wkt())
    except CRSError as error:
        raise MissingCRS(
            f"the CRS cannot be understood: {name}: {error}.",
            remedy="Assign another with gdal_edit -a_srs.",
            code="crs-unreadable",
            scene=name,
        ) from error


def _unplaced(ds: DatasetReader, name: str, own: CRS | None) -> MissingCRS:
    if ds.gcps[0]:
        return MissingCRS(
            f"the scene has ground control points only: {name}: found {len(ds.gcps[0])} of them, expected a transform.",
            remedy="Warp it first (gdalwarp -tps), or read it through a warp with `gcps=True`.",
            code="scene-has-gcps-only",
            scene=name,
        )
    if ds.rpcs:
        return MissingCRS(
            f"the scene has RPCs only: {name}: found rational polynomial coefficients, expected a transform.",
            remedy="Orthorectify it first (gdalwarp -rpc -to RPC_DEM=dem.tif).",
            code="scene-has-rpcs-only",
            scene=name,
        )
    if own is not None:
        return MissingCRS(
            f"the scene has a CRS but no transform: {name}: found {crs_name(own)} with the identity transform, which "
            "places it at the origin of the CRS.",
            remedy="Set the extent (gdal_edit -a_ullr) or add a world file, or use pixel coordinates with "
            "`assume_pixels=True`.",
            code="scene-without-transform",
            scene=name,
        )
    return MissingCRS(
        f"the scene has no CRS and no transform: {name}.",
        remedy="Set both (gdal_edit -a_srs -a_ullr), or add a world file and give `crs`, or use pixel coordinates "
        "with `assume_pixels=True`.",
        code="scene-without-georeference",
        scene=name,
    )


def _grid(ds: DatasetReader, transform: Affine, crs: CRS | None, name: str) -> GeoBox:
    try:
        return GeoBox(ds.width, ds.height, Affine(*transform[:6]), crs or PIXEL_CRS)
    except ValueError as error:
        raise MissingCRS(
            f"the transform is unusable: {name}: {error}.",
            remedy="Set the extent with gdal_edit -a_ullr.",
            code="transform-unusable",
            scene=name,
        ) from None


def _flips(t: Affine) -> tuple[bool, bool]:
    if t.b == 0 and t.d == 0:  # without rotation, each axis alone
        return t.a < 0, t.e > 0
    return False, t.determinant > 0  # a rotated grid is only mirrored, and any single flip undoes that


def _unflipped(grid: GeoBox, *, flip_x: bool, flip_y: bool) -> GeoBox:
    """Return the grid with its flipped axes counted from the other end."""
    a, b, c, d, e, f = grid.transform[:6]
    if flip_x:
        a, c, d, f = -a, c + a * grid.width, -d, f + d * grid.width
    if flip_y:
        b, c, e, f = -b, c + b * grid.height, -e, f + e * grid.height
    return GeoBox(grid.width, grid.height, Affine(a, b + 0.0, c, d + 0.0, e, f), grid.crs)  # + 0.0 turns -0.0 into 0.0
