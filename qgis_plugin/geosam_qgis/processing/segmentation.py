"""From a raster to polygons: the common part of the algorithms with and without prompts."""

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

from geosam_qgis.engine.error_messages import plain_text
from geosam_qgis.jobs.results import shown_layer
from geosam_qgis.jobs.run_request import DEVICES, LAYOUTS, MODELS, Bounds, PromptSource, RunRequest
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, source_of
from geosam_qgis.processing.algorithm import GeosamAlgorithm
from geosam_qgis.processing.outputs import OUTPUT, direct_path, output_file, temporary_path, to_sink
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
        """Return the name of the group in the toolbox."""
        return tr("Segmentation")

    def groupId(self) -> str:
        """Return the id of the group, which is never translated."""
        return "segmentation"

    def add_input(self) -> None:
        """Declare the raster and the model."""
        self.add(QgsProcessingParameterRasterLayer(self.INPUT, tr("Raster layer")))
        model = QgsProcessingParameterString(self.MODEL, tr("Model"), MODELS[0])
        model.setMetadata({"widget_wrapper": {"value_hints": list(MODELS)}})
        self.add(model, tr("Name of a model, or path of a file with weights."))

    def add_shaping(self) -> None:
        """Declare the parameters for the shape of polygons."""
        self.add(
            QgsProcessingParameterEnum(
                self.LAYOUT, tr("Layout"), [tr("overlapping: objects may overlap"), tr("planar: no overlaps")], False, 0
            )
        )
        self._amount(self.SIMPLIFY, tr("Simplify (metres)"), tr("Largest distance that an outline may move."))
        self._amount(self.MIN_AREA, tr("Minimum area (square metres)"), tr("Smaller objects are left out."))
        self._amount(self.FILL_HOLES, tr("Fill holes up to (square metres)"), "")

    def add_reading(self) -> None:
        """Declare the parameters for reading the raster, and those of the run."""
        self.add(
            QgsProcessingParameterExtent(self.EXTENT, tr("Extent"), optional=True),
            tr("The part of the raster to segment. Empty: the whole raster."),
        )
        self.add(
            QgsProcessingParameterNumber(self.RESOLUTION, tr("Resolution (metres)"), _DOUBLE, None, True, 0),
            tr("Side of a pixel on the ground. Empty: the resolution of the raster."),
        )
        bands = QgsProcessingParameterBand(self.BANDS, tr("Bands"), None, self.INPUT, True, True)
        self.add(bands, tr("Three bands as red, green and blue, or one as grey. Empty: by the colours in the file."))
        self.add(
            QgsProcessingParameterString(self.STRETCH, tr("Stretch"), "auto"),
            tr("Conversion of band values to 8 bits: auto, none, MIN,MAX or percentiles such as p2,p98."),
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
            tr("Keeps the embeddings of the tiles, so that later runs over the same raster are faster."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.ALLOW_PARTIAL, tr("Leave out parts that cannot be read"), False),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.RESTART, tr("Discard the results of an interrupted run"), False),
            advanced=True,
        )

    def add_output(self) -> None:
        """Declare the outputs."""
        kind = QgsProcessing.SourceType.TypeVectorPolygon
        self.add(QgsProcessingParameterFeatureSink(OUTPUT, tr("Objects"), kind))
        self.addOutput(QgsProcessingOutputNumber(self.COUNT, tr("Number of objects")))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Return True if a run is possible, else False and the reason in one sentence."""
        is_valid, text = super().checkParameterValues(parameters, context)
        if not is_valid:
            return is_valid, text
        source = self._raster(parameters, context)
        if isinstance(source, UnusableLayer):
            return False, source.text
        tile, overlap = (self.parameterAsInt(parameters, name, context) for name in (self.TILE_SIZE, self.OVERLAP))
        if overlap >= tile:
            return False, tr("Overlap of tiles: found {} pixels, expected less than the tile size ({}).").format(
                overlap, tile
            )
        bands = self.parameterAsInts(parameters, self.BANDS, context)
        if len(bands) not in (0, 1, 3):
            return False, tr("Bands: found {}, expected one or three.").format(len(bands))
        path = output_file(parameters, context)
        layer_name = shown_layer(context.project(), path) if path and context.project() else ""
        if layer_name:
            text = tr("The layer {} shows the output file. Remove the layer, or choose another file.")
            return False, text.format(layer_name)
        return True, ""

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Read the properties of the raster layer, which only its own thread may do."""
        del feedback
        layer = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        source = self._raster(parameters, context)
        if isinstance(source, UnusableLayer):
            raise QgsProcessingException(source.text)
        self._source = RasterSource(source.path, {**source.options, **self._reading(parameters, context)})
        self._window = self._bounds(parameters, context, layer)
        return True

    def segment(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        prompts: PromptSource | None = None,
        **running: Any,
    ) -> dict[str, Any]:
        """Run the worker, and return the results of the algorithm.

        Args:
            parameters: Parameters of the algorithm.
            context: Context of the algorithm.
            feedback: Gets progress and messages.
            prompts: Prompt layer; None for all objects.
            **running: More fields of the library's `RunOptions`.
        """
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
            # a temporary output has no path to continue with
            if path and feedback.isCanceled():
                feedback.pushInfo(
                    tr("Finished tiles are kept. Run the algorithm again with the same output to continue from there.")
                )
            raise
        report_summary(summary, feedback)
        output = path or to_sink(self, parameters, context, feedback, request.out)
        return {OUTPUT: output, self.COUNT: summary["count"]}

    def _raster(self, parameters: dict[str, Any], context: QgsProcessingContext) -> RasterSource | UnusableLayer:
        layer = self.parameterAsRasterLayer(parameters, self.INPUT, context)
        if layer is None:
            return UnusableLayer(self.invalidRasterError(parameters, self.INPUT), exportable=False)
        return source_of(layer)

    def _reading(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """Return the options of the worker's method *open*."""
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
        """Return the extent in the raster's CRS; None if it is empty."""
        extent = self.parameterAsExtent(parameters, self.EXTENT, context, layer.crs())
        if extent.isNull():
            return None
        return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()

    def _running(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """Return fields of the library's `RunOptions`."""
        return {
            "tile_size": self.parameterAsInt(parameters, self.TILE_SIZE, context),
            "overlap": self.parameterAsInt(parameters, self.OVERLAP, context),
            "layout": LAYOUTS[self.parameterAsEnum(parameters, self.LAYOUT, context)],
            "min_area_m2": self.parameterAsDouble(parameters, self.MIN_AREA, context),
            "simplify_m": self.parameterAsDouble(parameters, self.SIMPLIFY, context),
            "fill_holes_m2": self.parameterAsDouble(parameters, self.FILL_HOLES, context),
            "allow_partial": self.parameterAsBool(parameters, self.ALLOW_PARTIAL, context),
            "restart": self.parameterAsBool(parameters, self.RESTART, context),
            "overwrite": True,  # QGIS has asked before it replaces a file
        }

    def _amount(self, name: str, label: str, text: str) -> None:
        self.add(QgsProcessingParameterNumber(name, label, _DOUBLE, 0, False, 0), text)


def report_summary(summary: dict[str, Any], feedback: QgsProcessingFeedback) -> None:
    """Report the result of a run, with its warnings and missing tiles."""
    for warning in summary["warnings"]:
        feedback.pushWarning(plain_text(warning))
    failed = summary["failed_tiles"]
    if failed:
        text = tr("{} of {} tiles failed and are missing: {}")
        feedback.pushWarning(text.format(len(failed), summary["tiles"], failed[0]))
    text = tr("{} objects from {} tiles in {} s")
    feedback.pushInfo(text.format(summary["count"], summary["tiles"], summary["seconds"]))
