"""Georeference of a file: its grid on Earth as everything downstream sees it, or a refusal that names the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from geosam.errors import MissingCRS, UsageError
from geosam.geometry.geobox import GeoBox

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: The CRS of a raster without georeference that is used all the same: pixels, taken for metres.
PIXEL_CRS = CRS.from_wkt(
    'ENGCRS["Pixels",EDATUM["Pixel grid"],CS[Cartesian,2],AXIS["x",east,ORDER[1]],AXIS["y",north,ORDER[2]],'
    'LENGTHUNIT["metre",1]]'
)


@dataclass(frozen=True)
class Georeference:
    """The grid of a file, presented north-up, and the flips that present it so."""

    geobox: GeoBox
    """The grid, its axis flips undone."""
    flip_x: bool
    """Whether columns are counted from the right of the file."""
    flip_y: bool
    """Whether rows are counted from the bottom of the file."""
    kind: str
    """Where it comes from, in words."""


def crs_name(crs: CRS) -> str:
    """The authority's code of a CRS where it has one, else its name."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


def georeference(ds: DatasetReader, name: str, *, crs: CRS | None, gcps: bool, assume_pixels: bool) -> Georeference:
    """The georeference of an open dataset (already a warped one if `gcps`).

    Raises:
        MissingCRS: no CRS, no transform, or a transform that is not finite or not invertible.
        UsageError: `crs`, `gcps` or `assume_pixels` contradict what the file says.
    """
    own = _own_crs(ds, name)
    t = ds.transform
    placed = t[:6] != Affine.identity()[:6]  # what GDAL says of a file without transform
    if assume_pixels:
        if own is not None and placed:
            raise UsageError(f"--assume-pixels: {name} is georeferenced ({crs_name(own)}). Leave the option out.")
        return Georeference(GeoBox(ds.width, ds.height, Affine(1, 0, 0, 0, -1, 0), PIXEL_CRS), False, False, "pixels")
    if crs is not None and own is not None and not own.equals(crs, ignore_axis_order=True):
        raise UsageError(
            f"--crs {crs_name(crs)}: {name} has the CRS {crs_name(own)} already. Leave the option out, or reproject "
            "the file with gdalwarp."
        )
    if not placed:
        raise _unplaced(ds, name, own)
    if own is None and crs is None:
        raise MissingCRS(
            f"has no CRS: {name}: a transform but no coordinate reference system. Pass --crs, for example "
            "--crs EPSG:32633."
        )
    grid = _grid(ds, t, own or crs, name)
    flip_x, flip_y = _flips(t)
    kind = (
        "ground control points" if gcps else "transform and CRS" if own else "transform of the file, CRS given by --crs"
    )
    return Georeference(_unflipped(grid, flip_x=flip_x, flip_y=flip_y), flip_x, flip_y, kind)


def _own_crs(ds: DatasetReader, name: str) -> CRS | None:
    if not ds.crs:
        return None
    try:
        return CRS.from_wkt(ds.crs.to_wkt())
    except CRSError as error:
        raise MissingCRS(
            f"the CRS cannot be understood: {name}: {error}. Assign another with gdal_edit -a_srs."
        ) from error


def _unplaced(ds: DatasetReader, name: str, own: CRS | None) -> MissingCRS:
    if ds.gcps[0]:
        return MissingCRS(
            f"georeferenced by ground control points only: {name}: {len(ds.gcps[0])} GCPs, no transform. Warp it first "
            "(gdalwarp -tps), or pass --gcps to read it through a warp."
        )
    if ds.rpcs:
        return MissingCRS(
            f"georeferenced by RPCs only: {name}: rational polynomial coefficients, no transform. Orthorectify it "
            "first (gdalwarp -rpc -to RPC_DEM=dem.tif)."
        )
    if own is not None:
        return MissingCRS(
            f"has a CRS but no transform: {name}: {crs_name(own)} with the identity transform, which places it at the "
            "origin of the CRS. Set the extent (gdal_edit -a_ullr) or add a world file, or pass --assume-pixels."
        )
    return MissingCRS(
        f"has no CRS and no transform: {name}. Set both (gdal_edit -a_srs -a_ullr), or add a world file and pass "
        "--crs; --assume-pixels uses pixel coordinates instead."
    )


def _grid(ds: DatasetReader, transform: Affine, crs: CRS | None, name: str) -> GeoBox:
    try:
        return GeoBox(ds.width, ds.height, Affine(*transform[:6]), crs or PIXEL_CRS)
    except ValueError as error:
        raise MissingCRS(
            f"the transform is unusable: {name}: {error}. Set the extent with gdal_edit -a_ullr."
        ) from None


def _flips(t: Affine) -> tuple[bool, bool]:
    if t.b == 0 and t.d == 0:
        return t.a < 0, t.e > 0
    return False, t.determinant > 0  # a mirrored rotated grid: any single flip undoes it


def _unflipped(grid: GeoBox, *, flip_x: bool, flip_y: bool) -> GeoBox:
    """The grid counted from the other end of its axes."""
    a, b, c, d, e, f = grid.transform[:6]
    if flip_x:
        a, c, d, f = -a, c + a * grid.width, -d, f + d * grid.width
    if flip_y:
        b, c, e, f = -b, c + b * grid.height, -e, f + e * grid.height
    return GeoBox(grid.width, grid.height, Affine(a, b + 0.0, c, d + 0.0, e, f), grid.crs)  # + 0.0 turns -0.0 into 0.0
