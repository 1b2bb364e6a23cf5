"""The provider of all algorithms."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from geosam_qgis.processing.algorithm import icon_path
from geosam_qgis.processing.evaluate import Evaluate
from geosam_qgis.processing.segment_prompts import SegmentPrompts
from geosam_qgis.processing.segment_raster import SegmentRaster


class GeosamProvider(QgsProcessingProvider):
    """The provider that `plugin.py` registers, with or without a main window."""

    def id(self) -> str:
        """Return the part of `geosam:segment` before the colon."""
        return "geosam"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "geosam"

    def longName(self) -> str:
        """Return the name in lists of providers."""
        return "geosam"

    def icon(self) -> QIcon:
        """Return the icon beside the name."""
        return QIcon(icon_path("geosam"))

    def svgIconPath(self) -> str:
        """Return the path of the icon for larger drawings."""
        return icon_path("geosam")

    def loadAlgorithms(self) -> None:
        """Add the algorithms; QGIS calls this."""
        for algorithm in (SegmentRaster(), SegmentPrompts(), Evaluate()):
            self.addAlgorithm(algorithm)
