"""Where the worker's polygons go: it writes files itself, everything else is filled from a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFeature,
    QgsFeatureSink,
    QgsFields,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsVectorLayer,
)

from geosam_qgis.texts import tr

#: Name of the parameter.
OUTPUT = "OUTPUT"
#: Extensions of the formats that geosam writes.
WRITTEN = (".gpkg", ".geojson", ".json", ".shp", ".parquet", ".geoparquet", ".fgb")


def wanted_file(parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """The file that the output is to be, where the worker can write it; empty if it is something else."""
    value = parameters.get(OUTPUT)
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        if value.useRemapping():
            return ""
        value = value.sink.valueAsString(context.expressionContext())[0]
    text = str(value or "")
    is_file = text.lower().endswith(WRITTEN) and ":" not in text[2:] and "=" not in text  # `C:` names a drive
    return text if is_file else ""


def direct_path(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """As :func:`wanted_file`, and it will be loaded into the project if that was asked for."""
    if not wanted_file(parameters, context):
        return ""
    return str(algorithm.parameterAsOutputLayer(parameters, OUTPUT, context))


def temporary_path(name: str) -> str:
    """A file in a new folder that goes with the session."""
    return QgsProcessingUtils.generateTempFilename(name)


def to_sink(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
    path: str,
) -> str:
    """Copy the features of a GeoPackage of the worker to the output; returns where they are.

    Raises:
        QgsProcessingException: the output cannot be made or written.
    """
    layer = QgsVectorLayer(path, Path(path).stem, "ogr")
    columns = [index for index in range(len(layer.fields())) if layer.fields()[index].name() != "fid"]
    fields = QgsFields()
    for index in columns:
        fields.append(layer.fields()[index])
    sink, destination = algorithm.parameterAsSink(parameters, OUTPUT, context, fields, layer.wkbType(), layer.crs())
    if sink is None:
        raise QgsProcessingException(algorithm.invalidSinkError(parameters, OUTPUT))
    for feature in layer.getFeatures():
        if feedback.isCanceled():
            raise QgsProcessingException(tr("Cancelled."))
        copy = QgsFeature(fields)
        copy.setGeometry(feature.geometry())
        copy.setAttributes([feature.attributes()[index] for index in columns])
        if not sink.addFeature(copy, QgsFeatureSink.Flag.FastInsert):
            raise QgsProcessingException(tr("The output cannot be written: {}").format(sink.lastError()))
    return destination
