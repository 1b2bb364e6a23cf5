"""From a raster to polygons: what the algorithms with and without prompts share."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsRasterLayer,
)

from geosam_qgis.jobs.results import shown_layer
from geosam_qgis.jobs.run_request import DEVICES, LAYOUTS, MODELS, Bounds, PromptSource, RunRequest
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, source_of
from geosam_qgis.processing.algorithm import GeosamAlgorithm
from geosam_qgis.processing.outputs import OUTPUT, direct_path, temporary_path, to_sink, wanted_file
from geosam_qgis.processing.worker_call import call_worker
from geosam_qgis.texts import tr

_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double


class SegmentationAlgorithm(GeosamAlgorithm):
    """An algorithm from a raster to a layer of polygons."""

    INPUT, MODEL, EXTENT, RESOLUTION, BANDS, STRETCH = "INPUT", "MODEL", "EXTENT", "RESOLUTION", "BANDS", "STRETCH"
    LAYOUT, SIMPLIFY, MIN_AREA, FILL_HOLES = "LAYOUT", "SIMPLIFY", "MIN_AREA", "FILL_HOLES"
    DEVICE, TILE_SIZE, OVERLAP, CACHE = "DEVICE", "TILE_SIZE", "OVERLAP", "CACHE"
    ALLOW_PARTIAL, RESTART = "ALLOW_PARTIAL", "RESTART"
    COUNT = "COUNT"

    def __init__(self) -> None:
        super().__init__()
        self._source = RasterSource("")
        self._window: Bounds | None = None

    def group(self) -> str:
        """In the toolbox."""
        return tr("Segmentation")

    def groupId(self) -> str:
        """Never translated."""
        return "segmentation"

    def add_input(self) -> None:
        """Declare the raster and the model."""
        self.add(QgsProcessingParameterRasterLayer(self.INPUT, tr("Raster layer")))
        model = QgsProcessingParameterString(self.MODEL, tr("Model"), MODELS[0])
        model.setMetadata({"widget_wrapper": {"value_hints": list(MODELS)}})
        self.add(model, tr("One of `geosam models`, or a file of weights."))

    def add_shaping(self) -> None:
        """Declare how objects become polygons."""
        self.add(
            QgsProcessingParameterEnum(
                self.LAYOUT, tr("Layout"), [tr("overlapping: objects as found"), tr("planar: no overlaps")], False, 0
            )
        )
        self._amount(self.SIMPLIFY, tr("Simplify (metres)"), tr("Largest shift of outlines."))
        self._amount(self.MIN_AREA, tr("Minimal area (square metres)"), tr("Smaller objects are left out."))
        self._amount(self.FILL_HOLES, tr("Fill holes up to (square metres)"), "")

    def add_reading(self) -> None:
        """Declare which part of the raster is read, and how; and the computer's part."""
        self.add(
            QgsProcessingParameterExtent(self.EXTENT, tr("Extent"), optional=True),
            tr("Only this part is looked at. Everything if empty."),
        )
        self.add(
            QgsProcessingParameterNumber(self.RESOLUTION, tr("Resolution (metres)"), _DOUBLE, None, True, 0),
            tr("Ground size of a pixel to work at. The raster's own if empty."),
        )
        bands = QgsProcessingParameterBand(self.BANDS, tr("Bands"), None, self.INPUT, True, True)
        self.add(bands, tr("Red, green, blue, or one as grey. By their colour interpretation if empty."))
        self.add(
            QgsProcessingParameterString(self.STRETCH, tr("Stretch"), "auto"),
            tr("From band values to 8 bits: auto, none, MIN,MAX or percentiles as in p2,p98."),
            advanced=True,
        )
        self.add(QgsProcessingParameterEnum(self.DEVICE, tr("Device"), list(DEVICES), False, 0), advanced=True)
        tile = QgsProcessingParameterNumber(self.TILE_SIZE, tr("Tile size (pixels)"), _INTEGER, 1024, False, 3)
        self.add(tile, advanced=True)
        overlap = QgsProcessingParameterNumber(self.OVERLAP, tr("Overlap of tiles (pixels)"), _INTEGER, 256, False, 2)
        self.add(overlap, advanced=True)
        folder = QgsProcessingParameterFile.Behavior.Folder
        self.add(
            QgsProcessingParameterFile(self.CACHE, tr("Cache folder"), folder, optional=True),
            tr("Keeps what a model saw of each tile, so that other runs over the raster are quicker."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.ALLOW_PARTIAL, tr("Leave out parts that cannot be read"), False),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.RESTART, tr("Drop what an interrupted run has done"), False),
            advanced=True,
        )

    def add_output(self) -> None:
        """Declare what comes out."""
        kind = QgsProcessing.SourceType.TypeVectorPolygon
        self.add(QgsProcessingParameterFeatureSink(OUTPUT, tr("Objects"), kind))
        self.addOutput(QgsProcessingOutputNumber(self.COUNT, tr("Number of objects")))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Whether a run makes sense; if not, one sentence."""
        fine, text = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, text
        source = self._raster(parameters, context)
        if isinstance(source, UnusableLayer):
            return False, source.text
        tile, overlap = (self.parameterAsInt(parameters, name, context) for name in (self.TILE_SIZE, self.OVERLAP))
        if overlap >= tile:
            return False, tr("Overlap: {} pixels, less than the tile size wanted ({}).").format(overlap, tile)
        bands = self.parameterAsInts(parameters, self.BANDS, context)
        if len(bands) not in (0, 1, 3):
            return False, tr("Bands: {} were chosen, three or one wanted.").format(len(bands))
        path = wanted_file(parameters, context)
        shown = shown_layer(context.project(), path) if path and context.project() else ""
        if shown:
            text = tr("The output is shown as the layer {}. Remove the layer, or choose another file.")
            return False, text.format(shown)
        return True, ""

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Ask the layer what it is, which only its own thread may."""
        del feedback
        layer = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        source = self._raster(parameters, context)
        if isinstance(source, UnusableLayer):
            raise QgsProcessingException(source.text)
        self._source = RasterSource(source.path, {**source.options, **self._reading(parameters, context)})
        self._window = self._bounds(parameters, context, layer)
        return True

    def segmented(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        prompts: PromptSource | None = None,
        **running: Any,
    ) -> dict[str, Any]:
        """Run the worker and deliver what it wrote; `running` are more fields of the library's `RunOptions`."""
        path = direct_path(self, parameters, context)
        request = RunRequest(
            source=self._source,
            out=path or temporary_path("objects.gpkg"),
            model=self.parameterAsString(parameters, self.MODEL, context),
            device=DEVICES[self.parameterAsEnum(parameters, self.DEVICE, context)],
            prompts=prompts,
            window=self._window,
            cache=self.parameterAsString(parameters, self.CACHE, context),
            running={**self._running(parameters, context), **running},
        )
        try:
            summary = call_worker("run", request.params(), feedback)
        except QgsProcessingException:
            if path and feedback.isCanceled():
                feedback.pushInfo(tr("What was finished is kept: the same call goes on from there."))
            raise
        tell(summary, feedback)
        output = path or to_sink(self, parameters, context, feedback, request.out)
        return {OUTPUT: output, self.COUNT: summary["count"]}

    def _raster(self, parameters: dict[str, Any], context: QgsProcessingContext) -> RasterSource | UnusableLayer:
        layer = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        if layer is None:
            return UnusableLayer(self.invalidRasterError(parameters, self.INPUT), exportable=False)
        return source_of(layer)

    def _reading(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """Options of the worker's method `open`."""
        options: dict[str, Any] = {"stretch": self.parameterAsString(parameters, self.STRETCH, context) or "auto"}
        resolution = self.number(parameters, self.RESOLUTION, context)
        if resolution:
            options["resolution"] = resolution
        bands = self.parameterAsInts(parameters, self.BANDS, context)
        if bands:
            options["bands"] = bands
        return options

    def _bounds(
        self, parameters: dict[str, Any], context: QgsProcessingContext, layer: QgsRasterLayer
    ) -> Bounds | None:
        """The extent in the raster's CRS; None where there is none."""
        extent = self.parameterAsExtent(parameters, self.EXTENT, context, layer.crs())
        if extent.isNull():
            return None
        return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()

    def _running(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """Fields of the library's `RunOptions`; QGIS has asked already whether a file is to be replaced."""
        return {
            "tile_size": self.parameterAsInt(parameters, self.TILE_SIZE, context),
            "overlap": self.parameterAsInt(parameters, self.OVERLAP, context),
            "layout": LAYOUTS[self.parameterAsEnum(parameters, self.LAYOUT, context)],
            "min_area_m2": self.parameterAsDouble(parameters, self.MIN_AREA, context),
            "simplify_m": self.parameterAsDouble(parameters, self.SIMPLIFY, context),
            "fill_holes_m2": self.parameterAsDouble(parameters, self.FILL_HOLES, context),
            "allow_partial": self.parameterAsBool(parameters, self.ALLOW_PARTIAL, context),
            "restart": self.parameterAsBool(parameters, self.RESTART, context),
            "overwrite": True,
        }

    def _amount(self, name: str, label: str, text: str) -> None:
        self.add(QgsProcessingParameterNumber(name, label, _DOUBLE, 0, False, 0), text)


def tell(summary: dict[str, Any], feedback: QgsProcessingFeedback) -> None:
    """Say what a run did, and warn of what is missing."""
    for warning in summary["warnings"]:
        feedback.pushWarning(warning)
    failed = summary["failed_tiles"]
    if failed:
        text = tr("{} of {} tiles failed and are missing: {}")
        feedback.pushWarning(text.format(len(failed), summary["tiles"], failed[0]))
    text = tr("{} objects from {} tiles in {} s")
    feedback.pushInfo(text.format(summary["count"], summary["tiles"], summary["seconds"]))
