"""geosam in QGIS: click on an object in imagery and get its polygon."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin, for QGIS with a window or, with None, for `qgis_process`."""
    from geosam_qgis.plugin import GeosamPlugin  # noqa: PLC0415 - nothing is imported before it is wanted

    return GeosamPlugin(iface)
