"""Scene: an opened raster at a stated ground resolution. It owns bands, valid mask and stretch, and reads tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from geosam.errors import UnreadableScene
from geosam.geometry.geobox import GeoBox, Window, crs_name
from geosam.scene import views
from geosam.scene.fingerprint import FileStamp, content_fingerprint
from geosam.scene.levels import choose_level
from geosam.scene.preflight import check_source
from geosam.scene.recipe import Recipe, digest_of
from geosam.scene.resample import AxisScale, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from pyproj import CRS

    from geosam._arrays import BoolArray, Bytes, Floats
    from geosam.scene.pixels import PixelReader
    from geosam.scene.stretch import Stretch

#: Side of the input that is resampled at once (pixels): the memory of a read does not grow with the file.
_RESAMPLE_PX = 2048


@dataclass(frozen=True, eq=False)
class Tile:
    """The picture of one window."""

    rgb: Bytes
    """Picture (3, H, W), red, green and blue; 0 where invalid."""
    valid: BoolArray
    """Valid pixels (H, W)."""
    geobox: GeoBox
    """The window's grid."""
    window: Window
    """Place in the scene, in scene pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """An opened raster; picklable, usable from any number of threads (each opens its own handle).

    Examples:
        Look at a scene and read a part of it::

            with geosam.open_scene("scene.tif") as scene:
                scene.crs, scene.bounds, scene.shape, scene.resolution
                scene.thumbnail().save("scene.png")
                tile = scene.read(geosam.Window(0, 0, 512, 512))
    """

    path: str
    """The path or URL as it was given."""
    geobox: GeoBox
    """The grid at the scene's resolution, presented north-up."""
    bands: tuple[int, ...]
    """Bands of the picture, counted from 1: three, or one."""
    stretch: Stretch
    """Map of band values to the picture."""
    region: Window
    """Part to segment, in scene pixels."""
    gsd_xy: tuple[float, float]
    """Metres on the ground per pixel, along x and y, at the centre."""
    stated_resolution: float | None
    """The ground resolution given when the scene was opened, in metres; None is native."""
    warnings: tuple[str, ...]
    """Notes for the user."""
    facts: Mapping[str, Any]
    """Facts about the file, for :meth:`describe`."""
    reader: PixelReader
    """The level that is read."""
    axes: tuple[AxisScale, AxisScale] | None
    """Resampling along x and y; None reads native pixels."""
    stamps: tuple[FileStamp, ...]
    """The files as they were when the scene was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{views.headline(self)}>"

    def _repr_html_(self) -> str:
        return views.card(self)

    @property
    def crs(self) -> CRS:
        """The coordinate reference system of map coordinates."""
        return self.geobox.crs

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Envelope (left, bottom, right, top) of the region in map coordinates."""
        return self.geobox.crop(self.region).bounds

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the region in pixels."""
        return self.region.shape_hw

    @property
    def resolution(self) -> tuple[float, float]:
        """Metres on the ground per pixel along x and y; another name of `gsd_xy`."""
        return self.gsd_xy

    def read(self, window: Window) -> Tile:
        """Read the picture of a window, which must lie inside the grid.

        Raises:
            UnreadableScene: the file is damaged there; names the file and the window.
            ValueError: the window leaves the grid; :meth:`Window.intersection` clips it.
        """
        bands, valid = self._values(self._checked(window))
        return Tile(self.stretch.apply(bands, valid), valid, self.geobox.crop(window), window)

    def is_empty(self, window: Window) -> bool:
        """Return True if a window has no valid pixel; a sparse file without a block there is not read."""
        self._checked(window)
        # Windows of a resampled scene count other pixels than the file does.
        if self.axes is None and self.reader.is_unwritten(window):
            return True
        return not self._values(window)[1].any()

    def zoom(self, scale_x: float, scale_y: float) -> Scene:
        """Return the scene with pixels `scale_x` times as wide and `scale_y` times as high.

        It is read from an overview if the file has one that is fine enough and agrees with its pixels.
        """
        if scale_x == scale_y == 1:
            return self
        if self.axes is None:
            reader, axes, _ = choose_level(self.reader, (scale_x, scale_y))
        else:
            x, y = self.axes
            reader, axes = self.reader, (replace(x, scale=x.scale * scale_x), replace(y, scale=y.scale * scale_y))
        geobox = self.geobox.zoom(scale_x, scale_y)
        return replace(
            self,
            geobox=geobox,
            region=views.scaled(self.region, scale_x, scale_y, geobox.window),
            gsd_xy=(self.gsd_xy[0] * scale_x, self.gsd_xy[1] * scale_y),
            stated_resolution=None,
            reader=reader,
            axes=axes,
        )

    def thumbnail(self, size: int = 512) -> Image:
        """Return a small RGB picture of the region, with pixels that are square on the ground; black where invalid.

        Memory does not grow with the file; without overviews the whole region is read.

        Args:
            size: longest side of the picture in pixels; a smaller region is not enlarged.

        Raises:
            UsageError: the size is below 1.
            UnreadableScene: the file is damaged.
        """
        return views.thumbnail(self, size)

    def plot(self, ax: Any = None, *, size: int = 1024) -> Any:
        """Draw the region in map coordinates with matplotlib.

        Args:
            ax: matplotlib axes to draw on; new ones if left out.
            size: longest side of the picture in pixels.

        Returns:
            The axes.

        Raises:
            UsageError: matplotlib is not installed.
        """
        return views.plot(self, ax, size)

    def close(self) -> None:
        """Close the handles of all threads; no thread may be reading. A later read opens them again."""
        self.reader.raster.close()

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the content of the file and its side-cars; a copy or a touch does not change it."""
        source = self.reader.raster.source
        if source.remote:  # the version that the server states, because the content would take long to download
            return hashlib.sha256(f"{source.uri}|{source.version}".encode()).hexdigest()
        return content_fingerprint(stamp.path for stamp in self.stamps)

    @cached_property
    def recipe(self) -> Recipe:
        """Everything the picture of a window depends on; equal in every process that opens the same content."""
        return Recipe.of(self.fingerprint, self.geobox, self.reader, self.axes, self.stretch)

    @cached_property
    def recipe_as_opened(self) -> Recipe:
        """Recipe whose `source` names the files as they were opened, so that no content needs to be read.

        Use it for values that live as long as this process, such as a session's memory. A copy of the file has another
        recipe.
        """
        source = self.reader.raster.source
        # Stamps hold times and inodes, which another process or machine does not share.
        opened = (source.uri, source.driver, source.alone, source.version, self.stamps)
        return Recipe.of(digest_of(repr(opened)), self.geobox, self.reader, self.axes, self.stretch)

    def verify_unchanged(self) -> None:
        """Check that every file of the scene is the one that was opened.

        Raises:
            UnreadableScene: one was replaced, rewritten or removed.
        """
        source = self.reader.raster.source
        if source.remote and check_source(source.name).version != source.version:
            raise UnreadableScene(
                f"the scene changed while reading: {source.name}.",
                remedy="Run again.",
                code="remote-scene-changed",
                scene=source.name,
            )
        for stamp in self.stamps:
            try:
                same = FileStamp.of(stamp.path) == stamp
            except OSError:
                same = False
            if not same:
                raise UnreadableScene(
                    f"the scene changed while reading: {stamp.path}.",
                    remedy="Run again when no other program writes to it.",
                    code="scene-changed",
                    file=stamp.path,
                )

    def provenance(self) -> dict[str, Any]:
        """Return the facts about the scene that a result records, ready for JSON."""
        low, high = self.recipe.stretch
        return {
            "scene": self.path,
            "bands": list(self.recipe.bands),
            "stretch": {"low": list(low), "high": list(high)},
            "resolution": self.stated_resolution or list(self.gsd_xy),
        }

    def describe(self) -> dict[str, Any]:
        """Return everything that is known about the scene, ready for JSON."""
        plan = self.reader.plan
        return {
            "scene": self.path,
            **self.facts,
            "used_bands": list(self.bands),
            "why": plan.reason,
            "valid_pixels": plan.validity,
            "width": self.geobox.width,
            "height": self.geobox.height,
            "crs": crs_name(self.geobox.crs),
            "transform": list(self.geobox.transform[:6]),
            "bounds": list(self.geobox.bounds),
            "gsd_m": list(self.gsd_xy),
            "region": [self.region.col_off, self.region.row_off, self.region.width, self.region.height],
            "stretch": self.stretch.to_json(),
            "warnings": list(self.warnings),
        }

    def _checked(self, window: Window) -> Window:
        for value in (window.col_off, window.row_off, window.width, window.height):
            index(value)  # refuse floats: GDAL reads them, and a later step would fail with a less clear message
        if not self.geobox.window.contains(window):
            raise ValueError(f"{window} leaves the scene of {self.geobox.width} x {self.geobox.height} px")
        return window

    def _values(self, window: Window) -> tuple[NDArray[Any], BoolArray]:
        if self.axes is None:
            return self.reader.read(window)
        parts = [[self._resampled(part, self.axes) for part in row] for row in _parts(window, self.axes)]
        bands = np.concatenate([np.concatenate([values for values, _ in row], axis=2) for row in parts], axis=1)
        valid = np.concatenate([np.concatenate([mask for _, mask in row], axis=1) for row in parts], axis=0)
        return bands, valid

    def _resampled(self, window: Window, axes: tuple[AxisScale, AxisScale]) -> tuple[Floats, BoolArray]:
        across, down = axes
        col, col_end = across.support(window.col_off, window.col_end)
        row, row_end = down.support(window.row_off, window.row_end)
        bands, valid = self.reader.read(Window(col, row, col_end - col, row_end - row))
        rows = down.weights(window.row_off, window.row_end)
        return resample(bands, valid, rows, across.weights(window.col_off, window.col_end))


def _parts(window: Window, axes: tuple[AxisScale, AxisScale]) -> list[list[Window]]:
    """Cut a window into rows of parts whose input is small enough to be resampled at once."""
    width, height = (max(1, int(_RESAMPLE_PX / axis.scale)) for axis in axes)  # in output pixels
    return [
        [
            Window(col, row, min(width, window.col_end - col), min(height, window.row_end - row))
            for col in range(window.col_off, window.col_end, width)
        ]
        for row in range(window.row_off, window.row_end, height)
    ]
