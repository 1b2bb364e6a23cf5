"""Pictures of layers that are not files (WMS, XYZ and others): the view as QGIS draws it, saved as a GeoTIFF.

QGIS downloads and writes in a task of its own, with copies of everything that threads must not share. The picture has
the layer's CRS. Parts without data from the server are transparent, and the worker takes them for nodata.
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

#: Largest number of pixels of one picture, to spare the server.
MAX_PIXELS = 100_000_000
#: Side in pixels of the reduced picture that is searched for data.
_SAMPLE = 256
#: Number of the alpha band; the first three are red, green and blue.
_ALPHA = 4

OnReady = Callable[[RasterSource], None]
OnFailed = Callable[[str], None]


class Picture:
    """A picture that is being downloaded."""

    def __init__(self, path: str, task: QgsRasterFileWriterTask, ready: OnReady, failed: OnFailed) -> None:
        self._path, self._task, self._ready, self._failed = path, task, ready, failed
        self._over = False
        # a failure emits two of these
        task.writeComplete.connect(lambda _path: self._end())
        task.errorOccurred.connect(lambda *_code: self._end())
        task.taskTerminated.connect(self._end)

    def cancel(self) -> None:
        """Cancel the download, if it is not finished; `failed` is called with an empty reason."""
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
    """Pictures of layers, in a temporary folder that is removed with the project, or with the plugin."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder: QTemporaryDir | None = None
        self._pictures: list[Picture] = []
        self._count = 0
        QgsProject.instance().cleared.connect(self.clear)

    def take(
        self, layer: QgsRasterLayer, extent: QgsRectangle, resolution_m: float, ready: OnReady, failed: OnFailed
    ) -> Picture | None:
        """Save a part of a layer as a picture, in the background; exactly one of the two callbacks is called, later.

        Args:
            layer: Any raster layer, with a CRS.
            extent: The part, in the layer's CRS.
            resolution_m: Side of a pixel in ground metres; it decides on the zoom level of an XYZ layer.
            ready: Gets the RasterSource of the picture.
            failed: Gets the reason as a sentence; empty if it was cancelled.

        Returns:
            The picture, which can be cancelled; None if the download was not started.
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
        self._pictures.append(picture)
        QgsApplication.taskManager().addTask(task)
        return picture

    def clear(self) -> None:
        """Cancel all downloads, and remove all pictures."""
        for picture in self._pictures:
            picture.cancel()
        self._pictures.clear()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def unload(self) -> None:
        """Cancel and remove everything."""
        QgsProject.instance().cleared.disconnect(self.clear)
        self.clear()


def frame_of(layer: QgsRasterLayer, extent: QgsRectangle, resolution_m: float) -> tuple[int, int, QgsRectangle] | str:
    """Return width and height of a picture in pixels, and its bounds, which contain the extent; or a reason.

    Args:
        layer: A raster layer.
        extent: The part to save, in the layer's CRS.
        resolution_m: Side of a pixel in ground metres.
    """
    part = extent.intersect(layer.extent())
    if part.isEmpty():
        return tr("{} has no data here.").format(layer.name())
    size = resolution_m / metres_per_unit(layer.crs(), part.center())
    # without the tolerance, rounding errors would add a row or a column
    width, height = (max(1, math.ceil(length / size - 1e-6)) for length in (part.width(), part.height()))
    if width * height > MAX_PIXELS:
        text = tr(
            "The picture is too large: {} x {} pixels, at most {} million. Zoom in, or choose a coarser resolution."
        )
        return text.format(width, height, MAX_PIXELS // 10**6)
    left, top = part.xMinimum(), part.yMaximum()
    return width, height, QgsRectangle(left, top - height * size, left + width * size, top)


def metres_per_unit(crs: QgsCoordinateReferenceSystem, place: QgsPointXY) -> float:
    """Return the ground metres of one unit of a CRS at a place: the geometric mean of east and north."""
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsProject.instance().transformContext())
    measure.setEllipsoid("EPSG:7030")  # WGS 84, whatever the ellipsoid of the project
    step = 1e-3 if crs.isGeographic() else 10.0
    east = measure.measureLine(place, QgsPointXY(place.x() + step, place.y()))
    north = measure.measureLine(place, QgsPointXY(place.x(), place.y() + step))
    return math.sqrt(east * north) / step


def _pipe(layer: QgsRasterLayer) -> QgsRasterPipe:
    """Return the service and its colours, without the user's changes of brightness and contrast."""
    pipe = QgsRasterPipe()
    pipe.set(layer.dataProvider().clone())  # a thread must not share it with the map
    pipe.set(layer.renderer().clone())
    return pipe


def _problem(path: str) -> str:
    """Return the reason why a picture is useless, from a sample of its pixels; empty if it is usable."""
    picture = QgsRasterLayer(path, "picture")
    if not picture.isValid():
        return tr("The picture could not be written: {}. Check the disk.").format(path)
    if picture.bandCount() < _ALPHA:  # without alpha, no part is transparent
        return ""
    block = picture.dataProvider().block(_ALPHA, picture.extent(), _SAMPLE, _SAMPLE)
    if any(bytes(block.data())):
        return ""
    return tr("The server sent no data for this view. Check the connection, or zoom to a place with data.")
