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
        """In the toolbox."""
        return tr("Segment raster")

    def shortHelpString(self) -> str:
        """Beside the parameters."""
        return tr(
            "Finds all objects of a raster, as large as it may be, and gives each as one polygon, with its area, "
            "perimeter and score.\n\n"
            "The polygons are in the raster's CRS (longitude and latitude in GeoJSON). A run that was cancelled goes "
            "on where it stopped when the same output file and parameters are given again."
        )

    def tags(self) -> list[str]:
        """What it is found by."""
        text = tr("segmentation,objects,polygons,vectorize,polygonize,segment anything,sam,roofs,fields,crowns,imagery")
        return text.split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        self.add_input()
        self.add_shaping()
        self.add_reading()
        for name, label in (
            (self.MIN_IOU, tr("Least predicted IoU of a mask")),
            (self.MIN_STABILITY, tr("Least stability of a mask")),
        ):
            kind = QgsProcessingParameterNumber.Type.Double
            number = QgsProcessingParameterNumber(name, label, kind, None, True, 0, 1)
            self.add(number, tr("The model's own if empty."), advanced=True)
        self.add_output()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run."""
        asked = {"min_predicted_iou": self.MIN_IOU, "min_stability": self.MIN_STABILITY}
        values = {field: self.number(parameters, name, context) for field, name in asked.items()}
        keep = {field: value for field, value in values.items() if value is not None}
        return self.segmented(parameters, context, feedback, keep=keep)
