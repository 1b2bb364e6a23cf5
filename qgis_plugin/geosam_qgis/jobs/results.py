"""Files with polygons as layers of the project."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsFillSymbol, QgsProject, QgsProviderRegistry, QgsSingleSymbolRenderer, QgsVectorLayer


def shown_layer(project: QgsProject, path: str) -> str:
    """Return the name of the vector layer that shows a file; empty if there is none.

    A file that a layer shows must not be replaced.
    """
    registry = QgsProviderRegistry.instance()
    for layer in project.mapLayers().values():
        if isinstance(layer, QgsVectorLayer) and layer.providerType() == "ogr":
            source = str(registry.decodeUri("ogr", layer.source()).get("path") or "")
            if source and Path(source).absolute() == Path(path).absolute():
                return str(layer.name())
    return ""


def result_layer(path: str) -> QgsVectorLayer:
    """Return the layer that a run has written into a GeoPackage, which may hold other layers."""
    stem = Path(path).stem
    layer = QgsVectorLayer(f"{path}|layername={stem}", stem, "ogr")
    layer.setRenderer(outlines())
    return layer


def outlines() -> QgsSingleSymbolRenderer:
    """Return a style of outlines without a fill, so that the picture stays visible."""
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "255,60,160,255", "outline_width": "0.4"})
    return QgsSingleSymbolRenderer(symbol)
