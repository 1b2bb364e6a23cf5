"""Checks of an output: they refuse it before the model runs, and compare the finished file."""

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
    """Refuse an output that cannot or must not be written; the last check writes an empty result beside it.

    Args:
        path: the output.
        crs: CRS of the scene.
        columns: the attributes.
        overwrite: True to allow that an existing output is replaced.
        inputs: files that are read and must not be overwritten.

    Raises:
        UnknownFormat: no format has this extension.
        UsageError: the output is one of the inputs.
        OutputExists: the output exists and `overwrite` is not set.
        ExportError: the folder or the file cannot be written, or the format cannot hold the CRS or the columns.
        DiskFull: no space is left in the folder.
        LockHeld: another run is writing this output.
    """
    form = format_of(path)
    final = Path(os.path.realpath(path))
    check_inputs(path, inputs)
    check_existing(final, overwrite=overwrite)
    check_folder(path)
    _check_fit(form, path, crs, columns)
    form.kept(final, final.stem)  # refuses a file whose other layers cannot be kept
    _try_empty(form, Target(final, crs, tuple(columns), final.stem, {}, 1.0))


def check_inputs(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output that is one of the inputs.

    Raises:
        UsageError: it is the same file, perhaps under another name.
    """
    for source in inputs:
        if source.exists() and path.exists() and source.samefile(path):
            raise UsageError(
                f"the output is an input: {path}: found the same file as {source}, expected another one.",
                remedy="Rename the output.",
                code="output-is-input",
                source=str(source),
            )


def check_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists and must not be replaced.

    Raises:
        OutputExists: the file exists and `overwrite` is not set.
        ExportError: it is no regular file, or read-only.
    """
    with failures_reported(path):
        if not path.exists():
            return
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ExportError(
            f"the output is {kind}: {path}: found {stat.filemode(mode)}, expected a file.",
            remedy="Choose another output.",
            code="output-no-file",
        )
    if not overwrite:
        raise OutputExists(
            f"the output exists: {path}: found a file, expected none.",
            remedy="Use `overwrite=True` or choose another output.",
            code="output-exists",
            path=str(path),
        )
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise ExportError(
            f"the output is read-only: {path}: found mode {stat.filemode(mode)}, expected a writable file.",
            remedy="Change its permissions or choose another output.",
            code="output-read-only",
        )


def check_folder(path: Path) -> None:
    """Refuse an output whose folder does not exist.

    Raises:
        ExportError: there is no such folder.
    """
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ExportError(
            f"the output's folder does not exist: {path}: found no folder {folder}, expected an existing one.",
            remedy="Create it first.",
            code="output-folder-missing",
            folder=str(folder),
        )


def check_facts(form: Format, target: Target, staged: Path, count: int) -> None:
    """Read a finished file again, and compare the number of features and the CRS.

    Args:
        form: format of the file.
        target: description of the output, for its CRS and its name in messages.
        staged: the finished file, still in its staging folder.
        count: number of features that were written.

    Raises:
        ExportError: the file does not hold `count` features, or has another CRS than the one written.
    """
    features, crs = form.facts(staged, target.layer)
    if features != count:
        raise ExportError(
            f"the finished file is not complete: {target.path}: found {features} features, expected {count}.",
            remedy="Nothing was replaced; check the disk and run again.",
            code="output-incomplete",
            features=features,
            expected=count,
        )
    expected = WGS84 if form.wgs84 else target.crs
    # Heights and the order of axes do not count: features have no heights, and every format puts x first.
    if crs is None or not crs.to_2d().equals(expected.to_2d(), ignore_axis_order=True):
        raise ExportError(
            f"{form.name} cannot hold this CRS: {target.path}: found {crs.name if crs else 'no CRS'!r} when read back, "
            f"expected {expected.name!r}.",
            remedy="Choose GeoPackage or GeoParquet, or warp the scene.",
            code="format-cannot-hold-crs",
            format=form.name,
        )


def _check_fit(form: Format, path: Path, crs: CRS, columns: Sequence[Column]) -> None:
    if form.wgs84 and not reaches_wgs84(crs):
        raise ExportError(
            f"{form.name} needs longitude and latitude: {path}: found CRS {crs.name!r}, which cannot reach WGS84, "
            "expected one that can.",
            remedy="Choose GeoPackage (.gpkg), which keeps the scene's CRS.",
            code="format-needs-wgs84",
            format=form.name,
        )
    # GDAL would take the part before the mark for an archive, and write to another place.
    if form.through_gdal and "!" in os.path.realpath(path.parent):
        raise ExportError(
            f"the output's folder has a '!' in its path: {path}: found folder {path.parent}, expected one without '!', "
            "which GDAL reads as the mark of an archive.",
            remedy="Choose another folder.",
            code="output-path-with-archive-mark",
        )
    if form.short_names and len(columns) > MAX_FIELDS:
        raise ExportError(
            f"too many columns for a {form.name}: {path}: found {len(columns)}, expected at most {MAX_FIELDS}.",
            remedy="Choose GeoPackage (.gpkg).",
            code="too-many-columns",
            columns=len(columns),
            most=MAX_FIELDS,
        )


def _try_empty(form: Format, target: Target) -> None:
    """Write an empty result beside the output and read it again: this tests folder, CRS and columns together."""
    names, _ = plan_names(target.columns, short=form.short_names)
    with Staging(target.path) as staging, failures_reported(target.path):
        alone = replace(target, path=staging.folder / target.path.name)  # not beside the layers of an existing file
        check_facts(form, target, form.write(staging.folder, Features(alone, names, (), []))[-1], 0)
