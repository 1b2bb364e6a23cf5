"""Prompt layers: any vector layer as prompts, and prompts as a GeoPackage with the schema of the prompt layer.

The schema: `object_id, step, kind (point | box | mask), label (1 includes, 0 excludes), granularity (auto | part |
whole | group)`. The field `object_id` decides: with it, all features of one value are one object, in the order of
`step` and never of rows (equal steps: given together), and the other fields may be missing. Without it every feature is
an object named by its feature number. Any other field is an attribute; an object has those of its first step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from geosam.errors import CRSMismatch, EmptyPrompt, ExportError, PromptError, UnknownFormat
from geosam.geometry.measure import beyond_degrees
from geosam.prompts.prompt import DETAILS, NAMED, Prompt, Steps
from geosam.vector.checks import check_existing
from geosam.vector.geopackage import companions, facts
from geosam.vector.reading import read_vector
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from pyproj import CRS

    from geosam._arrays import BoolArray
    from geosam.prompts.prompt import Detail
    from geosam.vector.reading import VectorTable

#: Values of the field `kind`; their positions are the numbers used here.
KINDS = ("point", "box", "mask")
_POINT, _BOX, _MASK = range(3)
_POINTS = (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT)
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def read_prompts(
    path: str | Path,
    *,
    layer: str | None = None,
    crs: CRS | None = None,
    polygons: Literal["box", "mask"] = "box",
    encoding: str | None = None,
) -> tuple[list[Prompt], list[str]]:
    """Read a vector layer as prompts, in the order of their first features, and warnings.

    Points take their labels from the field `label`, or include without it; a MultiPoint is several points of one
    object. Features without geometry are skipped and polygons that cross themselves repaired, both with a warning.

    Args:
        path: GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML.
        layer: Name of the layer, where there are several.
        crs: CRS of a layer that has none, or that claims degrees and holds other numbers (GeoJSON without a CRS).
        polygons: What a polygon is where no field `kind` says it.
        encoding: Encoding of the text, where the file does not say it.

    Raises:
        PromptError: the file cannot be read, or a feature cannot be a prompt.
        CRSMismatch: the layer has no CRS and `crs` is not given.
    """
    table, warnings = read_vector(path, layer=layer, encoding=encoding)
    used, notes = _crs_of(table, crs)
    table, skipped = _without_empty(table)
    if not len(table.fids):
        return [], [*warnings, *notes, *skipped, f"{table.place}: no prompts in it"]
    if "granularit" in table.columns:  # all that a shapefile keeps of the name
        columns = {"granularity" if n == "granularit" else n: v for n, v in table.columns.items()}
        table = replace(table, columns=columns)
    _check_geometries(table)
    table, repaired = _repaired(table)
    rows, assumed = _rows(table, polygons)
    return _prompts(table, rows, used), [*warnings, *notes, *skipped, *repaired, *assumed]


def write_prompts(path: str | Path, prompts: Sequence[Prompt], *, overwrite: bool = False) -> None:
    """Write prompts as a GeoPackage with the schema of the prompt layer; :func:`read_prompts` returns the same prompts.

    Points that were given together have no order: they come back from west to east.
    The file appears complete or not at all. Attributes whose names the schema or the format uses get a new name.

    Raises:
        OutputExists: the file exists and `overwrite` is not set; with it, the whole file is replaced.
        UnknownFormat: the extension is not .gpkg.
        EmptyPrompt: there are no prompts.
        CRSMismatch: the prompts are not in one CRS.
        ExportError: the file cannot be written.
    """
    final = Path(path)
    if final.suffix.lower() != ".gpkg":
        raise UnknownFormat(f"prompts are written as a GeoPackage: {path}: {final.suffix!r}, .gpkg wanted. Rename it.")
    if not prompts:
        raise EmptyPrompt(f"no prompts to write: {path}: none given, at least one wanted. Click or draw one first.")
    crss = list(dict.fromkeys(prompt.crs for prompt in prompts))
    if len(crss) > 1:
        raise CRSMismatch(
            f"prompts do not fit one layer: {path}: {len(crss)} CRSs, one wanted. Write one file for each."
        )
    check_existing(final, overwrite=overwrite)
    if not final.parent.is_dir():
        raise ExportError(f"the output's folder does not exist: {path}: {final.parent}, a folder wanted. Create it.")
    rows = _to_arrow(path, prompts)
    with failures_reported(final), Staging(final) as staging:
        made, about = staging.folder / "prompts.gpkg", {"layer": final.stem, "crs": crss[0].to_wkt()}
        pyogrio.write_arrow(rows, made, driver="GPKG", geometry_name="geometry", geometry_type="Unknown", **about)
        found, _ = facts(made, final.stem)
        if found != len(rows):
            raise ExportError(
                f"the file is not complete: {path}: {found} features, {len(rows)} wanted. Check the disk."
            )
        staging.publish([made], companions(staging.final))


def _to_arrow(path: str | Path, prompts: Sequence[Prompt]) -> pa.Table:
    """One row for each box, mask and point, in the order of their steps."""
    rows: list[tuple[Prompt, int, str, int, Any]] = []
    for prompt in prompts:
        given = prompt.steps or Steps(np.zeros(len(prompt.labels), np.int64))
        parts: list[tuple[int, str, int, Any]] = []
        if prompt.box_xyxy is not None:
            parts.append((given.box, "box", 1, prompt.outline or shapely.box(*prompt.box_xyxy)))
        parts += [(given.polygon, "mask", 1, prompt.polygon)] if prompt.polygon is not None else []
        points = shapely.points(prompt.points_xy)
        parts += zip(given.points.tolist(), repeat("point"), prompt.labels.tolist(), points, strict=False)
        rows += [(prompt, *part) for part in sorted(parts, key=itemgetter(0))]
    owners, steps, kinds, labels, shapes = zip(*rows, strict=True)
    ids = [prompt.id for prompt in owners]
    columns: dict[str, Any] = {
        "geometry": shapely.to_wkb(np.array(shapes, object)),
        "object_id": ids if all(isinstance(name, int) for name in ids) else [str(name) for name in ids],
        "step": steps,
        "kind": kinds,
        "label": labels,
        "granularity": [prompt.granularity for prompt in owners],
    }
    taken = {"fid", "geom", *columns}
    for name in dict.fromkeys(name for prompt in prompts for name in prompt.attributes):
        free = name
        while free.casefold() in taken:
            free += "_"
        taken.add(free.casefold())
        values = [prompt.attributes.get(name) for prompt in owners]
        try:
            columns[free] = pa.array(values, None if any(value is not None for value in values) else pa.string())
        except pa.ArrowException as error:
            raise ExportError(
                f'an attribute mixes types: {path}, field "{name}": {error}, one type wanted. Convert or drop it.'
            ) from error
    return pa.table(columns)


def _crs_of(table: VectorTable, given: CRS | None) -> tuple[CRS, list[str]]:
    """The CRS to read a layer in, and why if that is not the one it declares."""
    declared = table.crs
    if declared is None:
        if given is None:
            raise CRSMismatch(
                f"the layer has no CRS: {table.place}: coordinates only, a declared CRS wanted. Pass --prompt-crs."
            )
        return given, []
    if given is None or given.equals(declared, ignore_axis_order=True):
        return declared, []
    if beyond_degrees(declared, shapely.get_coordinates(table.geometries)).any():
        return given, [f"{table.place}: not longitudes and latitudes as {declared.name} says, read as {given.name}"]
    return declared, [f"{table.place}: its own CRS {declared.name} is used, --prompt-crs is for layers without one"]


def _without_empty(table: VectorTable) -> tuple[VectorTable, list[str]]:
    empty = shapely.is_missing(table.geometries) | shapely.is_empty(table.geometries)
    if not empty.any():
        return table, []
    return table.select(~empty), [f"{_features(table, empty)}: no geometry, skipped"]


def _check_geometries(table: VectorTable) -> None:
    kinds = shapely.get_type_id(table.geometries)
    wrong = np.flatnonzero(~np.isin(kinds, _POINTS + _POLYGONS))
    if len(wrong):
        found = table.geometries[wrong[0]].geom_type
        raise PromptError(
            f"a feature cannot be a prompt: {table.feature(wrong[0])}: {found}, a point or polygon wanted. "
            "Remove it, or convert it in a GIS."
        )
    xy, owner = shapely.get_coordinates(table.geometries, return_index=True)
    bad = np.flatnonzero(~np.isfinite(xy).all(axis=1))
    if len(bad):
        raise PromptError(
            f"coordinates are not finite: {table.feature(owner[bad[0]])}: {xy[bad[0]].tolist()}, numbers wanted. "
            "Correct or remove the feature."
        )


def _repaired(table: VectorTable) -> tuple[VectorTable, list[str]]:
    """Polygons that cross themselves become the polygons that their lines enclose."""
    invalid = ~shapely.is_valid(table.geometries)
    if not invalid.any():
        return table, []
    parts, owner = shapely.get_parts(shapely.make_valid(table.geometries[invalid]), return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)  # collections hold MultiPolygons
    areas = shapely.get_dimensions(parts) == 2
    fixed = np.full(np.count_nonzero(invalid), None, object)
    shapely.multipolygons(parts[areas], indices=owner[inner][areas], out=fixed)
    flat = np.flatnonzero(invalid)[shapely.is_missing(fixed)]
    if len(flat):
        raise EmptyPrompt(
            f"the polygon has no area: {table.feature(flat[0])}: all on one line, an area wanted. Correct or remove it."
        )
    geometries = table.geometries.copy()
    geometries[invalid] = fixed
    return replace(table, geometries=geometries), [f"{_features(table, invalid)}: crosses itself, repaired"]


def _features(table: VectorTable, rows: BoolArray) -> str:
    """The layer and the feature numbers of marked rows, for warnings."""
    fids = table.fids[rows].tolist()
    more = f" and {len(fids) - NAMED} more" if len(fids) > NAMED else ""
    return f"{table.place}, feature {', '.join(map(str, fids[:NAMED]))}{more}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the fields of the schema, or their absence, say about N features."""

    noun: Literal["object", "feature"]
    """What the ids count."""
    ids: list[str | int]
    """Name of each object, in the order of their first features."""
    owner: NDArray[np.intp]
    """(N,) the object each feature belongs to."""
    steps: NDArray[np.float64]
    """(N,) whole numbers: the order within an object."""
    kinds: NDArray[np.intp]
    """(N,) positions in KINDS."""
    labels: NDArray[np.int8]
    """(N,) 1 includes, 0 excludes."""
    details: list[Detail]
    """(N,) the granularity asked for."""
    attributes: list[str]
    """The fields that are not of the schema."""


