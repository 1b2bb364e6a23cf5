"""The object that QGIS loads: always the Processing provider, and with a window the parts in the main window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

if TYPE_CHECKING:
    from geosam_qgis.gui import PluginGui
    from geosam_qgis.processing.provider import GeosamProvider

HERE = Path(__file__).parent


class GeosamPlugin:
    """The plugin; `iface` is None in `qgis_process`, which calls only `initProcessing`."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: GeosamProvider | None = None
        self._gui: PluginGui | None = None
        self._translator = QTranslator()
        if self._translator.load(f"geosam_{QgsApplication.instance().locale()}", str(HERE / "i18n")):
            QCoreApplication.installTranslator(self._translator)

    @property
    def gui(self) -> PluginGui | None:
        """The parts in the main window; None without a window, and after `unload`."""
        return self._gui

    def initProcessing(self) -> None:
        """Register the algorithms."""
        from geosam_qgis.processing.provider import GeosamProvider  # noqa: PLC0415 - not before it is needed

        self._provider = GeosamProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Register the algorithms, and add actions, panel and map tool to the main window."""
        from geosam_qgis.gui import PluginGui  # noqa: PLC0415 - there is no window in qgis_process

        self.initProcessing()
        self._gui = PluginGui(self._iface)

    def unload(self) -> None:
        """Remove everything: QGIS may load the plugin again at once."""
        if self._gui is not None:
            self._gui.unload()
            self._gui = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
        QCoreApplication.removeTranslator(self._translator)
