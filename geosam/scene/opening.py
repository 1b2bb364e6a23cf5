"""Opening a scene: path, georeference, bands, stretch, resolution and region, each checked before the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj.exceptions import CRSError

from geosam.errors import SceneError, UsageError
from geosam.geometry.geobox import GeoBox, Window, map_crs
from geosam.geometry.measure import ground_sample_distance
from geosam.scene.bands import BandPlan, is_alpha, plan_bands
from geosam.scene.fingerprint import FileStamp
from geosam.scene.georeference import Georeference, crs_name, georeference
from geosam.scene.levels import choose_level
from geosam.scene.pixels import PixelReader
from geosam.scene.preflight import check_source
from geosam.scene.raster import Raster, fits_block_cache
from geosam.scene.scene import Scene
from geosam.scene.stretch import Stretch, StretchRule

if TYPE_CHECKING:
    import os

    from pyproj import CRS
    from rasterio.io import DatasetReader

    from geosam.scene.resample import AxisScale

#: Most pixels of a region, unless the caller allows more.
MAX_PIXELS = 2e11
#: Finest and coarsest resolution that makes any sense, relative to the scene's own.
_MAX_SCALE = 1e5


def open_scene(
    path: str | os.PathLike[str],
    *,
    crs: CRS | str | None = None,
    bands: Sequence[int] | None = None,
    stretch: str = "auto",
    resolution: float | None = None,
    window: tuple[float, float, float, float] | None = None,
    gcps: bool = False,
    assume_pixels: bool = False,
    untrusted: bool = False,
    sha256: str | None = None,
    max_pixels: float = MAX_PIXELS,
) -> Scene:
    """Open a raster.

    Args:
        path: an existing file or an http(s) URL.
        crs: the CRS of a raster that has none.
        bands: one or three bands, counted from 1; by colour interpretation when left out.
        stretch: ``auto``, ``none``, ``MIN,MAX`` or ``pLO,pHI``.
        resolution: metres on the ground per pixel; native when left out.
        window: map coordinates (xmin, ymin, xmax, ymax) in the scene's CRS of what is to be segmented.
        gcps: read a raster with ground control points through a warp.
        assume_pixels: give a raster without georeference pixel coordinates.
        untrusted: allow only self-contained files, and ignore their sidecars.
        sha256: hash (hex) that the file must have; sidecars, and sources of a VRT, are not looked at.
        max_pixels: refuse a larger region.

    Raises:
        UnreadableScene: missing, damaged, no raster, or not the one that was expected.
        MissingCRS: no usable georeference.
        UnsupportedBands: the bands cannot make a picture.
        UsageError: options contradict the file or each other.
    """
    rule = StretchRule.parse(stretch)
    raster = Raster(check_source(path, untrusted=untrusted, sha256=sha256), gcps=gcps)
    name = raster.source.name
    with raster.handle() as ds:
        plan = plan_bands(ds, name, bands)
        place = georeference(ds, name, crs=_crs(crs), gcps=gcps, assume_pixels=assume_pixels)
        stamps = () if raster.source.remote else _stamps(raster.source.uri, ds.files)
        facts = _facts(ds, place)
        slow = _slow_note(ds, name)
    base, alpha_notes = _reader(raster, plan, place)
    limits, stretch_notes = _stretch(base, rule, name)
    grid, level, axes, level_notes = _at_resolution(base, place.geobox, resolution)
    return Scene(
        path=name,
        geobox=grid,
        bands=plan.indexes,
        stretch=limits,
        region=_region(grid, window, name, max_pixels),
        gsd_xy=ground_sample_distance(grid),
        resolution=resolution,
        warnings=(*plan.warnings, *alpha_notes, *stretch_notes, *level_notes, *slow),
        facts=facts,
        reader=level,
        axes=axes,
        stamps=stamps,
    )


def _crs(crs: CRS | str | None) -> CRS | None:
    try:
        return None if crs is None else map_crs(crs)
    except CRSError:
        raise UsageError(f'--crs "{crs}": not a CRS that PROJ knows. Wanted for example EPSG:32633.') from None


def _stamps(path: str, files: Sequence[str]) -> tuple[FileStamp, ...]:
    """Stamps of a file, its sidecars and, for a VRT, its sources as far as they are files."""
    return tuple(FileStamp.of(file) for file in sorted({path, *files}) if Path(file).is_file())


def _slow_note(ds: DatasetReader, name: str) -> list[str]:
    return (
        []
        if fits_block_cache(ds)
        else [f"{name} is stored in blocks that do not fit into memory: a tiled copy is read much faster"]
    )


def _reader(raster: Raster, plan: BandPlan, place: Georeference) -> tuple[PixelReader, list[str]]:
    """A reader at the raster's own resolution, without its alpha band if that does not look like one."""
    name, band = raster.source.name, plan.alpha
    base = PixelReader(raster, plan, place.geobox.width, place.geobox.height, place.flip_x, place.flip_y)
    if band is None:
        return base, []
    alone = BandPlan((band,), (None,), "alpha", is_picture=False)
    if is_alpha(replace(base, plan=alone).sample()[0]):
        return base, []
    note = f"{name}: band {band} is tagged alpha, but its values are not nearly all 0 or 255: it is taken for a band"
    return replace(base, plan=replace(plan, alpha=None)), [note]


