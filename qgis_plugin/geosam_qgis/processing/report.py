"""The numbers of an evaluation as an HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from geosam_qgis.engine.error_messages import plain_text
from geosam_qgis.texts import tr

#: Keys of the columns for a class; the worker may send more.
_CLASS_SCORES = ("reference", "recall", "mean_iou")
_STYLE = "body{font-family:sans-serif}td,th{padding:2px 12px;text-align:left}td+td{text-align:right}"


def html_report(scores: dict[str, Any]) -> str:
    """Return a page with the worker's answer to *evaluate*; texts from the data are escaped."""
    iou, tolerance = _shown(scores["iou"]), _shown(scores["boundary"]["tolerance_m"])
    objects = [
        (tr("Predicted objects"), scores["predicted"]),
        (tr("Reference objects"), scores["reference"]),
        (tr("Matched objects, at an IoU of {}").format(iou), scores["matched"]),
        (tr("Precision"), scores["precision"]),
        (tr("Recall"), scores["recall"]),
        (tr("F1"), scores["f1"]),
        (tr("Mean IoU of matched objects"), scores["mean_iou_matched"]),
        (tr("Mean best IoU of reference objects"), scores["mean_iou_reference"]),
        (tr("Over-segmentation"), scores["segmentation"]["over"]),
        (tr("Under-segmentation"), scores["segmentation"]["under"]),
        (tr("Precision of outlines, within {} m").format(tolerance), scores["boundary"]["precision"]),
        (tr("Recall of outlines"), scores["boundary"]["recall"]),
        (tr("F1 of outlines"), scores["boundary"]["f1"]),
        (tr("Predicted area (square metres)"), scores["predicted_area_m2"]),
        (tr("Reference area (square metres)"), scores["reference_area_m2"]),
    ]
    title = escape(tr("Predicted against reference polygons"))
    body = _table(objects)
    if scores["classes"]:
        rows = [(name, *(score.get(key) for key in _CLASS_SCORES)) for name, score in scores["classes"].items()]
        body += _table(rows, (tr("Class"), tr("Reference"), tr("Recall"), tr("Mean IoU")))
    body += "".join(f"<p>{escape(plain_text(note))}</p>" for note in scores["notes"])
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"<!DOCTYPE html><html><head>{head}</head><body><h1>{title}</h1>{body}</body></html>\n"


def _table(rows: Iterable[tuple[Any, ...]], names: tuple[str, ...] = ()) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ("".join(f"<td>{escape(_shown(value))}</td>" for value in row) for row in rows)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in (head, *lines) if line) + "</table>"


def _shown(value: object | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
