"""The commands *Segment whole layer* and *Segment view*: the dialog before a run, and the message after it."""

from __future__ import annotations

from typing import Any

from qgis.core import Qgis, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QObject, pyqtSignal

from geosam_qgis.jobs.job_dialog import JobDialog
from geosam_qgis.jobs.layer_run import LayerJob, LayerRun, RunOutcome
from geosam_qgis.jobs.results import shown_layer
from geosam_qgis.jobs.web_layers import Pictures
from geosam_qgis.texts import tr

_LEVELS = {
    "done": Qgis.MessageLevel.Success,
    "cancelled": Qgis.MessageLevel.Info,
    "failed": Qgis.MessageLevel.Critical,
}


class WholeLayer(QObject):
    """Runs over whole layers, one at a time."""

    ended = pyqtSignal(object)
    """The RunOutcome of a run."""

    def __init__(self, iface: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._iface = iface
        self._pictures = Pictures(self)
        self._dialog: JobDialog | None = None
        self._run: LayerRun | None = None

    @property
    def is_running(self) -> bool:
        """True while a run goes on."""
        return self._run is not None

    def show_dialog(self, layer: QgsRasterLayer | None = None, extent: str = "whole") -> JobDialog | None:
        """Show the dialog with a raster layer and an extent: `whole`, `view` or `selection`."""
        if self._refuses():
            return None
        self._close_dialog()
        self._dialog = dialog = JobDialog(self._iface, layer, extent)
        dialog.confirmed.connect(self.start)
        dialog.open()
        return dialog

    def start(self, job: LayerJob) -> LayerRun | None:
        """Start a run; None, with a message, if that is not possible now."""
        if self._refuses():
            return None
        layer_name = shown_layer(QgsProject.instance(), job.out)
        if layer_name:
            self._show_message(
                tr("The layer {} shows this file. Remove the layer, or choose another file.").format(layer_name)
            )
            return None
        self._run = LayerRun(job, self._pictures, self)
        self._run.ended.connect(self._finish)
        self._run.start()
        return self._run

    def unload(self) -> None:
        """Stop everything, and keep only the objects that were found."""
        self._close_dialog()
        if self._run is not None:
            self._run.close()
            self._run = None
        self._pictures.unload()

    def _refuses(self) -> bool:
        """Return True, with a message, if another run goes on."""
        if self._run is not None:
            self._show_message(
                tr("Another layer is being segmented. Wait until it is done, or cancel it in the list of tasks.")
            )
        return self._run is not None

    def _finish(self, outcome: RunOutcome) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.deleteLater()
        self._show_message(outcome.text, _LEVELS[outcome.state])
        self.ended.emit(outcome)

    def _show_message(self, text: str, level: Qgis.MessageLevel = Qgis.MessageLevel.Warning) -> None:
        self._iface.messageBar().pushMessage("geosam", text, level, 0 if level == Qgis.MessageLevel.Critical else 15)

    def _close_dialog(self) -> None:
        if self._dialog is not None:
            self._dialog.close()
            self._dialog.deleteLater()
            self._dialog = None
