"""Layers that are no files, as pictures: WMS, XYZ and others, the way they are drawn, saved as a GeoTIFF of the view.

QGIS fetches and writes in a task of its own, with copies of all that a thread must not share. The picture has the
layer's CRS; where nothing was delivered it is transparent, and the worker takes that for no data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsDistanceArea,
    QgsPointXY,
    QgsProject,
    QgsRasterFileWriter,
    QgsRasterFileWriterTask,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QObject, QTemporaryDir, QTimer

from geosam_qgis.compat import set_creation_options
from geosam_qgis.jobs.sources import RasterSource
from geosam_qgis.texts import tr

#: More is not fetched from a server at once.
MAX_PIXELS = 100_000_000
#: Side of the reduced picture that is looked at to see whether anything was delivered, in pixels.
_SAMPLE = 256
#: Bands of a picture that is drawn: red, green, blue, alpha.
_ALPHA = 4

OnReady = Callable[[RasterSource], None]
OnFailed = Callable[[str], None]


class Picture:
    """A picture on its way."""

    def __init__(self, path: str, task: QgsRasterFileWriterTask, ready: OnReady, failed: OnFailed) -> None:
        self._path, self._task, self._ready, self._failed = path, task, ready, failed
        self._over = False
        task.writeComplete.connect(lambda _path: self._end())
        task.errorOccurred.connect(lambda *_code: self._end())
        task.taskTerminated.connect(self._end)

    def cancel(self) -> None:
        """Give up, if it is not there yet; `failed` is called without a reason."""
        if not self._over:
            self._task.cancel()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._task.isCanceled():
            self._failed("")
        elif problem := _problem(self._path):
            self._failed(problem)
        else:
            self._ready(RasterSource(self._path))


class Pictures(QObject):
    """Pictures of layers, in a temporary folder that goes with the project, or with the plugin."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder: QTemporaryDir | None = None
        self._taken: list[Picture] = []
        self._count = 0
        QgsProject.instance().cleared.connect(self.clear)

    def take(
        self, layer: QgsRasterLayer, extent: QgsRectangle, resolution_m: float, ready: OnReady, failed: OnFailed
    ) -> Picture | None:
        """Save what the layer shows of an extent, in the background; exactly one of the two is called, later.

        Args:
            layer: Any raster layer, with a CRS.
            extent: In the layer's CRS.
            resolution_m: Side of a pixel in metres on the ground; it decides on the zoom level of an XYZ layer.
            ready: Gets the Source that the worker can open.
            failed: Gets the reason in words; empty if it was cancelled.

        Returns:
            The picture, which can be cancelled; None if it was never begun.
        """
        frame = frame_of(layer, extent, resolution_m)
        self._folder = self._folder or QTemporaryDir()
        if isinstance(frame, str) or not self._folder.isValid():
            reason = frame if isinstance(frame, str) else self._folder.errorString()
            QTimer.singleShot(0, partial(failed, reason))
            return None
        self._count += 1
        path = self._folder.filePath(f"picture{self._count}.tif")
        writer = QgsRasterFileWriter(path)
        writer.setOutputFormat("GTiff")
        set_creation_options(writer, ["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
        context = QgsProject.instance().transformContext()
        task = QgsRasterFileWriterTask(writer, _pipe(layer), *frame, layer.crs(), context)
        task.setDescription(tr("geosam: picture of {}").format(layer.name()))
        picture = Picture(path, task, ready, failed)
        self._taken.append(picture)
        QgsApplication.taskManager().addTask(task)
        return picture

    def clear(self) -> None:
        """Cancel what goes on, and remove all pictures."""
        for picture in self._taken:
            picture.cancel()
        self._taken.clear()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def unload(self) -> None:
        """Undo everything."""
        QgsProject.instance().cleared.disconnect(self.clear)
        self.clear()


def frame_of(layer: QgsRasterLayer, extent: QgsRectangle, resolution_m: float) -> tuple[int, int, QgsRectangle] | str:
    """Width and height in pixels of a picture, and its bounds, which hold the extent; or why there is none."""
    part = extent.intersect(layer.extent())
    if part.isEmpty():
        return tr("{} shows nothing here.").format(layer.name())
    size = resolution_m / metres_per_unit(layer.crs(), part.center())
    width, height = (max(1, math.ceil(length / size - 1e-6)) for length in (part.width(), part.height()))
    if width * height > MAX_PIXELS:
        text = tr(
            "{} x {} pixels are too many, at most {} million are fetched. Zoom in, or choose a coarser resolution."
        )
        return text.format(width, height, MAX_PIXELS // 10**6)
    left, top = part.xMinimum(), part.yMaximum()
    return width, height, QgsRectangle(left, top - height * size, left + width * size, top)


def metres_per_unit(crs: QgsCoordinateReferenceSystem, place: QgsPointXY) -> float:
    """Metres on the ground in a unit of a CRS at a place: the geometric mean over east and north."""
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsProject.instance().transformContext())
    measure.setEllipsoid("EPSG:7030")
    step = 1e-3 if crs.isGeographic() else 10.0
    east = measure.measureLine(place, QgsPointXY(place.x() + step, place.y()))
    north = measure.measureLine(place, QgsPointXY(place.x(), place.y() + step))
    return math.sqrt(east * north) / step


def _pipe(layer: QgsRasterLayer) -> QgsRasterPipe:
    """The service and its colours, without what the user did to the layer's brightness."""
    pipe = QgsRasterPipe()
    pipe.set(layer.dataProvider().clone())
    pipe.set(layer.renderer().clone())
    return pipe


def _problem(path: str) -> str:
    """Why a picture is of no use, as a look at a few of its pixels tells; empty if it is fine."""
    picture = QgsRasterLayer(path, "picture")
    if not picture.isValid():
        return tr("The picture could not be written: {}. Check the disk.").format(path)
    if picture.bandCount() < _ALPHA:
        return ""
    block = picture.dataProvider().block(_ALPHA, picture.extent(), _SAMPLE, _SAMPLE)
    if any(bytes(block.data())):
        return ""
    return tr("The server has delivered nothing for this view. Check the connection, or zoom to where there is data.")
