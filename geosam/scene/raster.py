"""Raster: an open file with one handle per thread, and raw band values in windows of file pixels.

A GDAL handle that threads share returns wrong pixels or crashes the process, and a handle used after a fork fails. So
every thread of every process opens its own, and pickling drops them.
"""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as FileWindow

from geosam.errors import GeosamError, UnreadableScene, UsageError
from geosam.geometry.geobox import Window
from geosam.scene.preflight import HTTP_PAUSES, HTTP_TIMEOUT, describe_bytes, read_head

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from geosam._arrays import BoolArray, Bytes
    from geosam.scene.preflight import Source

#: Most pixels that one call into GDAL reads: Ctrl-C has no effect before the call returns.
_MAX_CALL_PX = 2**24
#: Warped values depend on the chunk that GDAL warps at once, so chunks have fixed places: this grid (pixels).
_WARP_CHUNK = 512
#: Bounds of GDAL's block cache, which belongs to the process (bytes).
_MIN_CACHE, _MAX_CACHE = 64 * 2**20, 768 * 2**20
#: Side of the window that the cache has to serve well (pixels).
_USUAL_WINDOW = 1024

#: Function that reads a window (B, H, W) of an open file.
_Read: TypeAlias = "Callable[[DatasetReader, FileWindow], NDArray[Any]]"

#: Held while a file is opened: warning filters belong to the process, and threads must not undo each other's.
_opening_lock = threading.Lock()
_cache_bytes = 0