def _rows(table: VectorTable, polygons: Literal["box", "mask"]) -> tuple[_Rows, list[str]]:
    """Read the fields of the schema; also returns what had to be assumed."""
    notes = []
    is_point = np.isin(shapely.get_type_id(table.geometries), _POINTS)
    kinds = np.where(is_point, _POINT, KINDS.index(polygons))
    names, steps, schema = table.fids.tolist(), np.zeros(len(is_point)), {"granularity"}
    grouped = "object_id" in table.columns
    if grouped:
        schema |= {"object_id", "step", "kind", "label"}
        names = _parsed(table, "object_id", _name, "a whole number or text")
        steps = np.array(_parsed(table, "step", _whole, "a whole number", default=0), np.float64)
        kinds = _stated_kinds(table, kinds)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    labels = np.ones(len(is_point), np.int8)
    if is_point.any():
        schema.add("label")
        labels[is_point] = _parsed(table.select(is_point), "label", _label, "1 (include) or 0 (exclude)", default=1)
        if "label" not in table.columns:
            notes.append(f'{table.place}: no field "label", so every point includes')
    if grouped:
        _parsed(table.select(~is_point), "label", _including, "1 or nothing for a box or mask", default=1)
    rows = _Rows(
        "object" if grouped else "feature",
        list(numbers),
        np.array([numbers[name] for name in names], np.intp),
        steps,
        kinds,
        labels,
        _parsed(table, "granularity", _detail, f"one of {', '.join(DETAILS)}", default="auto"),
        [name for name in table.columns if name not in schema],
    )
    return rows, notes


