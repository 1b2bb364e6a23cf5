"""Sentences for the errors and warnings of the worker, in the plugin's own words.

The worker names parameters of the library, `overlap` for example. A user of QGIS sees fields and buttons. So errors
that have a remedy in QGIS are worded here, by their code and values; in all other texts the names of parameters are
replaced by the names of the fields.
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
    """Return the sentence that a user of QGIS sees for an error of the worker.

    Args:
        text: The worker's own message.
        data: The worker's `data`: `code` and `values` of the error, where it has them.
    """
    code, values = (data or {}).get("code"), (data or {}).get("values")
    template = _sentences().get(code, "") if isinstance(code, str) else ""
    if template:
        try:
            return template.format(**(values if isinstance(values, dict) else {}))
        except (LookupError, ValueError, TypeError, AttributeError):  # another version of the worker has other values
            return plain_text(text)
    return plain_text(text)


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
        "granularity": tr("A prompt means"),
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
        "iou": tr("IoU that makes a match"),
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


def _sentences() -> dict[str, str]:
    """Return templates of sentences by the code of an error; the fields in braces are its values."""
    return {}
