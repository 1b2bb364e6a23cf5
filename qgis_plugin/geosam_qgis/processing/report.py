"""The numbers of an evaluation as a page for people."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from geosam_qgis.texts import tr

_STYLE = "body{font-family:sans-serif}td,th{padding:2px 12px;text-align:left}td+td{text-align:right}"


def html_report(found: dict[str, Any]) -> str:
    """A page with the worker's answer to *evaluate*; texts out of the data are escaped."""
    iou, tolerance = _shown(found["iou"]), _shown(found["boundary"]["tolerance_m"])
    objects = [
        (tr("Predicted objects"), found["predicted"]),
        (tr("Reference objects"), found["reference"]),
        (tr("Matched, at an IoU of {}").format(iou), found["matched"]),
        (tr("Precision"), found["precision"]),
        (tr("Recall"), found["recall"]),
        (tr("F1"), found["f1"]),
        (tr("Mean IoU of the matched"), found["mean_iou_matched"]),
        (tr("Mean best IoU of the reference"), found["mean_iou_reference"]),
        (tr("Over-segmentation"), found["segmentation"]["over"]),
        (tr("Under-segmentation"), found["segmentation"]["under"]),
        (tr("Precision of outlines, within {} m").format(tolerance), found["boundary"]["precision"]),
        (tr("Recall of outlines"), found["boundary"]["recall"]),
        (tr("F1 of outlines"), found["boundary"]["f1"]),
        (tr("Predicted area (square metres)"), found["predicted_area_m2"]),
        (tr("Reference area (square metres)"), found["reference_area_m2"]),
    ]
    title = escape(tr("Predicted against reference polygons"))
    body = _table(objects)
    if found["classes"]:
        rows = [(name, *score.values()) for name, score in found["classes"].items()]
        body += _table(rows, (tr("Class"), tr("Reference"), tr("Recall"), tr("Mean IoU")))
    body += "".join(f"<p>{escape(note)}</p>" for note in found["notes"])
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
