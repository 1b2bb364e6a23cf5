"""The dialog before a whole layer is segmented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsMapLayerProxyModel,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from geosam_qgis.jobs.layer_run import LayerJob
from geosam_qgis.jobs.run_request import LAYOUTS, MODELS
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, source_of
from geosam_qgis.jobs.web_layers import frame_of, metres_per_unit
from geosam_qgis.settings import Number, Text
from geosam_qgis.texts import tr

#: Choices of the extent.
EXTENTS = ("whole", "view", "selection")


class JobSettings:
    """Stored values of the dialog; those of the panel are its first suggestions."""

    model = Text("job/model")
    panel_model = Text("model", MODELS[0])
    layout = Text("job/layout", LAYOUTS[0])
    simplify_m = Number("simplify_m", 0.0)
    min_area_m2 = Number("min_area_m2", 0.0)


class JobDialog(QDialog):
    """A dialog for the raster, the part, the model and the output file of a run."""

    confirmed = pyqtSignal(object)
    """A LayerJob, after OK."""

    def __init__(self, iface: Any, layer: QgsRasterLayer | None, extent: str) -> None:
        super().__init__(iface.mainWindow())
        self._iface = iface
        self.setWindowTitle(tr("Segment whole layer"))
        self.raster = QgsMapLayerComboBox()
        self.raster.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        if layer is not None:
            self.raster.setLayer(layer)
        self.extent = QComboBox()
        for name, label in zip(EXTENTS, (tr("Whole layer"), tr("View"), tr("Around the selected features"))):
            self.extent.addItem(label, name)
        self.extent.setCurrentIndex(EXTENTS.index(extent))
        self.resolution = _amount(0.0, tr(" m"), 3)
        self.model = QComboBox()
        self.model.setEditable(True)  # for the path of a file of weights
        self.model.addItems(list(MODELS))
        self.model.setCurrentText(JobSettings().model or JobSettings().panel_model)
        self.layout_choice = QComboBox()
        self.layout_choice.addItem(tr("Overlapping: objects may overlap"), LAYOUTS[0])
        self.layout_choice.addItem(tr("Planar: no overlaps"), LAYOUTS[1])
        self.layout_choice.setCurrentIndex(max(0, self.layout_choice.findData(JobSettings().layout)))
        self.simplify = _amount(JobSettings().simplify_m, tr(" m"), 2)
        self.min_area = _amount(JobSettings().min_area_m2, tr(" m\u00b2"), 2)
        self.output = QgsFileWidget()
        self.output.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.output.setFilter(tr("GeoPackage (*.gpkg)"))
        self.output.setConfirmOverwrite(False)  # the dialog asks once, after OK
        self._to_replace = ""
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self._lay_out()
        self.raster.layerChanged.connect(self._suggest)
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        self._suggest()

    def job(self) -> LayerJob | str:
        """Return the choices of the user, or a sentence that says what is missing."""
        layer, out = self.raster.currentLayer(), self.output.filePath().strip()
        if not isinstance(layer, QgsRasterLayer):
            return tr("Choose a raster layer.")
        if not out:
            return tr("Choose an output file.")
        out = str(Path(out if out.lower().endswith(".gpkg") else f"{out}.gpkg").expanduser().absolute())
        source, resolution = source_of(layer), self.resolution.value() or None
        if isinstance(source, UnusableLayer) and not (source.exportable and resolution):
            return tr("{} Enter a resolution.").format(source.text) if source.exportable else source.text
        extent = self._extent(layer)
        if isinstance(extent, str):
            return extent
        if isinstance(source, UnusableLayer) and resolution:
            frame = frame_of(layer, extent or layer.extent(), resolution)
            if isinstance(frame, str):
                return frame
        running = {
            "layout": self.layout_choice.currentData(),
            "simplify_m": self.simplify.value(),
            "min_area_m2": self.min_area.value(),
            "overwrite": True,  # the dialog has asked about an existing file
        }
        return LayerJob(layer, out, self.model.currentText().strip(), extent, resolution, running)

    def _accept(self) -> None:
        job = self.job()
        if isinstance(job, str):
            self.problem.setText(job)
            return
        # a file with other layers is not replaced by an oversight
        if Path(job.out).exists() and job.out != self._to_replace:
            self._to_replace = job.out
            self.problem.setText(tr("{} exists. Press OK again to replace it.").format(job.out))
            return
        JobSettings().model, JobSettings().layout = job.model, job.running["layout"]
        self.accept()
        self.confirmed.emit(job)

    def _suggest(self) -> None:
        """Suggest an output file; for a layer that is not a file, also the view at the resolution of the screen."""
        layer = self.raster.currentLayer()
        self.problem.clear()
        if not isinstance(layer, QgsRasterLayer):
            return
        source = source_of(layer)
        if isinstance(source, RasterSource):
            self.resolution.setSpecialValueText(tr("as the raster"))
            path = Path(source.path)
            folder = path.parent if path.is_file() else Path(QgsProject.instance().homePath() or Path.home())
            self.output.setFilePath(str(folder / f"{path.stem}_segments.gpkg"))
            return
        self.problem.setText(source.text)
        self.resolution.setSpecialValueText(tr("enter one"))
        if source.exportable:
            self.problem.setText(tr("{} QGIS saves a picture of it first.").format(source.text))
            if self.extent.currentData() == "whole":
                self.extent.setCurrentIndex(EXTENTS.index("view"))
            view = self._extent(layer)
            if isinstance(view, QgsRectangle):
                units = view.width() / max(1, self._iface.mapCanvas().width())
                self.resolution.setValue(units * metres_per_unit(layer.crs(), view.center()))

    def _extent(self, layer: QgsRasterLayer) -> QgsRectangle | str | None:
        """Return the extent in the layer's CRS, None for the whole layer, or the reason why there is none."""
        choice = self.extent.currentData()
        if choice == "whole":
            return None
        if choice == "view":
            canvas = self._iface.mapCanvas()
            return _transformed(canvas.extent(), canvas.mapSettings().destinationCrs(), layer)
        active = self._iface.activeLayer()
        if not isinstance(active, QgsVectorLayer) or not active.selectedFeatureCount():
            return tr("Select features of the active layer, or choose another extent.")
        return _transformed(active.boundingBoxOfSelected(), active.crs(), layer)

    def _lay_out(self) -> None:
        form = QFormLayout()
        rows: tuple[tuple[str, QWidget], ...] = (
            (tr("Raster layer"), self.raster),
            (tr("Extent"), self.extent),
            (tr("Resolution"), self.resolution),
            (tr("Model"), self.model),
            (tr("Layout"), self.layout_choice),
            (tr("Simplify"), self.simplify),
            (tr("Minimum area"), self.min_area),
            (tr("Output file"), self.output),
        )
        for label, widget in rows:
            form.addRow(label, widget)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.problem)
        column.addWidget(self.buttons)


def _amount(value: float, unit: str, decimals: int) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(0.0, 1e6)
    box.setSuffix(unit)
    box.setSpecialValueText(tr("none"))
    box.setValue(value)
    return box


def _transformed(box: QgsRectangle, crs: QgsCoordinateReferenceSystem, layer: QgsRasterLayer) -> QgsRectangle | str:
    """Return the part of a layer inside a box, in the layer's CRS; or the reason why there is none."""
    try:
        transformed = QgsCoordinateTransform(crs, layer.crs(), QgsProject.instance()).transformBoundingBox(box)
    except QgsCsException:
        return tr("The extent has no coordinates in the CRS of {}. Zoom in.").format(layer.name())
    part = transformed.intersect(layer.extent())
    return tr("{} has no data here.").format(layer.name()) if part.isEmpty() else part
