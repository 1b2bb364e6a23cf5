"""Opening of a scene: path, georeference, bands, stretch, resolution and region, each checked before the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj.exceptions import CRSError

from geosam.errors import SceneError, UsageError
from geosam.geometry.geobox import GeoBox, Window, crs_name, map_crs
from geosam.geometry.measure import ground_sample_distance
from geosam.scene.bands import BandPlan, is_alpha, plan_bands
from geosam.scene.fingerprint import FileStamp
from geosam.scene.georeference import Georeference, georeference
from geosam.scene.levels import choose_level
from geosam.scene.names import name_of
from geosam.scene.pixels import PixelReader
from geosam.scene.preflight import check_source
from geosam.scene.raster import Raster, fits_block_cache
from geosam.scene.scene import Scene
from geosam.scene.stretch import Stretch, StretchRule

if TYPE_CHECKING:
    import os

    import rasterio.crs
    from pyproj import CRS
    from rasterio.io import DatasetReader

    from geosam.scene.resample import AxisScale

#: Most pixels of a region, unless the caller allows more.
MAX_PIXELS = 2e11
#: Largest factor by which a resolution may be finer or coarser than the scene's own.
_MAX_SCALE = 1e5


def open_scene(
    path: str | os.PathLike[str] | DatasetReader,
    *,
    crs: CRS | rasterio.crs.CRS | str | int | None = None,
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

    Examples:
        A file, a web address, or a dataset that rasterio has open::

            scene = geosam.open_scene("scene.tif")
            scene = geosam.open_scene("https://example.org/scene.tif", resolution=0.5)
            scene = geosam.open_scene(rasterio.open("scene.tif"), bands=(4, 3, 2))

    Args:
        path: an existing file, an http(s) URL, or an open rasterio dataset, whose file is opened again.
        crs: the CRS of a raster that has none: text such as "EPSG:32633", an EPSG number, or a CRS of pyproj or
            rasterio.
        bands: one or three bands, counted from 1; chosen by colour interpretation if left out.
        stretch: ``auto``, ``none``, ``MIN,MAX`` or ``pLO,pHI``.
        resolution: metres on the ground per pixel; that of the file if left out.
        window: part to segment, as map coordinates (xmin, ymin, xmax, ymax) in the scene's CRS.
        gcps: True to read a raster with ground control points through a warp.
        assume_pixels: True to give pixel coordinates to a raster without georeference.
        untrusted: True to allow only self-contained files, and to ignore their side-cars.
        sha256: hash (hex) that the file must have; side-cars, and sources of a VRT, are not checked.
        max_pixels: most pixels of the region.

    Returns:
        The scene; a context manager that closes its files.

    Raises:
        UnreadableScene: the file is missing, damaged, no raster, or not the expected one.
        MissingCRS: there is no usable georeference.
        UnsupportedBands: the bands cannot make a picture.
        SceneError: the region is too large.
        UsageError: options contradict the file or each other, or `path` is no file.
    """
    rule = StretchRule.parse(stretch)
    raster = Raster(check_source(name_of(path), untrusted=untrusted, sha256=sha256), gcps=gcps)
    name = raster.source.name
    with raster.handle() as ds:
        plan = plan_bands(ds, name, bands)
        place = georeference(ds, name, crs=_crs(crs), gcps=gcps, assume_pixels=assume_pixels)
        stamps = () if raster.source.remote else _stamps(raster.source.uri, ds.files)
        facts = _facts(ds, place)
        slow = _slow_note(ds, name)
    base, alpha_notes = _reader(raster, plan, place)  # first: alpha decides which pixels the stretch samples
    limits, stretch_notes = _stretch(base, rule, name)
    grid, level, axes, level_notes = _at_resolution(base, place.geobox, resolution)
    return Scene(
        path=name,
        geobox=grid,
        bands=plan.indexes,
        stretch=limits,
        region=_region(grid, window, name, max_pixels),
        gsd_xy=ground_sample_distance(grid),
        stated_resolution=resolution,
        warnings=(*plan.warnings, *alpha_notes, *stretch_notes, *level_notes, *slow),
        facts=facts,
        reader=level,
        axes=axes,
        stamps=stamps,
    )


def _crs(crs: Any) -> CRS | None:
    try:
        return None if crs is None else map_crs(crs)
    except CRSError:
        raise UsageError(
            f'not a CRS that PROJ knows: `crs`: found "{crs}".',
            remedy='Give for example "EPSG:32633".',
            code="scene-crs-unknown",
            crs=str(crs),
        ) from None


def _stamps(path: str, files: Sequence[str]) -> tuple[FileStamp, ...]:
    """Stamp a file and all local files that belong to it: side-cars, and the sources of a VRT."""
    return tuple(FileStamp.of(file) for file in sorted({path, *files}) if Path(file).is_file())


