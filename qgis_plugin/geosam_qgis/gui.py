"""Actions, menu, toolbar and panel in the main window of QGIS, and the worker behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from qgis.core import Qgis, QgsRasterLayer
from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.PyQt.QtWidgets import QPushButton

from geosam_qgis.compat import QAction
from geosam_qgis.engine.client import WorkerClient
from geosam_qgis.engine.diagnosis_dialog import DiagnosisDialog
from geosam_qgis.jobs.whole_layer import WholeLayer
from geosam_qgis.texts import tr
from geosam_qgis.tool.workbench import Workbench

_ICONS = Path(__file__).parents[1] / "icons"
_HELP = Path(__file__).parents[1] / "help" / "index.html"
#: Name of the submenu in the menu Raster.
_MENU = "geosam"
#: Time that a message stays in the message bar, in seconds.
SHOWN_S = 8


class PluginGui:
    """The parts of the plugin in the main window: made by `initGui`, removed by :meth:`unload`."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._actions: list[QAction] = []
        self._diagnosis: DiagnosisDialog | None = None
        main = iface.mainWindow()
        self.client = WorkerClient(None, main)
        self.workbench = Workbench(self.client, iface.mapCanvas(), main)
        self.whole_layer = WholeLayer(iface, main)
        self.workbench.message.connect(self._show_message)
        self.workbench.tool.hint_changed.connect(self._show_hint)
        self.toolbar = iface.addToolBar("geosam")
        self.toolbar.setObjectName("geosam_toolbar")  # QGIS stores its place under this name
        self._add_actions()
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.workbench.dock)

    def unload(self) -> None:
        """Remove everything from the main window, and stop the worker."""
        self.workbench.message.disconnect(self._show_message)
        for action in self._actions:
            self._iface.removePluginRasterMenu(_MENU, action)
        self._drop_diagnosis()
        self._iface.removeDockWidget(self.workbench.dock)
        self._iface.mainWindow().removeToolBar(self.toolbar)
        self.whole_layer.unload()
        self.whole_layer.deleteLater()
        self.workbench.unload()
        self.toolbar.deleteLater()
        for action in self._actions:
            action.deleteLater()
        self._actions.clear()
        self.client.stop()
        if self.client.is_ending:
            self.client.stopped.connect(self.client.deleteLater)  # the process needs its client until it has ended
        else:
            self.client.deleteLater()

    def show_diagnosis(self) -> None:
        """Show the state of the worker, with buttons to install or to choose another one."""
        self._drop_diagnosis()  # a new one shows the present state
        self._diagnosis = DiagnosisDialog(self.client, self._iface.mainWindow())
        self._diagnosis.show()

    def _drop_diagnosis(self) -> None:
        if self._diagnosis is not None:
            self._diagnosis.hide()
            self._diagnosis.deleteLater()
            self._diagnosis = None

    def _add_actions(self) -> None:
        bench = self.workbench
        self.segment = self._action(tr("Segment objects"), "geosam", self._toggle, checkable=True)
        bench.tool.setAction(self.segment)
        bench.dock.tool_button.setDefaultAction(self.segment)
        self.panel = bench.dock.toggleViewAction()
        self.panel.setText(tr("Panel"))
        self._iface.addPluginToRasterMenu(_MENU, self.panel)
        self._actions.append(self.panel)
        resume = self._action(tr("Continue with the selected polygon"), "prompts", bench.continue_selected)
        self._action(tr("Save prompts…"), "prompts", bench.save_prompts)
        whole = self._action(tr("Segment whole layer…"), "whole_layer", lambda: self._segment_layer("whole"))
        self._action(tr("Segment view…"), "whole_layer", lambda: self._segment_layer("view"))
        self._action(tr("Diagnose…"), "diagnose", self.show_diagnosis)
        self._action(tr("Help"), "geosam", show_help)
        bench.dock.diagnosis_requested.connect(self.show_diagnosis)
        self.toolbar.addActions([self.segment, resume, whole])

    def _action(self, text: str, icon: str, do: Callable[[], object], *, checkable: bool = False) -> QAction:
        action = QAction(QIcon(str(_ICONS / f"{icon}.svg")), text, self._iface.mainWindow())
        action.setCheckable(checkable)
        action.triggered.connect(lambda _checked: do())
        self._iface.addPluginToRasterMenu(_MENU, action)
        self._actions.append(action)
        return action

    def _segment_layer(self, extent: str) -> None:
        self.whole_layer.show_dialog(self.workbench.dock.raster_layer, extent)

    def _toggle(self) -> None:
        canvas, bench = self._iface.mapCanvas(), self.workbench
        if canvas.mapTool() is bench.tool:
            canvas.unsetMapTool(bench.tool)
            return
        layer = self._iface.activeLayer()
        if isinstance(layer, QgsRasterLayer):
            bench.dock.raster.setLayer(layer)
        bench.dock.setVisible(True)
        canvas.setMapTool(bench.tool)

    def _show_message(self, text: str, is_failure: bool) -> None:  # noqa: FBT001 - a slot
        bar = self._iface.messageBar()
        message = bar.createMessage("geosam", text)
        if is_failure and not self.client.is_running:
            button = QPushButton(tr("Diagnose…"), message)
            button.clicked.connect(self.show_diagnosis)
            message.layout().addWidget(button)
        bar.pushWidget(message, Qgis.MessageLevel.Warning if is_failure else Qgis.MessageLevel.Info, SHOWN_S)

    def _show_hint(self, text: str) -> None:
        bar = self._iface.statusBarIface()
        if text:
            bar.showMessage(text)
        else:
            bar.clearMessage()


def show_help() -> None:
    """Open the help page of the plugin."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(_HELP)))