class Raster:
    """A file that is read by any number of threads and processes; picklable."""

    def __init__(self, source: Source, *, gcps: bool = False, overview: int | None = None) -> None:
        """Store the description of a file, which is opened when it is first read.

        Args:
            source: a file that passed the pre-flight.
            gcps: True to read through a warp by the ground control points.
            overview: number of the overview to read, from 0; None reads the base.
        """
        self.source = source
        self.gcps = gcps
        self.overview = overview
        self._threads = threading.local()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "gcps": self.gcps, "overview": self.overview}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @contextmanager
    def handle(self, window: Window | None = None) -> Iterator[DatasetReader]:
        """Yield this thread's handle; an error of GDAL in the block becomes an UnreadableScene.

        Args:
            window: the window that the block reads, for the message.

        Raises:
            UnreadableScene: the file cannot be opened or read.
        """
        with rasterio.Env(**self._options()):
            try:
                yield self._own_handle()
            except (GeosamError, MemoryError):
                raise
            except Exception as error:
                reason, remedy = self._reason(error)
                raise UnreadableScene(
                    f"cannot read the scene: {self.source.name}{_place(window)}: {reason}.",
                    remedy=remedy,
                    code="scene-unreadable",
                    scene=self.source.name,
                ) from error

    def read(self, indexes: Sequence[int], window: Window) -> NDArray[Any]:
        """Read the values (B, H, W) of the bands `indexes` (from 1) in a window of file pixels.

        Raises:
            UnreadableScene: naming the file and the window.
        """
        return self._retried(window, lambda ds, part: _bands(ds, indexes, part))

    def read_masks(self, indexes: Sequence[int], window: Window) -> Bytes:
        """Read GDAL's mask bands (B, H, W) of the bands `indexes` in a window of file pixels; 0 is invalid.

        Raises:
            UnreadableScene: naming the file and the window.
        """
        return self._retried(window, lambda ds, part: ds.read_masks(list(indexes), window=part))

    def close(self) -> None:
        """Close the handles of all threads; none of them may be reading. The next read opens a new one."""
        for handle in list(self._open):
            handle.close()
        self._threads = threading.local()

    def _options(self) -> dict[str, Any]:
        if self.source.remote:
            return {
                "GDAL_HTTP_CONNECTTIMEOUT": HTTP_TIMEOUT,
                "GDAL_HTTP_LOW_SPEED_TIME": HTTP_TIMEOUT,
                "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
                "GDAL_HTTP_MAX_RETRY": len(HTTP_PAUSES),
                "GDAL_HTTP_RETRY_DELAY": HTTP_PAUSES[0],
                "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
                "CPL_VSIL_CURL_NON_CACHED": self.source.uri,
            }
        if self.source.alone:
            return {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
        return {}

    def _own_handle(self) -> DatasetReader:
        process, handle = getattr(self._threads, "handle", (0, None))
        if handle is None or process != os.getpid():
            handle = self._opened()
            self._threads.handle = (os.getpid(), handle)
            self._open.add(handle)
        return handle

    def _opened(self) -> DatasetReader:
        level = {} if self.overview is None else {"OVERVIEW_LEVEL": self.overview}
        with _opening_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `georeference` raises a better error
            ds = rasterio.open(self.source.uri, driver=self.source.driver, **level)
            _size_block_cache(ds)
            return self._warped(ds) if self.gcps else ds

    def _warped(self, ds: DatasetReader) -> DatasetReader:
        points, crs = ds.gcps
        if not points or not crs:
            shortcoming = "has no ground control points" if not points else "has ground control points without a CRS"
            raise UsageError(
                f"the scene cannot be warped: `gcps`: {self.source.name} {shortcoming}.",
                remedy="Leave `gcps` out, or set them with gdal_translate.",
                code="scene-without-gcps",
                scene=self.source.name,
            )
        has_alpha = ColorInterp.alpha in ds.colorinterp  # else the warp adds one, for the pixels outside the picture
        # With a tolerance GDAL would approximate the warp, and neighbouring windows would differ.
        return WarpedVRT(ds, src_crs=crs, crs=crs, resampling=Resampling.bilinear, add_alpha=not has_alpha, tolerance=0)

    def _retried(self, window: Window, read: _Read) -> NDArray[Any]:
        """Call `read` for a window; if a remote file fails, call it again with a new handle."""
        for pause in HTTP_PAUSES if self.source.remote else ():
            try:
                return self._chunked(window, read)
            except UnreadableScene:
                self._threads.__dict__.pop("handle", None)  # so that the next call opens the file again
                time.sleep(pause)
        return self._chunked(window, read)

    def _chunked(self, window: Window, read: _Read) -> NDArray[Any]:
        """Call `read` for parts of a window: small ones, or those of a fixed grid if the file is warped."""
        with self.handle(window) as ds:
            if isinstance(ds, WarpedVRT):
                return _aligned(ds, window, read)
            rows = max(1, _MAX_CALL_PX // window.width)
            parts = [
                read(ds, FileWindow(window.col_off, row, window.width, min(rows, window.row_end - row)))
                for row in range(window.row_off, window.row_end, rows)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _reason(self, error: BaseException) -> tuple[str, str]:
        """Return the reason from the first of a chain of library errors, and a remedy."""
        while error.__cause__ is not None:
            error = error.__cause__
        text = " ".join(str(error).split()).removeprefix(f"{self.source.uri}: ").rstrip(".") or type(error).__name__
        if "not recognized" in text and not self.source.remote:
            content = describe_bytes(read_head(self.source.name))
            return f"it {content}; expected a raster that GDAL can open", "Check the file."
        if self.source.remote:
            return text, "Check the connection, or download the file first."
        return text, "The file is damaged or incomplete: copy it again."


def fits_block_cache(ds: DatasetReader) -> bool:
    """Return True if the largest block cache that geosam sets can hold the blocks under a window of usual size."""
    return _cache_need(ds) <= _MAX_CACHE


def _size_block_cache(ds: DatasetReader) -> None:
    """Let GDAL's block cache hold the blocks under a window of usual size, within bounds.

    A striped file whose strips do not fit is decoded again for every window. If the user has set the environment
    variable GDAL_CACHEMAX, nothing is changed.
    """
    global _cache_bytes  # noqa: PLW0603 - the cache belongs to the process, like its size
    if "GDAL_CACHEMAX" in os.environ:
        return
    size = min(max(_cache_bytes, _MIN_CACHE, _cache_need(ds) * 5 // 4), _MAX_CACHE)
    if size != _cache_bytes:
        set_gdal_config("GDAL_CACHEMAX", size)
        _cache_bytes = size


def _cache_need(ds: DatasetReader) -> int:
    height, width = ds.block_shapes[0] if ds.count else (1, 1)
    across = min(math.ceil(_USUAL_WINDOW / width) + 1, math.ceil(ds.width / width))
    down = min(math.ceil(_USUAL_WINDOW / height) + 1, math.ceil(ds.height / height))
    # rasterio's "complex_int16" is no type of numpy; a "complex64" is at least as large.
    values = sum(np.dtype(name.replace("_int16", "64")).itemsize for name in ds.dtypes)
    return int(across * down * width * height * values)


def unwritten_pixels(
    ds: DatasetReader, indexes: Sequence[int], window: Window, bands: NDArray[Any]
) -> BoolArray | None:
    """Mark the pixels (H, W) of a window in blocks that a sparse TIFF never wrote; None if there are none.

    Args:
        ds: the open file.
        indexes: bands, counted from 1.
        window: the window, in file pixels.
        bands: values (B, H, W) of the window; a block that was never written reads as 0.
    """
    unwritten: BoolArray | None = None
    for col, row, block in _blocks(ds, indexes[0], window):
        rows, cols = block.relative_to(window).slices_rc
        # Testing the first pixel is much faster than asking the driver for every block.
        if not bands[:, rows.start, cols.start].any() and _is_unwritten_block(ds, indexes, col, row):
            unwritten = np.zeros(window.shape_hw, bool) if unwritten is None else unwritten
            unwritten[rows, cols] = True
    return unwritten


def is_unwritten(ds: DatasetReader, indexes: Sequence[int], window: Window) -> bool:
    """Return True if a TIFF has no block at all in the window; False also if only reading could tell."""
    blocks = list(_blocks(ds, indexes[0], window))
    return bool(blocks) and all(_is_unwritten_block(ds, indexes, col, row) for col, row, _ in blocks)


def has_unwritten_blocks(ds: DatasetReader, indexes: Sequence[int]) -> bool:
    """Return True if a TIFF has blocks that were never written."""
    whole = Window(0, 0, ds.width, ds.height)
    return any(_is_unwritten_block(ds, indexes, col, row) for col, row, _ in _blocks(ds, indexes[0], whole))


def _blocks(ds: DatasetReader, index: int, window: Window) -> Iterator[tuple[int, int, Window]]:
    """Yield (column, row, part inside the window) of the blocks of a TIFF's base level; nothing for other files."""
    if ds.driver != "GTiff" or isinstance(ds, WarpedVRT):
        return
    height, width = ds.block_shapes[index - 1]
    for row in range(window.row_off // height, -(-window.row_end // height)):
        for col in range(window.col_off // width, -(-window.col_end // width)):
            block = window.intersection(Window(col * width, row * height, width, height))
            if block is not None:
                yield col, row, block


def _is_unwritten_block(ds: DatasetReader, indexes: Sequence[int], col: int, row: int) -> bool:
    """Return True if a block of a TIFF was written in none of the bands."""
    tag = f"BLOCK_OFFSET_{col}_{row}"
    return all(ds.get_tag_item(tag, "TIFF", bidx=index) is None for index in indexes)


def _bands(ds: DatasetReader, indexes: Sequence[int], window: FileWindow) -> NDArray[Any]:
    if len({ds.dtypes[i - 1] for i in indexes}) == 1:
        return np.asarray(ds.read(list(indexes), window=window))
    # rasterio refuses to read bands of several types at once.
    return np.stack([ds.read(i, window=window) for i in indexes])


def _place(window: Window | None) -> str:
    if window is None:
        return ""
    return f", window of {window.width} x {window.height} px at column {window.col_off}, row {window.row_off}"


def _aligned(ds: DatasetReader, window: Window, read: _Read) -> NDArray[Any]:
    """Read the chunks of the fixed grid that meet a window, and put the window together from them."""
    out: NDArray[Any] | None = None
    for row in range(window.row_off // _WARP_CHUNK * _WARP_CHUNK, window.row_end, _WARP_CHUNK):
        for col in range(window.col_off // _WARP_CHUNK * _WARP_CHUNK, window.col_end, _WARP_CHUNK):
            chunk = Window(col, row, min(_WARP_CHUNK, ds.width - col), min(_WARP_CHUNK, ds.height - row))
            values = read(ds, FileWindow(chunk.col_off, chunk.row_off, chunk.width, chunk.height))
            common = chunk.intersection(window)
            if common is None:
                continue
            if out is None:
                out = np.empty((len(values), *window.shape_hw), values.dtype)
            out[:, *common.relative_to(window).slices_rc] = values[:, *common.relative_to(chunk).slices_rc]
    assert out is not None  # noqa: S101 - the window has a pixel
    return out
