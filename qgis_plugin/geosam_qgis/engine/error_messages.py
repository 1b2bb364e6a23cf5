"""Sentences for the errors and warnings of the worker, in the plugin's own words.

The worker names parameters of the library, `overlap` for example, but a user of QGIS sees fields and buttons. So the
remedy of an error is worded here, by the error's code, where QGIS has one of its own. In all other texts the names of
fields replace those of parameters.
"""

from __future__ import annotations

import re
from typing import Any

from geosam_qgis.texts import tr

#: A parameter in backticks, with or without a value; or an option of the command line.
_PARAMETER = re.compile(r"`(?P<name>[a-z][a-z0-9_]*)(?:=(?P<value>[^`]*))?`|(?<![\w-])--(?P<option>[a-z][a-z-]+)")
#: Any other text in backticks: a command, a path, a value.
_LITERAL = re.compile(r"`([^`]+)`")


def error_message(text: str, data: dict[str, Any] | None) -> str:
    """Return the sentences that a user of QGIS sees for an error of the worker.

    Args:
        text: The worker's own message: the problem, then the remedy.
        data: The worker's `data`: `code`, `remedy` and `values` of the error; a worker of another version may have
            fewer.
    """
    facts = data or {}
    problem, remedy = _problem_and_remedy(text, facts.get("remedy"))
    template = _remedies().get(str(facts.get("code")), "") if "remedy" in facts else ""
    values = facts.get("values")
    if template:
        try:
            return f"{plain_text(problem)} {template.format(**values) if isinstance(values, dict) else template}"
        except (LookupError, ValueError):  # a worker of another version has other values
            return plain_text(text)
    return f"{plain_text(problem)} {plain_text(remedy)}".rstrip()


def plain_text(text: str) -> str:
    """Return a text of the worker with the names of fields instead of parameters, and without backticks."""
    labels = {**_raster_labels(), **_result_labels()}

    def label(match: re.Match[str]) -> str:
        name = match["name"] or match["option"].replace("-", "_")
        quoted = tr("“{}”").format(labels.get(name, name.replace("_", " ")))
        value = (match["value"] or "").strip("\"'")
        return quoted if value in ("", "True") else f"{quoted} = {value}"

    return _LITERAL.sub(lambda match: tr("“{}”").format(match[1]), _PARAMETER.sub(label, text))


def _raster_labels() -> dict[str, str]:
    """Return the names of fields, by the parameters for reading rasters, prompts and models."""
    return {
        "bands": tr("Bands"),
        "cache": tr("Cache folder"),
        "crs": tr("CRS of the raster layer"),
        "device": tr("Device"),
        "encoding": tr("Encoding of the prompt layer"),
        "granularity": tr("Level of detail of a prompt"),
        "label": tr("Field label"),
        "layer": tr("Name of the layer in the file"),
        "model": tr("Model"),
        "object_id": tr("Field object_id"),
        "polygons": tr("A polygon stands for"),
        "prompt_crs": tr("CRS of the prompt layer"),
        "prompts": tr("Prompt layer"),
        "resolution": tr("Resolution"),
        "skip_outside": tr("Leave out prompts outside the raster"),
        "stretch": tr("Stretch"),
        "window": tr("Extent"),
    }


def _result_labels() -> dict[str, str]:
    """Return the names of fields, by the parameters for tiles, results and comparisons."""
    return {
        "allow_partial": tr("Leave out parts that cannot be read"),
        "fill_holes_m2": tr("Fill holes up to"),
        "iou": tr("Minimum IoU of a match"),
        "layout": tr("Layout"),
        "min_area_m2": tr("Minimum area"),
        "min_predicted_iou": tr("Minimum predicted IoU of a mask"),
        "min_stability": tr("Minimum stability of a mask"),
        "out": tr("Output file"),
        "overlap": tr("Overlap of tiles"),
        "overwrite": tr("Replace the file"),
        "restart": tr("Discard the results of an interrupted run"),
        "simplify_m": tr("Simplify"),
        "tile_size": tr("Tile size"),
        "tolerance_m": tr("Tolerance of outlines"),
        "within": tr("Compare only within"),
    }


def _problem_and_remedy(text: str, remedy: object) -> tuple[str, str]:
    if isinstance(remedy, str) and remedy and text.endswith(remedy):
        return text[: -len(remedy)].rstrip(), remedy
    return text, ""


def _remedies() -> dict[str, str]:
    """Return the remedies of QGIS by the code of an error; fields in braces are values of the error."""
    return {**_raster_remedies(), **_vector_remedies(), **_model_remedies(), **_run_remedies()}