def _stretch(base: PixelReader, rule: StretchRule, name: str) -> tuple[Stretch, list[str]]:
    plan = base.plan
    with base.raster.handle() as ds:
        dtypes = ["uint8"] * 3 if plan.palette is not None else [ds.dtypes[i - 1] for i in plan.indexes]
    if not rule.needs_sample(is_picture=plan.is_picture):
        return rule.resolve([np.zeros(0)] * len(dtypes), dtypes[0], is_picture=plan.is_picture), []
    samples = base.sample()
    notes = [] if any(map(len, samples)) else [f"{name}: no valid pixel was found for the stretch"]
    return rule.resolve(samples, np.result_type(*dtypes), is_picture=plan.is_picture), notes


def _at_resolution(
    base: PixelReader, grid: GeoBox, resolution: float | None
) -> tuple[GeoBox, PixelReader, tuple[AxisScale, AxisScale] | None, list[str]]:
    if resolution is None:
        return grid, base, None, []
    if not 0 < resolution < float("inf"):
        raise UsageError(f"--resolution {resolution:g}: wanted a positive number of metres per pixel.")
    gsd_x, gsd_y = ground_sample_distance(grid)
    scale_xy = resolution / gsd_x, resolution / gsd_y
    if not all(1 / _MAX_SCALE <= scale <= _MAX_SCALE for scale in scale_xy):
        raise UsageError(
            f"--resolution {resolution:g}: the scene's pixels are {gsd_x:.3g} x {gsd_y:.3g} m, wanted at most "
            f"{_MAX_SCALE:g} times finer or coarser. Check the transform with geosam info."
        )
    level, axes, notes = choose_level(base, scale_xy)
    return grid.zoom(*scale_xy), level, axes, notes


def _region(grid: GeoBox, bounds: tuple[float, float, float, float] | None, name: str, max_pixels: float) -> Window:
    region = grid.window
    if bounds is not None:
        xmin, ymin, xmax, ymax = bounds
        if not (xmin < xmax and ymin < ymax):
            raise UsageError(
                f"--window {_numbers(bounds)}: wanted XMIN,YMIN,XMAX,YMAX with XMIN < XMAX and YMIN < YMAX."
            )
        found = grid.window_of_bounds(bounds)
        if found is None:
            raise UsageError(
                f"--window {_numbers(bounds)}: {name} covers {_numbers(grid.bounds)} in {crs_name(grid.crs)}. "
                "Give map coordinates in the scene's CRS."
            )
        region = found
    if region.width * region.height > max_pixels:
        raise SceneError(
            f"too large: {name}: {region.width} x {region.height} = {region.width * region.height:.3g} px, at most "
            f"{max_pixels:.3g}. Choose a part with --window, a coarser --resolution, or raise --max-pixels."
        )
    return region


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.10g}" for value in values)


def _facts(ds: DatasetReader, place: Georeference) -> dict[str, Any]:
    structure = ds.tags(ns="IMAGE_STRUCTURE")
    return {
        "driver": ds.driver,
        "native_width": ds.width,
        "native_height": ds.height,
        "band_count": ds.count,
        "dtype": sorted(set(ds.dtypes)),
        "color_interpretation": [color.name for color in ds.colorinterp[:16]],
        "nodata": None if ds.nodata is None else repr(ds.nodata),
        "compression": structure.get("COMPRESSION", "none"),
        "interleave": structure.get("INTERLEAVE", "band").lower(),
        "block": list(ds.block_shapes[0][::-1]),
        "overviews": ds.overviews(1),
        "georeference": place.kind,
        "flipped": [name for name, flip in (("columns", place.flip_x), ("rows", place.flip_y)) if flip],
    }
