"""One run over a raster layer in the background, from the picture of a web layer to the layer with the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsRectangle, QgsVectorLayer
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from geosam_qgis import protocol
from geosam_qgis.engine.client import WorkerClient, WorkerFailure
from geosam_qgis.jobs.progress_task import ProgressTask
from geosam_qgis.jobs.projections import crs_of
from geosam_qgis.jobs.results import result_layer
from geosam_qgis.jobs.run_request import PATIENCE_MS, RunRequest
from geosam_qgis.jobs.sources import RasterSource, source_of
from geosam_qgis.jobs.streamed_layer import StreamedLayer
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.jobs.web_layers import Picture, Pictures


@dataclass(frozen=True)
class LayerJob:
    """The choices of the user for a run."""

    layer: QgsRasterLayer
    """The raster layer."""
    out: str
    """Path of the GeoPackage to write."""
    model: str
    """Name of a model, or path of a file of weights."""
    extent: QgsRectangle | None = None
    """The part to segment, in the layer's CRS; None for the whole layer."""
    resolution_m: float | None = None
    """Side of a pixel in ground metres; None for the resolution of the raster."""
    running: dict[str, Any] = field(default_factory=dict)
    """Fields of the library's `RunOptions`."""


@dataclass(frozen=True)
class RunOutcome:
    """The end of a run."""

    state: str
    """`done`, `cancelled` or `failed`."""
    text: str
    """One or two sentences for the user."""
    summary: dict[str, Any] | None = None
    """The worker's summary of a run that is done."""
    layer: QgsVectorLayer | None = None
    """The layer in the project: the result, or the objects of an unfinished run."""


