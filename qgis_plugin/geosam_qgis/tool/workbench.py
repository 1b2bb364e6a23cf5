"""Map tool, panel and draft joined: the panel has the raster and the options, its layer gets accepted objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgis.core import QgsFeature, QgsGeometry, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QFileDialog, QWidget

from geosam_qgis.jobs.projections import ProjectionError, transformed
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, source_of
from geosam_qgis.jobs.web_layers import Pictures, metres_per_unit
from geosam_qgis.texts import tr
from geosam_qgis.tool.acceptance import AcceptanceError, accept
from geosam_qgis.tool.dock import Dock
from geosam_qgis.tool.draft_session import DraftSession
from geosam_qgis.tool.drafted_object import AnswerState, ObjectOptions
from geosam_qgis.tool.feature_reference import FeatureReference, reference_to
from geosam_qgis.tool.hover_preview import HoverPreview
from geosam_qgis.tool.map_tool import SegmentTool
from geosam_qgis.tool.output_layer import OutputLayerError, ask_for_layer
from geosam_qgis.tool.recent_objects import (
    RecentObject,
    RecentObjects,
    feature_at,
    outline_draft,
    prompt_objects,
    stored_draft,
)

if TYPE_CHECKING:
    from qgis.gui import QgsMapCanvas

    from geosam_qgis.draft import Draft
    from geosam_qgis.engine.client import WorkerClient
    from geosam_qgis.tool.answer import WorkerAnswer


class Workbench(QObject):
    """The map tool, the panel and the draft of one main window."""

    message = pyqtSignal(str, bool)
    """A sentence for the message bar, and True if it is about a failure."""

    def __init__(self, client: WorkerClient, canvas: QgsMapCanvas, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._canvas = canvas
        self._window = parent
        self.recents = RecentObjects(self)
        self.session = DraftSession(client, self._deliver, self)
        self.preview = HoverPreview(client, self.session, self)
        self.tool = SegmentTool(canvas, self.session, self.preview, lambda: self.dock.output_layer)
        self.dock = Dock(parent)
        self._pictures = Pictures(self)
        self._watched: set[str] = set()
        self._is_ready = False
        self._stop_reason = ""
        self._connect()
        self._choose_raster(self.dock.raster_layer)
        self._choose_options()
        self._show_state()

    # Commands of the user

    def accept(self) -> None:
        """Add the object to the output layer; without one, the user names a new layer."""
        if not self.session.draft.selects:
            return
        answer = self.session.answer
        is_empty = self.session.state is AnswerState.SHOWN and answer is not None and answer.geometry is None
        revised = self.session.revised
        has_layer = self.dock.output_layer is not None or (revised is not None and revised.layer is not None)
        if not (is_empty or has_layer or self.make_layer()):
            return
        output = self.dock.output_layer
        self.session.accept(output.id() if output is not None else "")

    def make_layer(self) -> bool:
        """Let the user name a new output layer; return True if there is one."""
        raster = self.dock.raster_layer
        if raster is None:
            self.message.emit(tr("Choose a raster layer first: the new layer gets its CRS."), False)
            return False
        try:
            layer = ask_for_layer(raster, self._window)
        except OutputLayerError as error:
            self.message.emit(str(error), True)
            return False
        if layer is not None:
            self.dock.output.setLayer(layer)
        return layer is not None

    def continue_selected(self) -> None:
        """Continue the selected polygon of the output layer."""
        layer = self.dock.output_layer
        selected = list(layer.selectedFeatures()) if layer is not None else []
        if layer is None or len(selected) != 1:
            self.message.emit(tr("Select one polygon of the output layer, or hold Alt and click it."), False)
        else:
            self._continue(layer, selected[0])

    def continue_at(self, point: Any) -> None:
        """Continue the polygon of the output layer at a point of the canvas."""
        layer = self.dock.output_layer
        if layer is None:
            self.message.emit(tr("Choose the output layer with the polygon first."), False)
            return
        try:
            feature = feature_at(layer, point, self._canvas.mapSettings().destinationCrs())
        except ProjectionError as error:
            self.message.emit(str(error), True)
            return
        if feature is None:
            self.message.emit(tr("There is no polygon of {name} here.").format(name=layer.name()), False)
        else:
            self._continue(layer, feature)

    def continue_recent(self, recent: RecentObject) -> None:
        """Continue an object of the list."""
        layer, feature = recent.reference.layer, recent.reference.feature
        if layer is None or feature is None:
            self.message.emit(tr("This object is not in its layer any more. It continues as a new object."), False)
            self._draft(recent.answer.draft, None)
        else:
            self._draft(recent.answer.draft, reference_to(layer, feature))

    def zoom_to(self, recent: RecentObject) -> None:
        """Zoom to an object of the list."""
        if recent.answer.geometry is None:
            return
        canvas_crs = self._canvas.mapSettings().destinationCrs()
        try:
            box = transformed(recent.answer.geometry, recent.answer.crs, canvas_crs).boundingBox()
        except ProjectionError as error:
            self.message.emit(str(error), True)
            return
        box.scale(2.0)  # with its surroundings
        self._canvas.setExtent(box)
        self._canvas.refresh()

    def save_prompts(self) -> None:
        """Write the prompts of the output layer's polygons into a file that the user names."""
        layer = self.dock.output_layer
        try:
            objects = prompt_objects(layer, self.recents) if layer is not None else []
        except ProjectionError as error:
            self.message.emit(str(error), True)
            return
        if layer is None or not objects:
            self.message.emit(tr("The output layer has no polygons with prompts."), False)
            return
        start = str(Path(QgsProject.instance().homePath() or Path.home()) / f"{layer.name()}_prompts.gpkg")
        path, _ = QFileDialog.getSaveFileName(self._window, tr("Save prompts"), start, "GeoPackage (*.gpkg)")
        if path:
            self._client.request(
                "save_prompts",
                {"path": str(Path(path).with_suffix(".gpkg")), "objects": objects, "overwrite": True},
                lambda saved: self.message.emit(
                    tr("The prompts of {count} objects were written to {path}.").format(**saved), False
                ),
                lambda failure: self.message.emit(failure.message, True),
            )

    def export_view(self) -> None:
        """Save the view of a web layer as a file, and segment that file."""
        layer = self.dock.raster_layer
        if layer is None:
            return
        canvas = self._canvas.mapSettings()
        try:
            view = transformed(QgsGeometry.fromQPolygonF(canvas.visiblePolygon()), canvas.destinationCrs(), layer.crs())
        except ProjectionError as error:
            self.message.emit(str(error), True)
            return
        name = tr("{name}, view").format(name=layer.name())
        self._pictures.take(
            layer,
            view.boundingBox(),
            metres_per_pixel(self._canvas),
            lambda source: self._use_picture(source, name),
            lambda reason: self.message.emit(reason, True) if reason else None,
        )

    def unload(self) -> None:
        """Disconnect and remove everything."""
        project = QgsProject.instance()
        project.layersWillBeRemoved.disconnect(self.recents.forget_layers)
        self._client.started.disconnect(self._started)
        self._client.stopped.disconnect(self._stopped)
        self.session.unload()
        self.tool.unload()
        self.preview.unload()
        self._pictures.unload()
        self.dock.deleteLater()
        self.deleteLater()

    # Reactions

    def _connect(self) -> None:
        self.tool.accept_requested.connect(self.accept)
        self.tool.continue_requested.connect(self.continue_at)
        self.tool.activated.connect(self._activated)
        self.session.changed.connect(self._show_draft)
        self.session.failed.connect(lambda text: self.message.emit(text, True))
        self.preview.activity_changed.connect(self._show_state)
        self.recents.changed.connect(lambda: self.dock.show_recent(self.recents.objects))
        self.dock.raster_changed.connect(self._choose_raster)
        self.dock.options_changed.connect(self._choose_options)
        self.dock.granularity_changed.connect(self.session.set_granularity)
        self.dock.new_layer_requested.connect(self.make_layer)
        self.dock.export_requested.connect(self.export_view)
        self.dock.zoom_requested.connect(self.zoom_to)
        self.dock.continue_requested.connect(self.continue_recent)
        self._client.started.connect(self._started)
        self._client.stopped.connect(self._stopped)
        QgsProject.instance().layersWillBeRemoved.connect(self.recents.forget_layers)

    def _activated(self) -> None:
        source = self.session.source
        if isinstance(source, RasterSource):
            self._client.forget_scene(source.path)  # the file may have changed since
        self.tool.follow_view()
        self._show_state()

    def _choose_raster(self, layer: QgsRasterLayer | None) -> None:
        if layer is not None and layer.id() not in self._watched:
            self._watched.add(layer.id())
            # a layer becomes usable when the user sets its CRS
            layer.crsChanged.connect(lambda: self._choose_raster(self.dock.raster_layer))
        source = source_of(layer) if layer is not None else None
        reason = source if isinstance(source, UnusableLayer) else None
        self.dock.show_notice(reason.text if reason else "", can_export=reason is not None and reason.exportable)
        self.session.set_source(source)
        self.tool.follow_view()

    def _choose_options(self) -> None:
        model = self.dock.model_name
        self._client.model = {"name": model} if model else None
        self.session.set_options(ObjectOptions(model, self.dock.simplify_m.value()))
        self.tool.follow_view()

    def _deliver(self, answer: WorkerAnswer, revised: FeatureReference | None, layer_id: str) -> None:
        """Add an object to the layer it comes from, or to the output layer at the time of its acceptance.

        Raises:
            AcceptanceError: the layer does not take the object.
        """
        layer = (revised and revised.layer) or QgsProject.instance().mapLayer(layer_id)
        if not isinstance(layer, QgsVectorLayer):
            raise AcceptanceError(tr("The output layer was removed. Choose another one, and accept the object again."))
        changed = revised if revised is not None and revised.layer_id == layer.id() else None
        reference = accept(answer, layer, min_area_m2=self.dock.min_area_m2.value(), revised=changed)
        self.recents.add(reference, answer, changed)

    def _continue(self, layer: QgsVectorLayer, feature: QgsFeature) -> None:
        draft = stored_draft(feature) or self.recents.draft_of(layer, feature) or outline_draft(layer, feature)
        self._draft(draft, reference_to(layer, feature))

    def _draft(self, draft: Draft, revised: FeatureReference | None) -> None:
        self.session.continue_with(draft, revised)
        if self._canvas.mapTool() is not self.tool:
            self._canvas.setMapTool(self.tool)

    def _use_picture(self, source: RasterSource, name: str) -> None:
        layer = QgsRasterLayer(source.path, name)
        QgsProject.instance().addMapLayer(layer)
        self.dock.raster.setLayer(layer)

    def _started(self, greeting: dict[str, Any]) -> None:
        self._is_ready = True
        self.dock.show_models(greeting["models"])
        self._show_state()

    def _stopped(self, reason: str) -> None:
        self._is_ready, self._stop_reason = False, reason
        self._show_state()

    def _show_draft(self) -> None:
        self.dock.show_granularity(self.session.draft.granularity)
        self._show_state()

    def _show_state(self) -> None:
        """Show in the panel what the worker does."""
        if not self._client.is_running:
            text = self._stop_reason or tr("The worker is not running. It starts with the first click.")
        elif not self._is_ready:
            text = tr("The worker is starting…")
        elif self.preview.is_loading:
            text = tr("The model is loading…")
        elif self.session.accepted_count:
            text = tr("Segmenting… {count} accepted objects are not finished yet.").format(
                count=self.session.accepted_count
            )
        elif self.preview.windows or self.session.state is AnswerState.WAITING:
            text = tr("Segmenting…")
        else:
            answer = self.session.answer
            text = " ".join([tr("Ready."), *(answer.warnings if answer is not None else ())])
        self.dock.state.setText(text)


def metres_per_pixel(canvas: QgsMapCanvas) -> float:
    """Return the side of a canvas pixel in ground metres."""
    crs = canvas.mapSettings().destinationCrs()
    return float(canvas.mapUnitsPerPixel() * metres_per_unit(crs, canvas.center()))
