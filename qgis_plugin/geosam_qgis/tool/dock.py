"""The panel: raster, model, output layer and options, and the list of the last objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgis.core import QgsMapLayerProxyModel, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QStandardItemModel
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDockWidget,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from geosam_qgis.draft import GRANULARITIES
from geosam_qgis.jobs.run_request import MODELS
from geosam_qgis.settings import Number, Text
from geosam_qgis.texts import granularity_text, tr

if TYPE_CHECKING:
    from geosam_qgis.tool.recent_objects import RecentObject


class DockSettings:
    """Stored values of the panel."""

    model = Text("model", MODELS[0])
    simplify_m = Number("simplify_m", 0.0)
    min_area_m2 = Number("min_area_m2", 0.0)


class Dock(QDockWidget):
    """The widgets of the panel and their values; all decisions are made elsewhere."""

    raster_changed = pyqtSignal(object)
    """The new raster layer, or None."""
    options_changed = pyqtSignal()
    """Another model or another tolerance was chosen."""
    granularity_changed = pyqtSignal(str)
    new_layer_requested = pyqtSignal()
    export_requested = pyqtSignal()
    diagnosis_requested = pyqtSignal()
    zoom_requested = pyqtSignal(object)
    """Zoom to this RecentObject."""
    continue_requested = pyqtSignal(object)
    """Continue this RecentObject."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(tr("geosam"), parent)
        self.setObjectName("geosam_dock")
        self.raster = QgsMapLayerComboBox()
        self.raster.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        self.model = QComboBox()
        self.output = QgsMapLayerComboBox()
        self.output.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.output.setAllowEmptyLayer(True, tr("New layer for the first accepted object"))
        self.output.setLayer(None)
        self.new_layer = QToolButton()
        self.new_layer.setText(tr("New…"))
        self.granularity = QComboBox()
        for granularity in GRANULARITIES:
            self.granularity.addItem(granularity_text(granularity), granularity)
        self.simplify_m = _amount(tr(" m"), DockSettings().simplify_m, 0.1)
        self.min_area_m2 = _amount(tr(" m²"), DockSettings().min_area_m2, 1.0)
        self.recent = QListWidget()
        self.state = QLabel()
        self.notice = QLabel()
        for label in (self.state, self.notice):
            label.setWordWrap(True)
        self.notice.hide()
        self.tool_button = QToolButton()
        self.tool_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.export = QPushButton(tr("Export the view to a file"))
        self.export.hide()
        self.diagnose = QPushButton(tr("Diagnose…"))
        self.actions_row = QHBoxLayout()
        self._lay_out()
        self._connect()
        self.show_models([{"name": DockSettings().model, "description": "", "ready": True}])

    @property
    def raster_layer(self) -> QgsRasterLayer | None:
        """The raster layer to segment; None if there is none."""
        layer = self.raster.currentLayer()
        return layer if isinstance(layer, QgsRasterLayer) else None

    @property
    def output_layer(self) -> QgsVectorLayer | None:
        """The layer for accepted objects; None for a new one."""
        layer = self.output.currentLayer()
        return layer if isinstance(layer, QgsVectorLayer) else None

    @property
    def model_name(self) -> str:
        """Name of the chosen model."""
        return self.model.currentData() or ""

    def show_models(self, models: list[dict[str, Any]]) -> None:
        """Show the models of the worker; models without weights are disabled, with the reason as a tool tip."""
        preferred = self.model_name or DockSettings().model
        self.model.blockSignals(True)  # the settings keep the user's choice while the list is empty
        self.model.clear()
        items = self.model.model()
        for number, model in enumerate(models):
            self.model.addItem(model["name"], model["name"])
            hint = model["description"]
            if not model["ready"]:
                hint = tr("{about}. It has no weights on this computer: run “geosam models download {name}”.")
                hint = hint.format(about=model["description"], name=model["name"])
            self.model.setItemData(number, hint, Qt.ItemDataRole.ToolTipRole)
            if isinstance(items, QStandardItemModel):
                items.item(number).setEnabled(model["ready"])
        ready = [model["name"] for model in models if model["ready"]]
        chosen = preferred if preferred in ready else next(iter(ready), "")
        self.model.setCurrentIndex(self.model.findData(chosen))
        self.model.blockSignals(False)
        self.options_changed.emit()

    def show_granularity(self, granularity: str) -> None:
        """Show the level of detail that was chosen with a key."""
        self.granularity.blockSignals(True)  # the draft has this level already
        self.granularity.setCurrentIndex(self.granularity.findData(granularity))
        self.granularity.blockSignals(False)

    def show_notice(self, text: str, *, can_export: bool) -> None:
        """Show the reason why the raster cannot be segmented; empty to hide it."""
        self.notice.setText(text)
        self.notice.setVisible(bool(text))
        self.export.setVisible(can_export)

    def show_recent(self, objects: list[RecentObject]) -> None:
        """Show the objects that were accepted last."""
        self.recent.clear()
        for recent in objects:
            layer, facts = recent.reference.layer, recent.answer.facts
            text = tr("{area:,.1f} m² in {layer}").format(
                area=float(facts.get("area_m2") or 0.0), layer=layer.name() if layer else tr("a removed layer")
            )
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, recent)
            item.setToolTip(tr("{model}, score {score}").format(model=facts.get("model"), score=facts.get("score")))
            self.recent.addItem(item)

    def _lay_out(self) -> None:
        output = QHBoxLayout()
        output.addWidget(self.output, 1)
        output.addWidget(self.new_layer)
        form = QFormLayout()
        form.addRow(tr("Raster"), self.raster)
        form.addRow(self.notice)
        form.addRow(self.export)
        form.addRow(tr("Model"), self.model)
        form.addRow(tr("Output layer"), output)
        form.addRow(tr("Level of detail"), self.granularity)
        form.addRow(tr("Simplify"), self.simplify_m)
        form.addRow(tr("Minimum area"), self.min_area_m2)
        bottom = QHBoxLayout()
        bottom.addWidget(self.state, 1)
        bottom.addWidget(self.diagnose)
        inside = QWidget()
        whole = QVBoxLayout(inside)
        self.actions_row.insertWidget(0, self.tool_button)
        whole.addLayout(self.actions_row)
        whole.addLayout(form)
        whole.addWidget(QLabel(tr("Recent objects (click: show, double click: continue)")))
        whole.addWidget(self.recent, 1)
        whole.addLayout(bottom)
        self.setWidget(inside)

    def _connect(self) -> None:
        self.raster.layerChanged.connect(lambda _layer: self.raster_changed.emit(self.raster_layer))
        self.model.currentIndexChanged.connect(lambda _index: self._remember())
        self.simplify_m.valueChanged.connect(lambda _value: self._remember())
        self.min_area_m2.valueChanged.connect(lambda _value: self._remember())
        self.granularity.currentIndexChanged.connect(
            lambda _index: self.granularity_changed.emit(self.granularity.currentData())
        )
        self.new_layer.clicked.connect(lambda _checked: self.new_layer_requested.emit())
        self.export.clicked.connect(lambda _checked: self.export_requested.emit())
        self.diagnose.clicked.connect(lambda _checked: self.diagnosis_requested.emit())
        self.recent.itemClicked.connect(lambda item: self.zoom_requested.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.recent.itemDoubleClicked.connect(
            lambda item: self.continue_requested.emit(item.data(Qt.ItemDataRole.UserRole))
        )

    def _remember(self) -> None:
        settings = DockSettings()
        settings.model = self.model_name
        settings.simplify_m = self.simplify_m.value()
        settings.min_area_m2 = self.min_area_m2.value()
        self.options_changed.emit()


def _amount(unit: str, value: float, step: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1e9)
    box.setDecimals(2)
    box.setSingleStep(step)
    box.setSuffix(unit)
    box.setSpecialValueText(tr("none"))
    box.setValue(value)
    box.setKeyboardTracking(False)  # one request for a number, not one for each digit
    return box
