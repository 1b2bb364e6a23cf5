"""`geosam:evaluate`: how well predicted polygons agree with reference polygons."""

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

from geosam_qgis.processing.algorithm import GeosamAlgorithm
from geosam_qgis.processing.inputs import as_file
from geosam_qgis.processing.report import html_report
from geosam_qgis.processing.worker_call import call_worker
from geosam_qgis.texts import tr

#: Number outputs, and where they are in the worker's answer.
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
        """In the toolbox."""
        return tr("Evaluate polygons")

    def group(self) -> str:
        """In the toolbox."""
        return tr("Evaluation")

    def groupId(self) -> str:
        """Never translated."""
        return "evaluation"

    def shortHelpString(self) -> str:
        """Beside the parameters."""
        return tr(
            "Compares predicted polygons with reference polygons, one to one: precision and recall of objects, IoU, "
            "over- and under-segmentation, and how true the outlines are.\n\n"
            "Where the reference is complete only in some areas, give these as polygons: nothing else is judged."
        )

    def tags(self) -> list[str]:
        """What it is found by."""
        return tr("accuracy,assessment,iou,precision,recall,f1,validation,compare,polygons").split(",")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters."""
        del configuration
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(QgsProcessingParameterFeatureSource(self.PREDICTED, tr("Predicted polygons"), polygons))
        self.add(QgsProcessingParameterFeatureSource(self.REFERENCE, tr("Reference polygons"), polygons))
        within = QgsProcessingParameterFeatureSource(self.WITHIN, tr("Judge only within"), polygons, optional=True)
        self.add(within, tr("Polygons inside which the reference is complete."))
        double = QgsProcessingParameterNumber.Type.Double
        self.add(QgsProcessingParameterNumber(self.IOU, tr("IoU that makes a match"), double, 0.5, False, 0, 1))
        tolerance = QgsProcessingParameterNumber(
            self.TOLERANCE, tr("Tolerance of outlines (metres)"), double, None, True, 0
        )
        self.add(tolerance, tr("How far apart matching outlines may be. From the objects' size if empty."))
        html, data = tr("HTML files (*.html)"), tr("JSON files (*.json)")
        self.add(QgsProcessingParameterFileDestination(self.OUTPUT_HTML, tr("Report"), html, None, True))
        self.add(QgsProcessingParameterFileDestination(self.OUTPUT_JSON, tr("Numbers"), data, None, True, False))
        for name in _NUMBERS:
            self.addOutput(QgsProcessingOutputNumber(name, name.replace("_", " ").capitalize()))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Whether a comparison makes sense; if not, one sentence."""
        fine, text = super().checkParameterValues(parameters, context)
        for name in (self.PREDICTED, self.REFERENCE, self.WITHIN):
            source = self.parameterAsSource(parameters, name, context) if fine else None
            if source is not None and not source.sourceCrs().isValid():
                return False, tr("{} has no CRS. Set it in the layer's properties.").format(source.sourceName())
        return fine, text

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run."""
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
        found = call_worker("evaluate", {**layers, "options": options}, feedback)
        for note in found["notes"]:
            feedback.pushWarning(note)
        results = {name: _at(found, place) for name, place in _NUMBERS.items()}
        for name, value in results.items():
            feedback.pushInfo(f"{name}: {'-' if value is None else value}")
        written = {self.OUTPUT_HTML: html_report(found), self.OUTPUT_JSON: json.dumps(found, indent=1)}
        for name, text in written.items():
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


def _at(found: dict[str, Any], place: tuple[str, ...]) -> Any:
    for key in place:
        found = found[key]
    return found


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise QgsProcessingException(tr("The report cannot be written: {}").format(error)) from error
