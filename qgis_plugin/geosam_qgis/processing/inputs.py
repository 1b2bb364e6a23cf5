"""Vector layers as temporary files that the worker reads."""

from __future__ import annotations

from qgis.core import (
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFields,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QMetaType

from geosam_qgis.processing.outputs import temporary_path
from geosam_qgis.texts import tr

#: Types of the attributes that are copied; a GeoPackage cannot hold all the others.
_TYPES = (
    QMetaType.Type.Bool,
    QMetaType.Type.Int,
    QMetaType.Type.UInt,
    QMetaType.Type.LongLong,
    QMetaType.Type.ULongLong,
    QMetaType.Type.Double,
    QMetaType.Type.QString,
    QMetaType.Type.QDate,
    QMetaType.Type.QDateTime,
)
#: First number for features that are not saved yet, above all numbers in files.
_UNSAVED = 10**12


def as_file(source: QgsProcessingFeatureSource, name: str, feedback: QgsProcessingFeedback) -> str:
    """Write the features of any layer, with the user's filter and selection, to a temporary GeoPackage.

    Unsaved edits are included. Features keep their numbers, which name objects without an `object_id`. Curves become
    straight lines, and heights are dropped.

    Args:
        source: The layer.
        name: Name of the file and of its layer.
        feedback: Tells when the user cancels.

    Returns:
        Path of the file.

    Raises:
        QgsProcessingException: the file cannot be written, or the user cancelled.
    """
    path = temporary_path(f"{name}.gpkg")
    columns = [index for index in range(len(source.fields())) if _is_kept(source.fields(), index)]
    fields = QgsVectorLayer("NoGeometry?field=fid:int8", "numbers", "memory").fields()
    for index in columns:
        fields.append(source.fields()[index])
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", name
    kind = QgsWkbTypes.flatType(QgsWkbTypes.linearType(source.wkbType()))
    writer = QgsVectorFileWriter.create(
        path, fields, kind, source.sourceCrs(), QgsCoordinateTransformContext(), options
    )
    _check(writer)
    unchecked = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks  # the worker repairs polygons
    for feature in source.getFeatures(QgsFeatureRequest(), unchecked):
        if feedback.isCanceled():
            raise QgsProcessingException(tr("Cancelled."))
        copy = QgsFeature(fields)
        copy.setGeometry(_plain(feature.geometry()))
        copy.setAttributes([_number(feature), *(feature.attributes()[index] for index in columns)])
        writer.addFeature(copy)
        _check(writer)
    if not writer.flushBuffer():
        _check(writer)
    del writer  # closes the file
    return path


def _number(feature: QgsFeature) -> int:
    """Return the number of a feature; new features have negative ones until they are saved, which go to the end."""
    return feature.id() if feature.id() >= 0 else _UNSAVED - feature.id()


def _is_kept(fields: QgsFields, index: int) -> bool:
    return fields[index].name().lower() not in ("fid", "geom") and fields[index].type() in _TYPES


def _plain(geometry: QgsGeometry) -> QgsGeometry:
    """Return a geometry without curves, heights and measures."""
    plain = QgsGeometry(geometry)
    if not plain.isNull():
        plain.convertToStraightSegment()
        plain.get().dropZValue()
        plain.get().dropMValue()
    return plain


def _check(writer: QgsVectorFileWriter) -> None:
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("A layer cannot be copied for the worker: {}").format(writer.errorMessage()))
