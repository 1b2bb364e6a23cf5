"""Raster layers as the worker opens them, or the reason why it cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qgis.core import QgsCoordinateReferenceSystem, QgsProviderRegistry, QgsRasterLayer

from geosam_qgis.texts import tr

#: GDAL's prefix for addresses on the web.
_WEB = "/vsicurl/"


@dataclass(frozen=True)
class RasterSource:
    """A raster that the worker opens."""

    path: str
    """A file, or the address of one on the web."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the worker's method `open`."""


@dataclass(frozen=True)
class UnusableLayer:
    """The reason why the worker cannot open a layer."""

    text: str
    """Sentences for the user: the reason and the remedy."""
    exportable: bool
    """True if a picture of the layer can be segmented instead; see `web_layers`."""


def source_of(layer: QgsRasterLayer) -> RasterSource | UnusableLayer:
    """Return the raster that the worker opens for a layer, or the reason why it cannot."""
    name = layer.name()
    if not layer.isValid():
        return UnusableLayer(tr("{} cannot be read. Check the layer's source.").format(name), exportable=False)
    if not layer.crs().isValid():
        return UnusableLayer(tr("{} has no CRS. Set it in the layer's properties.").format(name), exportable=False)
    if layer.providerType() != "gdal":  # only GDAL has files that the worker can open, too
        return UnusableLayer(tr("{} comes from a service, not from a file.").format(name), exportable=True)
    path = _path_of(layer.source())
    if path is None:
        text = tr("{} is part of another file, is inside an archive, or has options to open it. Save it as a GeoTIFF.")
        return UnusableLayer(text.format(name), exportable=True)
    return _in_its_crs(layer, path)


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """Return a CRS as text for the worker: its EPSG code, else WKT."""
    authid = crs.authid()
    return authid if authid.startswith("EPSG:") else crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)


def _path_of(uri: str) -> str | None:
    """Return the file or web address of a data source of GDAL; None for any other source."""
    parts = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    # the prefix of an archive; newer versions of QGIS give web addresses a prefix, too
    is_inside = (parts.get("vsiPrefix") or _WEB) != _WEB
    if is_inside or parts.get("layerName") or parts.get("openOptions"):
        return None
    path = str(parts.get("path") or "")
    web = re.match(r"(?:/vsicurl/)?(https?://.*)", path, re.IGNORECASE)
    if web:
        return web[1]
    return path if Path(path).is_file() else None


def _in_its_crs(layer: QgsRasterLayer, path: str) -> RasterSource | UnusableLayer:
    """Return the raster with the layer's CRS if its file has none; a file with another CRS is unusable."""
    layer_crs, file_crs = layer.crs(), layer.dataProvider().crs()
    if not file_crs.isValid():
        return RasterSource(path, {"crs": crs_text(layer_crs)})
    if file_crs != layer_crs:
        text = tr("The CRS of {} is {}, but its file has {}. Reset the CRS of the layer, or assign it to the file.")
        return UnusableLayer(text.format(layer.name(), _name(layer_crs), _name(file_crs)), exportable=False)
    return RasterSource(path)


def _name(crs: QgsCoordinateReferenceSystem) -> str:
    return crs.authid() or crs.description() or tr("a CRS of its own")
