"""Every refusal of an output that can be made before the model runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.errors import ExportError, OutputExists, UsageError
from geosam.export.formats import format_of
from geosam.export.staging import failures_reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyproj import CRS

    from geosam.export.schema import Column


def check_output(
    path: Path, crs: CRS, columns: Sequence[Column], *, overwrite: bool, inputs: Sequence[Path] = ()
) -> None:
    """Refuse an output that could not be written, or should not be.

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
        ExportError: The folder or the file cannot be written, or the format cannot hold the CRS.
        DiskFull: No space is left in the folder.
    """
    format_of(path)
    final = Path(os.path.realpath(path))
    for source in inputs:
        if source.exists() and final.exists() and source.samefile(final):
            raise UsageError(f"the output is an input: {path}: same file as {source}, another wanted. Rename the output")
    _check_existing(final, overwrite=overwrite)
    _check_folder(final)


def _check_existing(path: Path, *, overwrite: bool) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ExportError(
            f"the output cannot be reached: {path}: {error.strerror}, a file that can be written wanted. "
            "Choose another output"
        ) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ExportError(f"the output is {kind}: {path}: a file wanted. Choose another output")
    if not overwrite:
        raise OutputExists(f"the output exists: {path}: a file, none wanted. Pass --overwrite or choose another output")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise ExportError(
            f"the output is read-only: {path}: mode {stat.filemode(mode)}, a writable file wanted. "
            "Change its permissions or choose another output"
        )


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise ExportError(
            f"the output's folder does not exist: {path}: no folder {folder}, an existing one wanted. Create it first"
        )
    with failures_reported(path), tempfile.TemporaryDirectory(prefix=".geosam-", dir=folder):
        pass
