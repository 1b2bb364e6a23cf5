"""The provider: the algorithms under one name."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from geosam_qgis.processing.algorithm import icon_path
from geosam_qgis.processing.evaluate import Evaluate
from geosam_qgis.processing.segment_prompts import SegmentPrompts
from geosam_qgis.processing.segment_raster import SegmentRaster


class GeosamProvider(QgsProcessingProvider):
    """What `plugin.py` registers, with an interface or without one."""

    def id(self) -> str:
        """The part of `geosam:segment` before the colon."""
        return "geosam"

    def name(self) -> str:
        """As in the toolbox."""
        return "geosam"

    def longName(self) -> str:
        """As in lists of providers."""
        return "geosam"

    def icon(self) -> QIcon:
        """Beside the name."""
        return QIcon(icon_path("geosam"))

    def svgIconPath(self) -> str:
        """Likewise, where it is drawn larger."""
        return icon_path("geosam")

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for algorithm in (SegmentRaster(), SegmentPrompts(), Evaluate()):
            self.addAlgorithm(algorithm)
