"""The polygon layer for accepted objects: a new GeoPackage if the user has none."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFields,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtWidgets import QFileDialog, QWidget

from geosam_qgis.compat import field
from geosam_qgis.jobs.results import outlines
from geosam_qgis.jobs.sources import RasterSource, source_of
from geosam_qgis.texts import tr
from geosam_qgis.tool.acceptance import PROMPTS_FIELD

#: Fields of a new layer: those in the outputs of the command line, and the draft.
FIELDS = {
    "score": "number",
    "stability": "number",
    "area_m2": "number",
    "perimeter_m": "number",
    "model": "text",
    "n_tiles": "integer",
    "touches_edge": "truth",
    "truncated": "truth",
    PROMPTS_FIELD: "text",
}


class OutputLayerError(Exception):
    """A layer that could not be made; the message is for the user."""


def default_path(raster: QgsRasterLayer) -> Path:
    """Return `<raster>_objects.gpkg`, a file that does not exist, beside the raster file.

    If the raster is not a file, the folder is that of the project or of the user.
    """
    source = source_of(raster)
    file = Path(source.path) if isinstance(source, RasterSource) else Path()
    if file.is_file():
        folder, stem = file.parent, file.stem
    else:
        folder, stem = Path(QgsProject.instance().homePath() or Path.home()), raster.name() or "raster"
    path, number = folder / f"{stem}_objects.gpkg", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}_objects_{number}.gpkg"
    return path


def ask_for_layer(raster: QgsRasterLayer, parent: QWidget | None) -> QgsVectorLayer | None:
    """Let the user name a new layer, make it, and add it to the project; None if the user cancels.

    Raises:
        OutputLayerError: the layer cannot be made.
    """
    title = tr("New layer for objects")
    options = QFileDialog.Option.DontConfirmOverwrite  # an existing file is refused in any case
    path, _ = QFileDialog.getSaveFileName(
        parent, title, str(default_path(raster)), "GeoPackage (*.gpkg)", options=options
    )
    if not path:
        return None
    return new_layer(Path(path).with_suffix(".gpkg"), raster.crs())


def new_layer(path: Path, crs: QgsCoordinateReferenceSystem) -> QgsVectorLayer:
    """Make a GeoPackage with an empty layer for objects, add it to the project, and make it editable.

    Raises:
        OutputLayerError: the file exists, or cannot be written.
    """
    if path.exists():
        text = tr("{path} exists. Choose another name, or choose the layer of that file as the output layer.")
        raise OutputLayerError(text.format(path=path))
    fields = QgsFields()
    for name, kind in FIELDS.items():
        fields.append(field(name, kind))
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName, options.fileEncoding = "GPKG", path.stem, "UTF-8"
    context = QgsProject.instance().transformContext()
    writer = QgsVectorFileWriter.create(str(path), fields, QgsWkbTypes.Type.MultiPolygon, crs, context, options)
    problem = writer.errorMessage()  # read before the writer is gone
    del writer  # closes the file
    layer = QgsVectorLayer(f"{path}|layername={path.stem}", path.stem, "ogr")
    if problem or not layer.isValid() or not layer.startEditing():
        text = tr("{path} cannot be written: {problem}. Choose another folder.")
        raise OutputLayerError(text.format(path=path, problem=problem or tr("the file has no layer")))
    layer.setRenderer(outlines())  # without a fill, the picture below stays visible
    QgsProject.instance().addMapLayer(layer)
    return layer