def _stated_kinds(table: VectorTable, by_geometry: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,) kinds by the field `kind`, and by the geometry where it says nothing."""
    stated = np.array(_parsed(table, "kind", _kind, f"one of {', '.join(KINDS)}", default=-1), np.intp)
    kinds = np.where(stated < 0, by_geometry, stated)
    wrong = np.flatnonzero((kinds == _POINT) != (by_geometry == _POINT))
    if len(wrong):
        raise PromptError(
            f"the kind does not fit the geometry: {table.feature(wrong[0], 'kind')}: {KINDS[kinds[wrong[0]]]!r} for a "
            f"{table.geometries[wrong[0]].geom_type}, a point for points and a polygon for boxes and masks wanted. "
            "Correct one of them."
        )
    return kinds


def _parsed(
    table: VectorTable, field: str, meaning: Callable[[Any], Any], wanted: str, default: Any = None
) -> list[Any]:
    """The field's values as `meaning` reads them; `default` everywhere in a layer without the field."""
    if field not in table.columns:
        return [default] * len(table.fids)
    parsed = []
    for row, value in enumerate(table.columns[field]):
        try:
            parsed.append(meaning(value))
        except (ValueError, TypeError, OverflowError):
            raise PromptError(
                f"a value has no meaning: {table.feature(row, field)}: {value!r}, {wanted} wanted. "
                "Correct it, or rename the field if it is not meant for prompts."
            ) from None
    return parsed


