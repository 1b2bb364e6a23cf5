"""The real PyQt6, under the names by which QGIS gives it."""