class LayerRun(QObject):
    """A run with a worker of its own, so that clicks stay fast."""

    ended = pyqtSignal(object)
    """A RunOutcome, once."""

    def __init__(self, job: LayerJob, pictures: Pictures, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job = job
        self._name = job.layer.name()
        self._pictures = pictures
        self._picture: Picture | None = None
        self._client = WorkerClient(None, self)
        self._client.notified.connect(self._noticed)
        self._request: int | None = None
        self._stream: StreamedLayer | None = None
        self._same_project = True
        self._cancelled = self._ended = False
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE_MS)
        self._patience.timeout.connect(self._client.stop)
        self._task: ProgressTask | None = ProgressTask(tr("geosam: segment {}").format(self._name))
        self._task.cancelled.connect(self.cancel)
        self._task.taskCompleted.connect(self._forget_task)  # the task manager deletes it
        self._task.taskTerminated.connect(self._forget_task)

    @property
    def stream(self) -> StreamedLayer | None:
        """The layer for the objects of the run; None before the first object."""
        return self._stream

    def start(self) -> None:
        """Start the run; `ended` follows."""
        QgsApplication.taskManager().addTask(self._task)
        QgsProject.instance().cleared.connect(self._leave_project)  # layers go with their project
        job, source = self._job, source_of(self._job.layer)
        if isinstance(source, RasterSource):
            resolution = {"resolution": job.resolution_m} if job.resolution_m else {}
            self._request_run(RasterSource(source.path, {**source.options, **resolution}), job.extent)
        elif source.exportable and job.resolution_m:
            extent = job.extent or job.layer.extent()
            ready = partial(self._request_run, extent=None)
            self._picture = self._pictures.take(job.layer, extent, job.resolution_m, ready, self._fail)
        else:
            text = tr("{} Enter a resolution for its picture.") if source.exportable else "{}"
            QTimer.singleShot(0, partial(self._fail, text.format(source.text)))

    def cancel(self) -> None:
        """Stop as soon as possible, and keep the finished tiles."""
        self._cancelled = True
        if self._request is not None:
            self._client.cancel(self._request)
            self._patience.start()  # a tile may take long, but not for ever
        elif self._picture is not None:
            self._picture.cancel()

    def close(self) -> None:
        """Stop at once, without a message."""
        self._cancelled = self._ended = True
        if self._stream is not None:
            self._stream.stop()
        self._leave()

    def _request_run(self, source: RasterSource, extent: QgsRectangle | None) -> None:
        if self._ended:
            return
        window = None
        if extent is not None:
            window = extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()
        job = self._job
        request = RunRequest(source, job.out, job.model, window=window, running=job.running, send_objects=True)
        self._request = self._client.request("run", request.params(), self._done, self._failed)
        if self._cancelled:  # cancelled while the picture was finished
            self.cancel()

    def _noticed(self, method: str, params: dict[str, Any]) -> None:
        if params.get("id") != self._request or self._ended:
            return
        if method == "progress" and params["total"] and self._task is not None:
            self._task.setProgress(100 * params["done"] / params["total"])
        elif method == "objects" and self._same_project:
            if self._stream is None:
                name = tr("{} (being segmented)").format(self._name)
                self._stream = StreamedLayer(name, crs_of(params["crs"]))
            self._stream.add(params["objects"])

    def _done(self, summary: dict[str, Any]) -> None:
        layer = self._show_result() if self._same_project else None
        text = tr("{name}: {count} objects in {seconds:.0f} s, written to {out}.").format(
            name=self._name, count=summary["count"], seconds=summary["seconds"], out=self._job.out
        )
        failed = summary["failed_tiles"]
        if failed:
            missing = tr("{} of {} tiles failed and are missing: {}").format(len(failed), summary["tiles"], failed[0])
            text = f"{text} {missing}"
        self._end(RunOutcome("done", text, summary, layer))

    def _failed(self, failure: WorkerFailure) -> None:
        if failure.code != protocol.CANCELLED and not self._cancelled:
            self._fail(failure.message)
            return
        count = self._stream.count if self._stream is not None else 0
        text = tr("{} was cancelled after {} objects. Start it again with the same file to continue from there.")
        self._end(RunOutcome("cancelled", text.format(self._name, count), None, self._keep_objects()))

    def _fail(self, reason: str) -> None:
        """End a run that failed; an empty reason means that its picture was cancelled."""
        if not reason:
            self._end(RunOutcome("cancelled", tr("{} was cancelled.").format(self._name)))
        else:
            self._end(RunOutcome("failed", reason, None, self._keep_objects()))

    def _keep_objects(self) -> QgsVectorLayer | None:
        """Keep the objects of the unfinished run as a temporary layer."""
        layer = self._stream.layer if self._stream is not None else None
        if layer is not None:
            layer.setName(tr("{} (not finished)").format(self._name))
        return layer

    def _show_result(self) -> QgsVectorLayer:
        """Add the layer of the result, in the place of the temporary layer, and return it."""
        result = result_layer(self._job.out)
        project, temporary = QgsProject.instance(), self._stream.layer if self._stream is not None else None
        node = project.layerTreeRoot().findLayer(temporary.id()) if temporary is not None else None
        project.addMapLayer(result, node is None)  # at the top only if there is no place to take over
        if node is not None:
            group = node.parent()
            group.insertLayer(group.children().index(node), result)
        if self._stream is not None:
            self._stream.remove()
        return result

    def _leave_project(self) -> None:
        """Finish the file without a layer: its project was closed."""
        self._same_project = False
        if self._picture is not None:  # its folder is removed with the project
            self.cancel()

    def _forget_task(self) -> None:
        self._task = None

    def _end(self, outcome: RunOutcome) -> None:
        if not self._ended:
            self._ended = True
            self._leave(succeeded=outcome.state == "done")
            self.ended.emit(outcome)

    def _leave(self, *, succeeded: bool = False) -> None:
        QgsProject.instance().cleared.disconnect(self._leave_project)
        if self._task is not None:
            self._task.end(succeeded=succeeded)
        if self._picture is not None:
            self._picture.cancel()
        self._patience.stop()
        self._client.stop()