def _slow_note(ds: DatasetReader, name: str) -> list[str]:
    return (
        []
        if fits_block_cache(ds)
        else [f"{name} is stored in blocks that do not fit into memory: a tiled copy is read much faster"]
    )


def _reader(raster: Raster, plan: BandPlan, place: Georeference) -> tuple[PixelReader, list[str]]:
    """Return a reader at the raster's own resolution, and notes; an alpha band that is none becomes a plain band."""
    name, band = raster.source.name, plan.alpha
    base = PixelReader(raster, plan, place.geobox.width, place.geobox.height, place.flip_x, place.flip_y)
    if band is None:
        return base, []
    # Read the band as a plain one, to test if its values are those of an alpha channel.
    alone = BandPlan((band,), (None,), "alpha", is_picture=False)
    if is_alpha(replace(base, plan=alone).sample()[0]):
        return base, []
    note = f"{name}: band {band} is tagged alpha, but its values are not nearly all 0 or 255: it is not used as alpha"
    return replace(base, plan=replace(plan, alpha=None)), [note]


def _stretch(base: PixelReader, rule: StretchRule, name: str) -> tuple[Stretch, list[str]]:
    plan = base.plan
    with base.raster.handle() as ds:
        dtypes = ["uint8"] * 3 if plan.palette is not None else [ds.dtypes[i - 1] for i in plan.indexes]
    if not rule.needs_sample(is_picture=plan.is_picture):  # a remote picture opens without reading a pixel
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
        raise UsageError(
            f"not a resolution: `resolution`: found {resolution:g}, expected metres per pixel, above 0.",
            code="resolution-not-positive",
            resolution=resolution,
        )
    gsd_x, gsd_y = ground_sample_distance(grid)
    # A wrong unit or transform is noticed here first; it would give a grid of 1e15 pixels.
    scale_xy = resolution / gsd_x, resolution / gsd_y
    if not all(1 / _MAX_SCALE <= scale <= _MAX_SCALE for scale in scale_xy):
        raise UsageError(
            f"the resolution is far from the scene's: `resolution`: found {resolution:g} m, expected at most "
            f"{_MAX_SCALE:g} times finer or coarser than its pixels of {gsd_x:.3g} x {gsd_y:.3g} m.",
            remedy="Check the transform of the file.",
            code="resolution-far-from-native",
            resolution=resolution,
            native=[gsd_x, gsd_y],
        )
    level, axes, notes = choose_level(base, scale_xy)
    return grid.zoom(*scale_xy), level, axes, notes


def _region(grid: GeoBox, bounds: tuple[float, float, float, float] | None, name: str, max_pixels: float) -> Window:
    region = grid.window if bounds is None else _part(grid, bounds, name)
    count = region.width * region.height
    if count > max_pixels:
        raise SceneError(
            f"the scene is too large: {name}: found {region.width} x {region.height} = {count:.3g} px, expected at "
            f"most {max_pixels:.3g}.",
            remedy="Choose a part with `window`, a coarser `resolution`, or raise `max_pixels`.",
            code="scene-too-large",
            pixels=count,
            max_pixels=max_pixels,
        )
    return region


def _part(grid: GeoBox, bounds: tuple[float, float, float, float], name: str) -> Window:
    xmin, ymin, xmax, ymax = bounds
    if not (xmin < xmax and ymin < ymax):
        raise UsageError(
            f"not a rectangle: `window`: found {_numbers(bounds)}, expected xmin,ymin,xmax,ymax with xmin < xmax and "
            "ymin < ymax.",
            code="window-not-a-rectangle",
            window=list(bounds),
        )
    part = grid.window_of_bounds(bounds)
    if part is None:
        raise UsageError(
            f"the window lies outside the scene: `window`: found {_numbers(bounds)}, expected a part of "
            f"{_numbers(grid.bounds)} in {crs_name(grid.crs)}: {name}.",
            remedy="Give map coordinates in the scene's CRS.",
            code="window-outside-scene",
            window=list(bounds),
            bounds=list(grid.bounds),
        )
    return part


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
        "color_interpretation": [color.name for color in ds.colorinterp[:16]],  # a file may have 5,000 bands
        "nodata": None if ds.nodata is None else repr(ds.nodata),  # as text, because JSON has no NaN
        "compression": structure.get("COMPRESSION", "none"),
        "interleave": structure.get("INTERLEAVE", "band").lower(),
        "block": list(ds.block_shapes[0][::-1]),
        "overviews": ds.overviews(1),
        "georeference": place.kind,
        "flipped": [name for name, flip in (("columns", place.flip_x), ("rows", place.flip_y)) if flip],
    }
