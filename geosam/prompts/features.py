"""Features of a vector table as prompts: grouped by the fields of the prompt layer, checked and repaired.

The schema has the fields `object_id`, `step`, `kind` (point | box | mask), `label` (1 includes, 0 excludes) and
`granularity` (auto | part | whole | group). With a field `object_id`, all features of one value are one object, and
the other fields may be missing. The features have the order of `step`, never of rows; equal steps were given together.
Without `object_id`, every feature is an object with its feature number as name. Any other field is an attribute; an
object has those of its first step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely

from geosam.errors import CRSMismatch, EmptyPrompt, PromptError, UsageError
from geosam.geometry.measure import beyond_degrees
from geosam.geometry.polygons import POLYGONAL
from geosam.prompts.prompt import GRANULARITIES, NAMED, Prompt, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyproj import CRS

    from geosam._arrays import BoolArray, Floats, Indexes, PointLabels
    from geosam.prompts.prompt import Granularity
    from geosam.vector.table import VectorTable

#: Values of the field `kind`; their positions are the numbers used here.
KINDS = ("point", "box", "mask")
_POINT, _BOX, _MASK = range(3)
_POINTS = (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT)


def prompts_of_table(
    table: VectorTable, crs: CRS | None, polygons: Literal["box", "mask"]
) -> tuple[list[Prompt], list[str]]:
    """Make prompts of the features of a table.

    Args:
        table: the features.
        crs: CRS of a table that has none, or that declares degrees and holds numbers beyond them.
        polygons: kind of a polygon where no field `kind` states it.

    Returns:
        Prompts in the order of their first features, and warnings.

    Raises:
        PromptError: a feature cannot be a prompt.
        CRSMismatch: the table has no CRS and `crs` is not given.
        UsageError: `polygons` has another value.
    """
    if polygons not in KINDS[1:]:
        raise UsageError(
            f"unknown use of polygons: `polygons`: found {polygons!r}, expected 'box' or 'mask'.",
            code="unknown-polygons",
            polygons=polygons,
        )
    used, notes = _crs_of(table, crs)
    table, skipped = _without_empty(table)
    if not len(table.fids):
        return [], [*notes, *skipped, f"{table.place}: no prompts in it"]
    if "granularit" in table.columns:  # a shapefile keeps only ten letters of the name
        columns = {"granularity" if name == "granularit" else name: v for name, v in table.columns.items()}
        table = replace(table, columns=columns)
    _check_geometries(table)
    table, repaired = _repaired(table)
    rows, assumed = _rows(table, polygons)
    return _prompts(table, rows, used), [*notes, *skipped, *repaired, *assumed]


def _crs_of(table: VectorTable, stated: CRS | None) -> tuple[CRS, list[str]]:
    """Return the CRS of the coordinates, and a warning if the declared and the stated CRS differ."""
    declared = table.crs
    if declared is None:
        if stated is None:
            raise CRSMismatch(
                f"the layer has no CRS: {table.place}: found coordinates only, expected a declared CRS.",
                remedy="Give the CRS of the prompts, `prompt_crs`.",
                code="prompts-without-crs",
                place=table.place,
            )
        return stated, []
    if stated is None or stated.equals(declared, ignore_axis_order=True):
        return declared, []
    if beyond_degrees(declared, shapely.get_coordinates(table.geometries)).any():
        # GeoJSON without a CRS declares WGS84, whatever its numbers are.
        return stated, [f"{table.place}: no longitudes and latitudes of {declared.name}, read as {stated.name}"]
    return declared, [f"{table.place}: its own CRS {declared.name} is used, `prompt_crs` is for layers without one"]


def _without_empty(table: VectorTable) -> tuple[VectorTable, list[str]]:
    empty = shapely.is_missing(table.geometries) | shapely.is_empty(table.geometries)
    if not empty.any():
        return table, []
    return table.select(~empty), [f"{_features(table, empty)}: no geometry, skipped"]


def _check_geometries(table: VectorTable) -> None:
    kinds = shapely.get_type_id(table.geometries)
    wrong = np.flatnonzero(~np.isin(kinds, _POINTS + POLYGONAL))
    if len(wrong):
        name = table.geometries[wrong[0]].geom_type
        raise PromptError(
            f"a feature cannot be a prompt: {table.feature(wrong[0])}: found a {name}, expected a point or polygon.",
            remedy="Remove it, or convert it in a GIS.",
            code="prompt-geometry",
            geometry=name,
        )
    xy, owner = shapely.get_coordinates(table.geometries, return_index=True)
    bad = np.flatnonzero(~np.isfinite(xy).all(axis=1))
    if len(bad):
        raise PromptError(
            f"coordinates are not finite: {table.feature(owner[bad[0]])}: found {xy[bad[0]].tolist()}, expected "
            "finite numbers.",
            remedy="Correct or remove the feature.",
            code="prompt-not-finite",
        )


def _repaired(table: VectorTable) -> tuple[VectorTable, list[str]]:
    """Replace polygons that cross themselves by the areas that their lines enclose."""
    invalid = ~shapely.is_valid(table.geometries)
    if not invalid.any():
        return table, []
    parts, owner = shapely.get_parts(shapely.make_valid(table.geometries[invalid]), return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)  # again, because collections hold MultiPolygons
    areas = shapely.get_dimensions(parts) == 2
    fixed = np.full(np.count_nonzero(invalid), None, object)
    shapely.multipolygons(parts[areas], indices=owner[inner][areas], out=fixed)
    flat = np.flatnonzero(invalid)[shapely.is_missing(fixed)]  # only points or lines are left of them
    if len(flat):
        raise EmptyPrompt(
            f"the polygon has no area: {table.feature(flat[0])}: found all on one line, expected an area.",
            remedy="Correct or remove it.",
            code="mask-without-area",
        )
    geometries = table.geometries.copy()
    geometries[invalid] = fixed
    return replace(table, geometries=geometries), [f"{_features(table, invalid)}: crosses itself, repaired"]


def _features(table: VectorTable, rows: BoolArray) -> str:
    """Name the layer and the feature numbers of marked rows, for warnings."""
    fids = table.fids[rows].tolist()
    more = f" and {len(fids) - NAMED} more" if len(fids) > NAMED else ""
    return f"{table.place}, feature {', '.join(map(str, fids[:NAMED]))}{more}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """Meaning of N features by the fields of the schema, or by their absence."""

    noun: Literal["object", "feature"]
    """Noun for the ids in messages."""
    ids: list[str | int]
    """Name of each object, in the order of their first features."""
    owner: Indexes
    """(N,) position in `ids` of the object that the feature belongs to."""
    steps: Floats
    """(N,) whole numbers: the order within an object."""
    kinds: Indexes
    """(N,) positions in KINDS."""
    labels: PointLabels
    """(N,) 1 includes, 0 excludes."""
    granularities: list[Granularity]
    """(N,) granularities."""
    attributes: list[str]
    """The fields that are not of the schema."""


def _rows(table: VectorTable, polygons: Literal["box", "mask"]) -> tuple[_Rows, list[str]]:
    """Read the fields of the schema; also return warnings about assumptions."""
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
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}  # in the order of first features
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
        _parsed(table, "granularity", _granularity, f"one of {', '.join(GRANULARITIES)}", default="auto"),
        [name for name in table.columns if name not in schema],
    )
    return rows, notes


def _stated_kinds(table: VectorTable, by_geometry: Indexes) -> Indexes:
    """Return kinds (N,) by the field `kind`, and by the geometry where it is empty."""
    # -1 stands for a feature whose field is empty.
    stated = np.array(_parsed(table, "kind", _kind, f"one of {', '.join(KINDS)}", default=-1), np.intp)
    kinds = np.where(stated < 0, by_geometry, stated)
    wrong = np.flatnonzero((kinds == _POINT) != (by_geometry == _POINT))
    if len(wrong):
        raise PromptError(
            f"the kind does not fit the geometry: {table.feature(wrong[0], 'kind')}: found {KINDS[kinds[wrong[0]]]!r} "
            f"for a {table.geometries[wrong[0]].geom_type}, expected a point for points and a polygon for boxes and "
            "masks.",
            remedy="Correct one of them.",
            code="prompt-kind",
        )
    return kinds


def _parsed(
    table: VectorTable, field: str, meaning: Callable[[Any], Any], expected: str, default: Any = None
) -> list[Any]:
    """Return the parsed values of a field; `default` for every feature in a layer without the field.

    Args:
        table: the features.
        field: name of the field.
        meaning: function that parses one value; it raises ValueError or TypeError for a wrong one.
        expected: description of the right values, for the message.
        default: value of every feature without the field.
    """
    if field not in table.columns:
        return [default] * len(table.fids)
    parsed = []
    for row, value in enumerate(table.columns[field]):
        try:
            parsed.append(meaning(value))
        except (ValueError, TypeError, OverflowError):
            raise PromptError(
                f"a value of the prompt layer is wrong: {table.feature(row, field)}: found {value!r}, expected "
                f"{expected}.",
                remedy="Correct it, or rename the field if it is not meant for prompts.",
                code="prompt-field-value",
                field=field,
            ) from None
    return parsed


def _whole(value: Any) -> int:
    number = _number(value)
    if isinstance(number, bool) or number != int(number):  # True would pass as 1
        raise ValueError(value)
    return int(number)


def _number(value: Any) -> Any:
    """Return the value itself, or the whole number in a text: KML has no numbers."""
    return int(value) if isinstance(value, str) else value


def _name(value: Any) -> str | int:
    return value if isinstance(value, str) and value else _whole(value)


# In the next functions, `index` raises ValueError for a value that is not in the tuple; 1.0 and True equal 1.


def _label(value: Any) -> int:
    return (0, 1).index(_number(value))


def _including(value: Any) -> int:
    return (1, None).index(_number(value))  # the number is not used, only the refusal of a 0


def _kind(value: Any) -> int:
    return -1 if value is None else KINDS.index(value)


def _granularity(value: Any) -> Granularity:
    return "auto" if value is None else GRANULARITIES[GRANULARITIES.index(value)]


def _prompts(table: VectorTable, rows: _Rows, crs: CRS) -> list[Prompt]:
    """Make the prompt of each object from its features, in the order of their steps."""
    corner = shapely.bounds(table.geometries)
    # Within a step the order is fixed by place and label, so that the order of rows has no effect.
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
    box_steps, mask_steps = ({owner: rows.steps[row] for owner, row in part.items()} for part in (boxed, masked))
    first = order[np.searchsorted(rows.owner[order], np.arange(len(rows.ids)))].tolist()
    return [
        Prompt(
            name,
            crs,
            xy[start:end],
            labels[start:end],
            box_xyxy=boxes.get(number),
            mask=masks.get(number),
            granularity=rows.granularities[row],
            attributes={field: table.columns[field][row] for field in rows.attributes},
            source=f"{table.place}, {rows.noun} {name}",
            outline=outlines.get(number),
            steps=Steps.ranked(steps[start:end], box_steps.get(number), mask_steps.get(number)),
        )
        for number, (name, start, end, row) in enumerate(zip(rows.ids, [0, *ends], ends, first, strict=False))
    ]


def _only(table: VectorTable, rows: _Rows, kind: int) -> Iterator[tuple[int, int]]:
    """Return object and row of each feature of a kind; refuse an object with two of them."""
    members = np.flatnonzero(rows.kinds == kind)
    owners, counts = np.unique(rows.owner[members], return_counts=True)
    if (counts > 1).any():
        owner = owners[counts > 1][0]
        second = members[rows.owner[members] == owner][1]
        raise PromptError(
            f"an object has several {KINDS[kind]} prompts: {table.feature(second)}: found {counts.max()} for object "
            f"{rows.ids[owner]}, expected one.",
            remedy="Give each its own object_id.",
            code="prompt-several-areas",
            kind=KINDS[kind],
        )
    return zip(rows.owner[members].tolist(), members.tolist(), strict=True)
