"""Stands in for `qgis.gui`."""

from qgis.anything import names

__getattr__ = names(__name__)
