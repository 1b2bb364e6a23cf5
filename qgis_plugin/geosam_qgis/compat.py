"""Names and calls that differ between QGIS 3.22 and QGIS 4, each under one name."""

from __future__ import annotations

from qgis.core import QgsField, QgsRasterFileWriter
from qgis.PyQt import QtGui, QtWidgets
from qgis.PyQt.QtCore import QMetaType, QVariant

#: QtWidgets has it in Qt 5, QtGui in Qt 6.
QAction = getattr(QtGui, "QAction", None) or QtWidgets.QAction

#: Names of field types in QMetaType.Type, and in QVariant for old versions of QGIS.
_FIELD_TYPES = {
    "text": ("QString", "String"),
    "integer": ("LongLong", "LongLong"),
    "number": ("Double", "Double"),
    "truth": ("Bool", "Bool"),
    "time": ("QDateTime", "DateTime"),
}


def field(name: str, kind: str) -> QgsField:
    """Return a field for a layer; `kind` is `text`, `integer` (64 bits), `number`, `truth` or `time`."""
    current, old = _FIELD_TYPES[kind]
    try:
        return QgsField(name, getattr(QMetaType.Type, current))
    except TypeError:  # QGIS before 3.38 knows QVariant.Type only
        return QgsField(name, getattr(QVariant, old))


def set_creation_options(writer: QgsRasterFileWriter, options: list[str]) -> None:
    """Set the creation options of GDAL for a raster."""
    set_options = getattr(writer, "setCreationOptions", None) or writer.setCreateOptions  # the name before 3.44
    set_options(options)
