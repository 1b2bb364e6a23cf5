"""Vector layers as files that the worker reads."""

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

#: Attributes of other types are left behind: GeoPackages cannot hold them, or not all of them.
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
#: Above any number that a file gives to a feature in practice.
_UNSAVED = 10**12


def as_file(source: QgsProcessingFeatureSource, name: str, feedback: QgsProcessingFeedback) -> str:
    """Write the features of any layer, filtered and selected as the user said, to a temporary GeoPackage.

    Edits that are not saved yet are among them, and features keep their numbers, by which objects without an
    `object_id` are named. Curves become lines, and heights are left behind.

    Raises:
        QgsProcessingException: the file cannot be written.
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
    unchecked = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks  # geosam repairs what can be repaired
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
    """The number of a feature; those of new ones, which are negative until they are saved, go above all others."""
    return feature.id() if feature.id() >= 0 else _UNSAVED - feature.id()


def _is_kept(fields: QgsFields, index: int) -> bool:
    return fields[index].name().lower() not in ("fid", "geom") and fields[index].type() in _TYPES


def _plain(geometry: QgsGeometry) -> QgsGeometry:
    """Without curves, heights and measures."""
    plain = QgsGeometry(geometry)
    if not plain.isNull():
        plain.convertToStraightSegment()
        plain.get().dropZValue()
        plain.get().dropMValue()
    return plain


def _check(writer: QgsVectorFileWriter) -> None:
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("A layer cannot be handed on: {}").format(writer.errorMessage()))
