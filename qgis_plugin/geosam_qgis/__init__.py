"""geosam in QGIS: click on an object in imagery and get its polygon.

The order of the modules, from the ground up:

- `protocol`, `draft`: byte copies of the library's modules
- `compat`, `texts`, `settings`: versions of QGIS, translations, stored values
- `engine/`: find, install, start and diagnose the worker, and talk to it
- `jobs/`: raster layers as sources, and whole layers in the background
- `processing/`: the algorithms of the toolbox, which need no window
- `tool/`: click to segment: map tool, panel, drafts, output layer
- `gui`, `plugin`: the parts in the main window, and the object that QGIS loads
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin, for QGIS with a window or, with None, for `qgis_process`."""
    from geosam_qgis.plugin import GeosamPlugin  # noqa: PLC0415 - this file alone must import fast

    return GeosamPlugin(iface)
