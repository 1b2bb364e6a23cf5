"""`geosam:segmentprompts`: one object for each feature of a layer of points, boxes or polygons."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
)

from geosam_qgis.draft import GRANULARITIES
from geosam_qgis.jobs.run_request import POLYGONS, PromptSource
from geosam_qgis.processing.inputs import as_file
from geosam_qgis.processing.segmentation import SegmentationAlgorithm
from geosam_qgis.texts import tr


class SegmentPrompts(SegmentationAlgorithm):
    """Find the objects that the features of a prompt layer select."""

    NAME = "segmentprompts"
    ICON = "prompts"
    PROMPTS, POLYGONS, GRANULARITY, SKIP_OUTSIDE = "PROMPTS", "POLYGONS", "GRANULARITY", "SKIP_OUTSIDE"

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Segment with prompt layer")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Finds one object for each feature of a layer: the object under a point, or the object inside a polygon. "
            "The layer may have any CRS, and you can use only its selected features.\n\n"
            "Fields with a meaning: object_id joins several features to one object; label is 1 for points that include "
            "and 0 for points that exclude; granularity is the level of detail: auto, part, whole or group. All other "
            "fields are copied to the polygons."
        )

    def tags(self) -> list[str]:
        """Return the search words of the toolbox."""
        return tr("segmentation,prompts,points,boxes,clicks,segment anything,sam,polygons,digitize").split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        self.add_input()
        kinds = [QgsProcessing.SourceType.TypeVectorPoint, QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(QgsProcessingParameterFeatureSource(self.PROMPTS, tr("Prompt layer"), kinds))
        encodings = [tr("box: the object in its bounding box"), tr("mask: the object with about this outline")]
        self.add(QgsProcessingParameterEnum(self.POLYGONS, tr("A polygon stands for"), encodings, False, 0))
        detail = QgsProcessingParameterEnum(
            self.GRANULARITY, tr("Level of detail of a prompt"), list(GRANULARITIES), False, 0
        )
        self.add(detail, tr("Level of detail of prompts without the field granularity. With auto, the model chooses."))
        outside = QgsProcessingParameterBoolean(self.SKIP_OUTSIDE, tr("Leave out prompts outside the raster"), False)
        self.add(outside)
        self.add_shaping()
        self.add_reading()
        self.add_output()

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Return True if a run is possible, else False and the reason in one sentence."""
        is_valid, text = super().checkParameterValues(parameters, context)
        if not is_valid:
            return is_valid, text
        prompts = self.parameterAsSource(parameters, self.PROMPTS, context)
        if prompts is not None and not prompts.sourceCrs().isValid():
            return False, tr("Prompt layer: {} has no CRS. Set it in the layer's properties.").format(
                prompts.sourceName()
            )
        return True, ""

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the algorithm."""
        source = self.parameterAsSource(parameters, self.PROMPTS, context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.PROMPTS))
        prompts = PromptSource(
            as_file(source, "prompts", feedback),
            POLYGONS[self.parameterAsEnum(parameters, self.POLYGONS, context)],
            GRANULARITIES[self.parameterAsEnum(parameters, self.GRANULARITY, context)],
            self.parameterAsBool(parameters, self.SKIP_OUTSIDE, context),
        )
        return self.segment(parameters, context, feedback, prompts)
