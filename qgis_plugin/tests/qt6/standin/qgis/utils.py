"""Stands in for `qgis.utils`."""

from qgis.anything import names

__getattr__ = names(__name__)