def _whole(value: Any) -> int:
    number = _number(value)
    if isinstance(number, bool) or number != int(number):
        raise ValueError(value)
    return int(number)


def _number(value: Any) -> Any:
    """The value itself, or the whole number that a text says: KML has no numbers."""
    return int(value) if isinstance(value, str) else value


def _name(value: Any) -> str | int:
    return value if isinstance(value, str) and value else _whole(value)


def _label(value: Any) -> int:
    return (0, 1).index(_number(value))


def _including(value: Any) -> int:
    return (1, None).index(_number(value))


def _kind(value: Any) -> int:
    return -1 if value is None else KINDS.index(value)


def _detail(value: Any) -> Detail:
    return "auto" if value is None else DETAILS[DETAILS.index(value)]


def _prompts(table: VectorTable, rows: _Rows, crs: CRS) -> list[Prompt]:
    """Put the features of each object together, in the order of their steps."""
    corner = shapely.bounds(table.geometries)
    order = np.lexsort((rows.labels, corner[:, 1], corner[:, 0], rows.kinds, rows.steps, rows.owner))
    points = order[rows.kinds[order] == _POINT]
    xy, of = shapely.get_coordinates(table.geometries[points], return_index=True)
    labels = rows.labels[points][of]
    ends = np.cumsum(np.bincount(rows.owner[points][of], minlength=len(rows.ids))).tolist()
    boxed = dict(_only(table, rows, _BOX))
    boxes = {owner: tuple(corner[row].tolist()) for owner, row in boxed.items()}
    outlines = {owner: shapely.convex_hull(table.geometries[row]) for owner, row in boxed.items()}
    masked = dict(_only(table, rows, _MASK))
    masks = {owner: table.geometries[row] for owner, row in masked.items()}
    steps = rows.steps[points][of]
    box_steps, mask_steps = ({owner: rows.steps[row] for owner, row in found.items()} for found in (boxed, masked))
    first = order[np.searchsorted(rows.owner[order], np.arange(len(rows.ids)))].tolist()
    return [
        Prompt(
            name,
            crs,
            xy[start:end],
            labels[start:end],
            boxes.get(number),
            masks.get(number),
            rows.details[row],
            {field: table.columns[field][row] for field in rows.attributes},
            f"{table.place}, {rows.noun} {name}",
            outlines.get(number),
            Steps.ranked(steps[start:end], box_steps.get(number), mask_steps.get(number)),
        )
        for number, (name, start, end, row) in enumerate(zip(rows.ids, [0, *ends], ends, first, strict=False))
    ]


def _only(table: VectorTable, rows: _Rows, kind: int) -> Iterator[tuple[int, int]]:
    """Object and row of each feature of a kind that an object can have only one of."""
    found = np.flatnonzero(rows.kinds == kind)
    owners, counts = np.unique(rows.owner[found], return_counts=True)
    if (counts > 1).any():
        owner = owners[counts > 1][0]
        second = found[rows.owner[found] == owner][1]
        raise PromptError(
            f"an object has several {KINDS[kind]} prompts: {table.feature(second)}: {counts.max()} for object "
            f"{rows.ids[owner]}, one wanted. Give each its own object_id."
        )
    return zip(rows.owner[found].tolist(), found.tolist(), strict=True)
