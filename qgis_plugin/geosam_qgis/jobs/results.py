"""Files of polygons as layers of the project."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsFillSymbol, QgsProject, QgsProviderRegistry, QgsSingleSymbolRenderer, QgsVectorLayer


def shown_layer(project: QgsProject, path: str) -> str:
    """Name of a vector layer of a project that shows a file, so that it must not be replaced; empty if none does."""
    registry = QgsProviderRegistry.instance()
    for layer in project.mapLayers().values():
        if isinstance(layer, QgsVectorLayer) and layer.providerType() == "ogr":
            shown = str(registry.decodeUri("ogr", layer.source()).get("path") or "")
            if shown and Path(shown).absolute() == Path(path).absolute():
                return str(layer.name())
    return ""


def result_layer(path: str) -> QgsVectorLayer:
    """The layer that a run has written to a GeoPackage, which may hold others."""
    stem = Path(path).stem
    layer = QgsVectorLayer(f"{path}|layername={stem}", stem, "ogr")
    layer.setRenderer(outlines())
    return layer


def outlines() -> QgsSingleSymbolRenderer:
    """Outlines only, so that the picture stays visible."""
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "255,60,160,255", "outline_width": "0.4"})
    return QgsSingleSymbolRenderer(symbol)