def _raster_remedies() -> dict[str, str]:
    """Return the remedies for errors of raster layers."""
    export = tr("Export the layer as a GeoTIFF, and choose the new layer.")
    place = tr("Georeference the raster with the georeferencer of QGIS.")
    crs = tr("Set the CRS of the raster layer in its properties.")
    bands = tr("Choose one or three bands of the raster.")
    extent = tr("Choose an extent inside the raster.")
    return {
        "band-missing": bands,
        "bands-not-one-or-three": bands,
        "bands-unclear": bands,
        "complex-values": tr("Convert the raster to real numbers with the raster calculator."),
        "crs-contradicts-scene": tr("Reset the CRS of the raster layer in its properties."),
        "crs-unreadable": crs,
        "data-type-unknown": export,
        "missing-crs": crs,
        "not-a-stretch": tr("Enter auto, none, MIN,MAX or percentiles such as p2,p98."),
        "raster-not-self-contained": export,
        "resolution-far-from-native": tr("Choose a resolution closer to that of the raster."),
        "scene-crs-unknown": crs,
        "scene-has-gcps-only": place,
        "scene-has-rpcs-only": place,
        "scene-is-a-container": export,
        "scene-too-large": tr("Choose a smaller extent or a coarser resolution."),
        "scene-without-crs": crs,
        "scene-without-gcps": place,
        "scene-without-georeference": place,
        "scene-without-transform": place,
        "transform-unusable": place,
        "unknown-crs": tr("Choose another CRS."),
        "vrt-is-untrusted": export,
        "window-not-a-rectangle": extent,
        "window-outside-scene": extent,
    }


def _vector_remedies() -> dict[str, str]:
    """Return the remedies for errors of prompt layers and of polygons to compare."""
    layer_crs = tr("Check the CRS of the layer in its properties.")
    feature = tr("Correct or delete this feature of the layer.")
    export = tr("Export the layer as a GeoPackage, and choose the new layer.")
    return {
        "drawing-without-area": tr("Draw it again."),
        "feature-unusable": feature,
        "layer-cut-off": export,
        "layer-damaged": export,
        "layer-not-clear": export,
        "mask-without-area": feature,
        "no-such-layer": export,
        "polygons-crs-mismatch": layer_crs,
        "polygons-crs-unreachable": layer_crs,
        "polygons-without-crs": layer_crs,
        "polygons-without-place": layer_crs,
        "prompt-crs-mismatch": layer_crs,
        "prompt-crs-unreachable": tr("Check the CRS of the prompt layer and of the raster layer in their properties."),
        "prompt-field-value": tr("Correct the value. If the field has another meaning, rename it."),
        "prompt-geometry": feature,
        "prompt-kind": feature,
        "prompt-not-finite": feature,
        "prompt-outside-scene": tr("Check the CRS of the prompt layer, or leave out prompts outside the raster."),
        "prompt-several-areas": tr("Give each of these features its own object_id."),
        "prompts-outside-window": tr("Enlarge the extent, or leave out prompts outside the raster."),
        "prompts-without-crs": tr("Set the CRS of the prompt layer in its properties."),
        "shapefile-incomplete": export,
        "text-encoding-unknown": export,
        "text-encoding-wrong": export,
        "too-many-points": tr("Give every object its own object_id, or delete some points."),
    }


def _model_remedies() -> dict[str, str]:
    """Return the remedies for errors of models and devices."""
    other_model = tr("Choose another model.")
    cpu = tr("Choose the device cpu or auto.")
    smaller = tr("Choose a smaller model, or close other programs.")
    return {
        "backend-not-supported": other_model,
        "checkpoint-not-found": tr("Run “geosam models download” with the name of the model, or choose another model."),
        "device-failed": tr("Press Diagnose, then Try again; or choose the device cpu."),
        "device-not-supported": cpu,
        "features-not-finite": tr("Choose another model, or the device cpu."),
        "model-finds-no-objects": other_model,
        "model-is-no-network": other_model,
        "model-out-of-memory": smaller,
        "model-package-broken": other_model,
        "model-takes-no-prompts": other_model,
        "model-without-crops": other_model,
        "no-cuda-device": cpu,
        "out-of-memory": smaller,
        "protocol-mismatch": tr("Press Diagnose to install a worker for this plugin."),
        "unknown-model": tr("Choose a model of the list, or a file with weights."),
    }


def _run_remedies() -> dict[str, str]:
    """Return the remedies for errors of runs and files."""
    other_folder = tr("Choose another output folder.")
    space = tr("Free some space and start again. Finished tiles are kept.")
    other_run = tr("Wait until the other run is done, or choose another output file.")
    smaller = tr("Choose a smaller tile size and start again. Finished tiles are kept.")
    restart = tr("Choose to discard the results of the interrupted run, or choose another output file.")
    return {
        "disk-full": tr("Free some space."),
        "journal-disk-full": space,
        "journal-mismatch": restart,
        "journal-not-writable": other_folder,
        "journal-of-other-run": restart,
        "lock-held": other_run,
        "out-of-memory-at-task": smaller,
        "output-folder-missing": tr("Choose a folder that exists."),
        "output-in-store": other_folder,
        "output-being-written": other_run,
        "output-disk-full": tr("Free some space, or choose a folder on another disk."),
        "output-in-use": tr("Close the file in the other program, or choose another output file."),
        "output-is-input": tr("Choose another output file."),
        "output-locked": other_run,
        "output-not-writable": other_folder,
        "output-read-only": tr("Choose another output file."),
        "store-disk-full": space,
        "store-not-writable": tr("Choose another cache folder."),
        "store-too-small-for-embedding": tr("Choose another cache folder, or none."),
        "store-too-small-for-scene": tr("Choose another cache folder, or none."),
        "worker-died-twice": smaller,
    }
