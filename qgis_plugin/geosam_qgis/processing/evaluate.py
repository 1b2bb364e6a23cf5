"""`geosam:evaluate`: agreement of predicted polygons with reference polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
)

from geosam_qgis.engine.error_messages import plain_text
from geosam_qgis.processing.algorithm import GeosamAlgorithm
from geosam_qgis.processing.inputs import as_file
from geosam_qgis.processing.report import html_report
from geosam_qgis.processing.worker_call import call_worker
from geosam_qgis.texts import tr

#: Numbers of the output, with their keys in the worker's answer.
_NUMBERS = {
    "PREDICTED_COUNT": ("predicted",),
    "REFERENCE_COUNT": ("reference",),
    "MATCHED": ("matched",),
    "PRECISION": ("precision",),
    "RECALL": ("recall",),
    "F1": ("f1",),
    "MEAN_IOU_MATCHED": ("mean_iou_matched",),
    "MEAN_IOU": ("mean_iou_reference",),
    "OVER_SEGMENTATION": ("segmentation", "over"),
    "UNDER_SEGMENTATION": ("segmentation", "under"),
    "BOUNDARY_F1": ("boundary", "f1"),
}


class Evaluate(GeosamAlgorithm):
    """Compare two layers of polygons, one to one."""

    NAME = "evaluate"
    ICON = "evaluate"
    PREDICTED, REFERENCE, WITHIN, IOU, TOLERANCE = "PREDICTED", "REFERENCE", "WITHIN", "IOU", "TOLERANCE"
    OUTPUT_HTML, OUTPUT_JSON = "OUTPUT_HTML", "OUTPUT_JSON"

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Evaluate polygons")

    def group(self) -> str:
        """Return the name of the group in the toolbox."""
        return tr("Evaluation")

    def groupId(self) -> str:
        """Return the id of the group, which is never translated."""
        return "evaluation"

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Compares predicted polygons with reference polygons, one to one: precision and recall of objects, IoU, "
            "over- and under-segmentation, and accuracy of outlines.\n\n"
            "If the reference is complete only in some areas, choose a layer with these areas: only objects inside "
            "them count."
        )

    def tags(self) -> list[str]:
        """Return the search words of the toolbox."""
        return tr("accuracy,assessment,iou,precision,recall,f1,validation,compare,polygons").split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(QgsProcessingParameterFeatureSource(self.PREDICTED, tr("Predicted polygons"), polygons))
        self.add(QgsProcessingParameterFeatureSource(self.REFERENCE, tr("Reference polygons"), polygons))
        within = QgsProcessingParameterFeatureSource(self.WITHIN, tr("Compare only within"), polygons, optional=True)
        self.add(within, tr("Areas in which the reference is complete."))
        double = QgsProcessingParameterNumber.Type.Double
        self.add(QgsProcessingParameterNumber(self.IOU, tr("Minimum IoU of a match"), double, 0.5, False, 0, 1))
        tolerance = QgsProcessingParameterNumber(
            self.TOLERANCE, tr("Tolerance of outlines (metres)"), double, None, True, 0
        )
        self.add(tolerance, tr("Largest distance of matching outlines. Empty: from the size of the objects."))
        html, data = tr("HTML files (*.html)"), tr("JSON files (*.json)")
        self.add(QgsProcessingParameterFileDestination(self.OUTPUT_HTML, tr("Report"), html, None, True))
        self.add(QgsProcessingParameterFileDestination(self.OUTPUT_JSON, tr("Numbers"), data, None, True, False))
        for name in _NUMBERS:
            self.addOutput(QgsProcessingOutputNumber(name, name.replace("_", " ").capitalize()))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Return True if a comparison is possible, else False and the reason in one sentence."""
        is_valid, text = super().checkParameterValues(parameters, context)
        for name in (self.PREDICTED, self.REFERENCE, self.WITHIN):
            source = self.parameterAsSource(parameters, name, context) if is_valid else None
            if source is not None and not source.sourceCrs().isValid():
                return False, tr("{} has no CRS. Set it in the layer's properties.").format(source.sourceName())
        return is_valid, text

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the algorithm."""
        options: dict[str, Any] = {"iou": self.parameterAsDouble(parameters, self.IOU, context)}
        tolerance = self.number(parameters, self.TOLERANCE, context)
        if tolerance:
            options["tolerance_m"] = tolerance
        if parameters.get(self.WITHIN):
            options["within"] = self._file(parameters, self.WITHIN, context, feedback)
        layers = {
            "predicted": self._file(parameters, self.PREDICTED, context, feedback),
            "reference": self._file(parameters, self.REFERENCE, context, feedback),
        }
        scores = call_worker("evaluate", {**layers, "options": options}, feedback)
        for note in scores["notes"]:
            feedback.pushWarning(plain_text(note))
        results = {name: _at(scores, keys) for name, keys in _NUMBERS.items()}
        # the log of qgis_process shows the numbers even without a report
        for name, value in results.items():
            feedback.pushInfo(f"{name}: {'-' if value is None else value}")
        reports = {self.OUTPUT_HTML: html_report(scores), self.OUTPUT_JSON: json.dumps(scores, indent=1)}
        for name, text in reports.items():
            path = self.parameterAsFileOutput(parameters, name, context)
            if path:
                _write(path, text)
                results[name] = path
        return results

    def _file(
        self, parameters: dict[str, Any], name: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> str:
        source = self.parameterAsSource(parameters, name, context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, name))
        return as_file(source, name.lower(), feedback)


def _at(scores: dict[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = scores
    for key in keys:
        value = value[key]
    return value


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise QgsProcessingException(tr("The report cannot be written: {}").format(error)) from error
