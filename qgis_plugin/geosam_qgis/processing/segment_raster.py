"""`geosam:segment`: all objects of a raster."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterNumber,
)

from geosam_qgis.processing.segmentation import SegmentationAlgorithm
from geosam_qgis.texts import tr


class SegmentRaster(SegmentationAlgorithm):
    """Find all objects of a raster and write them as polygons."""

    NAME = "segment"
    ICON = "whole_layer"
    MIN_IOU, MIN_STABILITY = "MIN_IOU", "MIN_STABILITY"

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Segment raster")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Finds all objects of a raster of any size. Each object is one polygon with area, perimeter and score.\n\n"
            "The polygons have the CRS of the raster (longitude and latitude in GeoJSON). A cancelled run continues "
            "when you start it again with the same output file and the same parameters."
        )

    def tags(self) -> list[str]:
        """Return the search words of the toolbox."""
        text = tr("segmentation,objects,polygons,vectorize,polygonize,segment anything,sam,roofs,fields,crowns,imagery")
        return text.split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        self.add_input()
        self.add_shaping()
        self.add_reading()
        for name, label in (
            (self.MIN_IOU, tr("Minimum predicted IoU of a mask")),
            (self.MIN_STABILITY, tr("Minimum stability of a mask")),
        ):
            kind = QgsProcessingParameterNumber.Type.Double
            number = QgsProcessingParameterNumber(name, label, kind, None, True, 0, 1)
            self.add(number, tr("Empty: the default of the model."), advanced=True)
        self.add_output()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the algorithm."""
        names = {"min_predicted_iou": self.MIN_IOU, "min_stability": self.MIN_STABILITY}
        values = {field: self.number(parameters, name, context) for field, name in names.items()}
        keep = {field: value for field, value in values.items() if value is not None}
        return self.segment(parameters, context, feedback, keep=keep)
