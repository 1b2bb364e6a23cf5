"""What differs between QGIS 3.22 and QGIS 4, under one name each."""

from __future__ import annotations

from qgis.core import QgsField, QgsRasterFileWriter
from qgis.PyQt import QtGui, QtWidgets
from qgis.PyQt.QtCore import QMetaType, QVariant

#: At home in QtWidgets under Qt 5, in QtGui under Qt 6.
QAction = getattr(QtGui, "QAction", None) or QtWidgets.QAction

#: Names of field types here, in QMetaType.Type, and in QVariant of old QGIS.
_FIELD_TYPES = {
    "text": ("QString", "String"),
    "integer": ("LongLong", "LongLong"),
    "number": ("Double", "Double"),
    "truth": ("Bool", "Bool"),
    "time": ("QDateTime", "DateTime"),
}


def field(name: str, kind: str) -> QgsField:
    """A field of a layer; its kind is `text`, `integer` (64 bits), `number`, `truth` or `time`."""
    modern, old = _FIELD_TYPES[kind]
    try:
        return QgsField(name, getattr(QMetaType.Type, modern))
    except TypeError:  # QGIS before 3.38 knows QVariant.Type only
        return QgsField(name, getattr(QVariant, old))


def set_creation_options(writer: QgsRasterFileWriter, options: list[str]) -> None:
    """Tell GDAL how to write a raster."""
    tell = getattr(writer, "setCreationOptions", None) or writer.setCreateOptions  # the name before 3.44
    tell(options)
