"""Outputs of the algorithms: the worker writes files itself; all other outputs are copied from a temporary file."""

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

#: Name of the output parameter.
OUTPUT = "OUTPUT"
#: Extensions of the formats that geosam writes.
WRITTEN = (".gpkg", ".geojson", ".json", ".shp", ".parquet", ".geoparquet", ".fgb")


def output_file(parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """Return the path of the output, if the worker can write it; empty for any other output."""
    value = parameters.get(OUTPUT)
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        if value.useRemapping():
            return ""
        value = value.sink.valueAsString(context.expressionContext())[0]
    text = str(value or "")
    is_file = text.lower().endswith(WRITTEN) and ":" not in text[2:] and "=" not in text  # `C:` names a drive
    return text if is_file else ""


def direct_path(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """Return the path as :func:`output_file` does, and let QGIS load the file if the user has chosen that."""
    if not output_file(parameters, context):
        return ""
    # this call also registers the file for loading
    return str(algorithm.parameterAsOutputLayer(parameters, OUTPUT, context))


def temporary_path(name: str) -> str:
    """Return the path for a file in a new folder, which is removed with the session."""
    return QgsProcessingUtils.generateTempFilename(name)


def to_sink(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
    path: str,
) -> str:
    """Copy the features of the worker's GeoPackage to the output, and return its address.

    Raises:
        QgsProcessingException: the output cannot be made or written.
    """
    layer = QgsVectorLayer(path, Path(path).stem, "ogr")
    # without `fid`: the sink numbers features itself
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
