"""Every refusal of an output that can be made before the model runs."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.errors import ExportError, OutputExists, UsageError
from geosam.geometry.measure import reaches_wgs84
from geosam.vector.formats import Format, format_of
from geosam.vector.schema import Features, Target, plan_names
from geosam.vector.shapefile import MAX_FIELDS
from geosam.vector.staging import Staging, failures_reported
from geosam.vector.wgs84 import WGS84

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyproj import CRS

    from geosam.vector.schema import Column


def check_output(
    path: Path, crs: CRS, columns: Sequence[Column], *, overwrite: bool, inputs: Sequence[Path] = ()
) -> None:
    """Refuse an output that could not be written, or should not be; an empty result is written on trial.

    Args:
        path: The output.
        crs: CRS of the scene.
        columns: The attributes.
        overwrite: Whether an existing output may be replaced.
        inputs: Files that are read and must not be overwritten.

    Raises:
        UnknownFormat: No format has this extension.
        UsageError: The output is one of the inputs.
        OutputExists: It exists and `overwrite` is not set.
        ExportError: The folder or the file cannot be written, or the format cannot hold the CRS or the columns.
        DiskFull: No space is left in the folder.
        LockHeld: Another run is writing this output.
    """
    form = format_of(path)
    final = Path(os.path.realpath(path))
    for source in inputs:
        if source.exists() and final.exists() and source.samefile(final):
            raise UsageError(
                f"the output is an input: {path}: same file as {source}, another wanted. Rename the output"
            )
    check_existing(final, overwrite=overwrite)
    check_folder(final)
    _check_fit(form, path, crs, columns)
    form.kept(final, final.stem)
    _try_empty(form, Target(final, crs, tuple(columns), final.stem, {}, 1.0))


def check_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace what must not be replaced.

    Raises:
        OutputExists: The file exists and `overwrite` is not set.
        ExportError: It is no regular file, or read-only.
    """
    with failures_reported(path):
        if not path.exists():
            return
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ExportError(f"the output is {kind}: {path}: {stat.filemode(mode)}, a file wanted. Choose another output")
    if not overwrite:
        raise OutputExists(f"the output exists: {path}: a file, none wanted. Pass --overwrite or choose another output")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise ExportError(
            f"the output is read-only: {path}: mode {stat.filemode(mode)}, a writable file wanted. "
            "Change its permissions or choose another output"
        )


def check_folder(path: Path) -> None:
    """Refuse an output whose folder does not exist.

    Raises:
        ExportError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise ExportError(
            f"the output's folder does not exist: {path}: found no folder {path.parent}, expected an existing one.",
            remedy="Create it first.",
            code="output-folder-missing",
            folder=str(path.parent),
        )


def check_facts(form: Format, target: Target, made: Path, count: int) -> None:
    """Read a finished file again and compare.

    Raises:
        ExportError: It does not hold `count` features, or not in the CRS in which they were written.
    """
    found, crs = form.facts(made, target.layer)
    if found != count:
        raise ExportError(
            f"the finished file is not complete: {target.path}: {found} features, {count} wanted. "
            "Nothing was replaced; check the disk and run again"
        )
    wanted = WGS84 if form.wgs84 else target.crs
    if crs is None or not crs.to_2d().equals(wanted.to_2d(), ignore_axis_order=True):
        back = repr(crs.name) if crs else "nothing"
        raise ExportError(
            f"{form.name} cannot hold this CRS: {target.path}: {wanted.name!r} reads back as {back}, the same wanted. "
            "Choose GeoPackage or GeoParquet, or warp the scene"
        )


def _check_fit(form: Format, path: Path, crs: CRS, columns: Sequence[Column]) -> None:
    if form.wgs84 and not reaches_wgs84(crs):
        raise ExportError(
            f"{form.name} needs longitude and latitude: {path}: CRS {crs.name!r} cannot reach WGS84, one that does "
            "wanted. Choose GeoPackage (.gpkg), which keeps the scene's CRS"
        )
    if form.through_gdal and "!" in os.path.realpath(path.parent):
        raise ExportError(
            f"GDAL reads '!' in a path as an archive: {path}: folder {path.parent}, one without '!' wanted. "
            "Choose another folder"
        )
    if form.short_names and len(columns) > MAX_FIELDS:
        raise ExportError(
            f"too many columns for a {form.name}: {path}: {len(columns)}, at most {MAX_FIELDS} wanted. "
            "Choose GeoPackage (.gpkg)"
        )


def _try_empty(form: Format, target: Target) -> None:
    """Write an empty result beside the output and read it again: folder, CRS and columns are tried at once."""
    names, _ = plan_names(target.columns, short=form.short_names)
    with Staging(target.path) as staging, failures_reported(target.path):
        alone = replace(target, path=staging.folder / target.path.name)  # not beside the layers of an existing file
        check_facts(form, target, form.write(staging.folder, Features(alone, names, (), []))[-1], 0)
