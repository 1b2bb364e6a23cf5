"""Which raster layers the worker can open as they are, and as what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qgis.core import QgsCoordinateReferenceSystem, QgsProviderRegistry, QgsRasterLayer

from geosam_qgis.texts import tr

#: How GDAL marks an address on the web.
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
    """Why the worker cannot open a layer."""

    text: str
    """For people: what was found, and what to do."""
    exportable: bool
    """Whether a picture of the layer would serve; see `web_layers`."""


def source_of(layer: QgsRasterLayer) -> RasterSource | UnusableLayer:
    """What the worker would open for a layer, or why it cannot."""
    name = layer.name()
    if not layer.isValid():
        return UnusableLayer(tr("{} cannot be read. Check the layer's source.").format(name), exportable=False)
    if not layer.crs().isValid():
        return UnusableLayer(tr("{} has no CRS. Set it in the layer's properties.").format(name), exportable=False)
    if layer.providerType() != "gdal":
        return UnusableLayer(tr("{} is not a file, but comes from a service.").format(name), exportable=True)
    path = _path_of(layer.source())
    if path is None:
        text = tr("{} is part of another file or inside an archive, or opened with options. Save it as a GeoTIFF.")
        return UnusableLayer(text.format(name), exportable=True)
    return _in_its_crs(layer, path)


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """A CRS as the worker takes it: the code of the EPSG, else WKT."""
    authid = crs.authid()
    return authid if authid.startswith("EPSG:") else crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)


def _path_of(uri: str) -> str | None:
    """The file or address behind a data source of GDAL; None where it is something else."""
    parts = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    is_inside = (parts.get("vsiPrefix") or _WEB) != _WEB  # of an archive; newer QGIS gives web addresses a prefix too
    if is_inside or parts.get("layerName") or parts.get("openOptions"):
        return None
    path = str(parts.get("path") or "")
    web = re.match(r"(?:/vsicurl/)?(https?://.*)", path, re.IGNORECASE)
    if web:
        return web[1]
    return path if Path(path).is_file() else None


def _in_its_crs(layer: QgsRasterLayer, path: str) -> RasterSource | UnusableLayer:
    """The layer's CRS is handed on where the file has none, and must be the file's where it has one."""
    shown, own = layer.crs(), layer.dataProvider().crs()
    if not own.isValid():
        return RasterSource(path, {"crs": crs_text(shown)})
    if own != shown:
        text = tr("{} is shown in {}, but its file says {}. Set the layer's CRS back, or assign it to the file.")
        return UnusableLayer(text.format(layer.name(), _name(shown), _name(own)), exportable=False)
    return RasterSource(path)


def _name(crs: QgsCoordinateReferenceSystem) -> str:
    return crs.authid() or crs.description() or tr("a CRS of its own")
