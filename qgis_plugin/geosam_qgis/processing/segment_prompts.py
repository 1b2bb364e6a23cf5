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
    """Find the objects that the features of a layer point to."""

    NAME = "segmentprompts"
    ICON = "prompts"
    PROMPTS, POLYGONS, GRANULARITY, SKIP_OUTSIDE = "PROMPTS", "POLYGONS", "GRANULARITY", "SKIP_OUTSIDE"

    def displayName(self) -> str:
        """In the toolbox."""
        return tr("Segment with prompt layer")

    def shortHelpString(self) -> str:
        """Beside the parameters."""
        return tr(
            "Finds one object for each feature of a layer: the one a point lies in, or the one a polygon surrounds or "
            "sketches. The layer may have any CRS; only selected features can be used.\n\n"
            "A field object_id gathers several features into one object; a field label tells points that include (1) "
            "from points that exclude (0); a field granularity says what is meant by a click: auto, part, whole or "
            "group. Other fields are handed on to the polygons."
        )

    def tags(self) -> list[str]:
        """What it is found by."""
        return tr("segmentation,prompts,points,boxes,clicks,segment anything,sam,polygons,digitize").split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        self.add_input()
        kinds = [QgsProcessing.SourceType.TypeVectorPoint, QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(QgsProcessingParameterFeatureSource(self.PROMPTS, tr("Prompt layer"), kinds))
        stands_for = [tr("box: the object inside its bounds"), tr("mask: the object it sketches")]
        self.add(QgsProcessingParameterEnum(self.POLYGONS, tr("A polygon stands for"), stands_for, False, 0))
        detail = QgsProcessingParameterEnum(self.GRANULARITY, tr("A prompt means"), list(GRANULARITIES), False, 0)
        self.add(detail, tr("Where the layer does not say it itself; auto is what the model finds best."))
        outside = QgsProcessingParameterBoolean(self.SKIP_OUTSIDE, tr("Leave out prompts outside the raster"), False)
        self.add(outside)
        self.add_shaping()
        self.add_reading()
        self.add_output()

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Whether a run makes sense; if not, one sentence."""
        fine, text = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, text
        prompts = self.parameterAsSource(parameters, self.PROMPTS, context)
        if prompts is not None and not prompts.sourceCrs().isValid():
            return False, tr("Prompt layer: {} has no CRS. Set it in its properties.").format(prompts.sourceName())
        return True, ""

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run."""
        source = self.parameterAsSource(parameters, self.PROMPTS, context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.PROMPTS))
        prompts = PromptSource(
            as_file(source, "prompts", feedback),
            POLYGONS[self.parameterAsEnum(parameters, self.POLYGONS, context)],
            GRANULARITIES[self.parameterAsEnum(parameters, self.GRANULARITY, context)],
            self.parameterAsBool(parameters, self.SKIP_OUTSIDE, context),
        )
        return self.segmented(parameters, context, feedback, prompts)
