"""Predicted against reference polygons: who found whom, how well, and how true the outlines are.

Predicted polygons are brought into the reference's CRS, where intersections over unions are taken (an affine map does
not change them, so no projection is better than another for objects of ordinary size). Areas, lengths and the
tolerance of outlines are ground metres, taken in an equal-area projection around the middle of the layers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from geosam.errors import UsageError
from geosam.evaluation.outlines import arcs, near_share, to_ground
from geosam.geometry.measure import areas_perimeters
from geosam.vector.polygons import PolygonLayer, polygon_part, read_polygons

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]
    Geometries = NDArray[np.object_]

__all__ = [
    "BoundaryScore",
    "ClassScore",
    "Evaluation",
    "ObjectScore",
    "SegmentationScore",
    "evaluate",
    "read_polygons",
]

#: Tolerance of outlines unless given: a share of the size (square root of the area) of the median reference object.
RELATIVE_TOLERANCE = 0.025
#: Smallest tolerance; outlines are measured at pieces of its length.
MIN_TOLERANCE_M = 0.001
#: An object is judged when at least this share of its area lies where the reference is complete.
INSIDE_SHARE = 0.5
_ROWS_AT_ONCE = 20_000
_MOST_VERTICES = 1_000
_MOST_QUARTERINGS = 32


@dataclass(frozen=True)
class SegmentationScore:
    """How objects are split and merged, after Clinton et al. 2010 (doi:10.14358/PERS.76.3.289).

    Means over the reference objects x that share area with a predicted one; y is the predicted object of best IoU.
    """

    over: float | None
    """Mean of 1 - |x & y| / |x|: how much of x its counterpart leaves to others."""
    under: float | None
    """Mean of 1 - |x & y| / |y|: how much of its counterpart is not x."""
    error: float | None
    """Mean of the root mean square of the two (D in the paper)."""


@dataclass(frozen=True)
class BoundaryScore:
    """How well outlines agree, in the manner of Martin et al. 2004 (doi:10.1109/TPAMI.2004.1273918)."""

    precision: float | None
    """Share of the length of the predicted outlines that lies within the tolerance of a reference outline."""
    recall: float | None
    """Share of the length of the reference outlines that lies within the tolerance of a predicted outline."""
    f1: float | None
    """Harmonic mean of the two."""
    tolerance_m: float
    """The tolerance in ground metres."""


@dataclass(frozen=True)
class ClassScore:
    """How the reference objects of one class fared."""

    reference: int
    """Their number."""
    recall: float
    """Share of them that a predicted object was matched to."""
    mean_iou: float
    """Mean of the best IoU any predicted object reaches with each of them, 0 where none does."""


@dataclass(frozen=True)
class ObjectScore:
    """How one reference object fared."""

    id: int
    """Its number in the reference layer."""
    matched_id: int | None
    """Number of the predicted object it was matched to."""
    best_iou: float
    """Best IoU any predicted object reaches with it, 0 where none does."""


@dataclass(frozen=True)
class Evaluation:
    """The agreement of two layers; a number that is undefined (a share or mean of nothing) is None."""

    predicted: int
    """Number of predicted objects judged."""
    reference: int
    """Number of reference objects judged."""
    iou: float
    """IoU that a pair needs to be a match."""
    matched: int
    """Number of pairs in the one-to-one matching of greatest total IoU."""
    precision: float | None
    """Share of the predicted objects that are matched."""
    recall: float | None
    """Share of the reference objects that are matched."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    mean_iou_matched: float | None
    """Mean IoU of the matched pairs."""
    mean_iou_reference: float | None
    """Mean over all reference objects of the best IoU any predicted object reaches, 0 where none does."""
    segmentation: SegmentationScore
    """Over- and under-segmentation."""
    boundary: BoundaryScore
    """Agreement of the outlines."""
    predicted_area_m2: float
    """Sum of the areas of the predicted objects judged; what two of them share counts twice."""
    reference_area_m2: float
    """Sum of the areas of the reference objects judged."""
    classes: dict[str, ClassScore]
    """By class, where the reference layer has a column `class`."""
    objects: tuple[ObjectScore, ...] = field(repr=False)
    """By reference object, in the layer's order."""
    notes: tuple[str, ...]
    """What was repaired or skipped."""

    def to_json(self, *, objects: bool = False) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries; with `objects` the table of reference objects as well."""
        return {key: value for key, value in asdict(self).items() if objects or key != "objects"}


def evaluate(
    predicted: PolygonLayer,
    reference: PolygonLayer,
    *,
    within: PolygonLayer | None = None,
    iou: float = 0.5,
    tolerance_m: float | None = None,
) -> Evaluation:
    """Compare two layers of polygons.

    Args:
        predicted: What a segmenter found; its polygons may overlap.
        reference: What is there; its polygons may overlap.
        within: Where the reference is complete. Of both layers the objects of which at least half lies inside are
            judged, each by its part inside; the others are neither found nor missed nor false.
        iou: Smallest IoU of a match, in (0, 1].
        tolerance_m: Tolerance of outlines in ground metres; by default 2.5 % of the median reference object's size.

    Raises:
        UsageError: `iou` or `tolerance_m` is out of range.
        CRSMismatch: the layers cannot be brought into one CRS.
    """
    if not 0 < iou <= 1:
        raise UsageError(f"--iou is out of range: found {iou:g}, wanted more than 0 and at most 1. Use 0.5, say.")
    if tolerance_m is not None and not MIN_TOLERANCE_M <= tolerance_m < math.inf:
        raise UsageError(
            f"--tolerance is out of range: found {tolerance_m:g} metres, wanted at least {MIN_TOLERANCE_M:g}. "
            "Leave it out for the default."
        )
    area = None if within is None else shapely.union_all(within.to_crs(reference.crs).polygons)
    found, wanted = _Judged.of(predicted.to_crs(reference.crs), area), _Judged.of(reference, area)
    layers = [layer for layer in (predicted, reference, within) if layer is not None]
    return _scores(found, wanted, iou, tolerance_m, [note for layer in layers for note in layer.notes])


def _scores(found: _Judged, wanted: _Judged, iou: float, tolerance_m: float | None, notes: list[str]) -> Evaluation:
    pairs = _overlaps(found.polygons, wanted.polygons)
    matches, best = _matching(pairs, iou), _best_of_reference(pairs)
    best_iou = np.zeros(len(wanted))
    best_iou[pairs.reference[best]] = pairs.iou[best]
    found_m2, wanted_m2 = found.areas_m2(), wanted.areas_m2()
    if tolerance_m is None:
        sizes = np.sqrt(wanted_m2 if len(wanted) else found_m2)
        tolerance_m = max(MIN_TOLERANCE_M, RELATIVE_TOLERANCE * float(np.median(sizes))) if len(sizes) else 1.0
    return Evaluation(
        predicted=len(found),
        reference=len(wanted),
        iou=iou,
        matched=len(matches),
        precision=_ratio(len(matches), len(found)),
        recall=_ratio(len(matches), len(wanted)),
        f1=_ratio(2 * len(matches), len(found) + len(wanted)),
        mean_iou_matched=_mean(pairs.iou[matches]),
        mean_iou_reference=_mean(best_iou),
        segmentation=_segmentation(pairs, best),
        boundary=_boundary(found, wanted, tolerance_m),
        predicted_area_m2=float(found_m2.sum()),
        reference_area_m2=float(wanted_m2.sum()),
        classes=_by_class(wanted, best_iou, pairs.reference[matches]),
        objects=_by_object(found, wanted, best_iou, pairs, matches),
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """The N objects of a layer that are judged, clipped to the area where the reference is complete."""

    polygons: Geometries
    """(N,) polygons."""
    outlines: Geometries
    """(N,) the parts of their outlines inside the area; not the cut along its border."""
    ids: NDArray[np.int64]
    """(N,) numbers in the layer."""
    classes: NDArray[np.object_] | None
    """(N,) class names."""
    crs: CRS
    """The CRS of the coordinates, that of the reference."""

    def __len__(self) -> int:
        return len(self.polygons)

    def areas_m2(self) -> Floats:
        """(N,) areas on the ground."""
        some = np.array_split(self.polygons, 1 + len(self) // _ROWS_AT_ONCE)  # each vertex takes a hundred bytes
        return np.concatenate([areas_perimeters(polygons, self.crs)[0] for polygons in some])

    @classmethod
    def of(cls, layer: PolygonLayer, area: Any | None) -> _Judged:
        polygons, outlines = layer.polygons.copy(), shapely.boundary(layer.polygons)
        judged = np.ones(len(layer), bool)
        if area is not None:
            shapely.prepare(area)
            cut = ~shapely.covers(area, polygons)
            polygons[cut] = polygon_part(shapely.intersection(polygons[cut], area))
            outlines[cut] = shapely.intersection(outlines[cut], area)
            judged = shapely.area(polygons) >= INSIDE_SHARE * shapely.area(layer.polygons)
        classes = None if layer.classes is None else np.array(layer.classes, object)[judged]
        return cls(polygons[judged], outlines[judged], layer.ids[judged], classes, layer.crs)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The P pairs of a predicted and a reference object that share area."""

    predicted: Rows
    """(P,) rows of the predicted objects."""
    reference: Rows
    """(P,) rows of the reference objects."""
    iou: Floats
    """(P,) intersection over union."""
    of_predicted: Floats
    """(P,) intersection over the predicted object's area."""
    of_reference: Floats
    """(P,) intersection over the reference object's area."""


def _overlaps(predicted: Geometries, reference: Geometries) -> _Pairs:
    parts, owner = _small_parts(predicted)
    other_parts, other_owner = _small_parts(reference)
    found = shapely.STRtree(other_parts).query(parts, predicate="intersects")
    common = np.zeros(found.shape[1])
    for start in range(0, len(common), _ROWS_AT_ONCE):
        rows, others = found[:, start : start + _ROWS_AT_ONCE]
        common[start : start + len(rows)] = shapely.area(shapely.intersection(parts[rows], other_parts[others]))
    keys = owner[found[0]] * max(len(reference), 1) + other_owner[found[1]]
    keys, inverse = np.unique(keys[common > 0], return_inverse=True)
    common = np.bincount(inverse, weights=common[common > 0], minlength=len(keys))
    rows, others = np.divmod(keys, max(len(reference), 1))
    areas, other_areas = shapely.area(predicted)[rows], shapely.area(reference)[others]
    common = np.minimum(common, np.minimum(areas, other_areas))  # rounding must not make a share exceed 1
    return _Pairs(rows, others, common / (areas + other_areas - common), common / areas, common / other_areas)


def _small_parts(polygons: Geometries) -> tuple[Geometries, Rows]:
    """The polygons quartered until no part has many vertices, and the row each part comes from.

    A background with a hundred thousand holes would otherwise be gone through once for every object in it.
    """
    parts, owner = polygons, np.arange(len(polygons))
    for _ in range(_MOST_QUARTERINGS):
        large = shapely.get_num_coordinates(parts) > _MOST_VERTICES
        if not large.any():
            break
        xmin, ymin, xmax, ymax = shapely.bounds(parts[large]).T
        x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
        quarters = [(xmin, ymin, x, y), (x, ymin, xmax, y), (xmin, y, x, ymax), (x, y, xmax, ymax)]
        pieces = [polygon_part(shapely.intersection(parts[large], shapely.box(*quarter))) for quarter in quarters]
        kept = [~shapely.is_empty(piece) for piece in pieces]
        owners = [owner[large][rows] for rows in kept]
        owner = np.concatenate([owner[~large], *owners])
        parts = np.concatenate([parts[~large], *(piece[rows] for piece, rows in zip(pieces, kept, strict=True))])
    return parts, owner


def _matching(pairs: _Pairs, threshold: float) -> Rows:
    """Rows of the pairs of the one-to-one matching of greatest total IoU among those that reach the threshold."""
    good = np.flatnonzero(pairs.iou >= threshold)
    predicted, reference = pairs.predicted[good], pairs.reference[good]
    alone = (np.bincount(predicted)[predicted] == 1) & (np.bincount(reference)[reference] == 1)
    contested = good[~alone]
    return np.sort(np.concatenate([good[alone], contested[_assignment(pairs, contested)]]))


def _assignment(pairs: _Pairs, contested: Rows) -> Rows:
    """Which of the contested pairs to keep; every predicted object may also stay alone, at the cost of IoU 0."""
    if not len(contested):
        return contested
    names, rows = np.unique(pairs.predicted[contested], return_inverse=True)
    others, cols = np.unique(pairs.reference[contested], return_inverse=True)
    every, shape = np.arange(len(names)), (len(names), len(others) + len(names))
    costs = np.concatenate([2 - pairs.iou[contested], np.full(len(names), 2.0)])
    places = (np.concatenate([rows, every]), np.concatenate([cols, len(others) + every]))
    chosen = min_weight_full_bipartite_matching(coo_array((costs, places), shape=shape).tocsr())[1]
    return np.flatnonzero(chosen[rows] == cols)


def _best_of_reference(pairs: _Pairs) -> Rows:
    """The pair of best IoU of every reference object that has one; of equals, that of the first predicted object."""
    order = np.lexsort((pairs.predicted, -pairs.iou, pairs.reference))
    return order[np.unique(pairs.reference[order], return_index=True)[1]]


def _segmentation(pairs: _Pairs, best: Rows) -> SegmentationScore:
    over, under = 1 - pairs.of_reference[best], 1 - pairs.of_predicted[best]
    return SegmentationScore(_mean(over), _mean(under), _mean(np.sqrt((over**2 + under**2) / 2)))


def _by_class(wanted: _Judged, best_iou: Floats, matched: Rows) -> dict[str, ClassScore]:
    if wanted.classes is None:
        return {}
    is_matched = np.isin(np.arange(len(wanted)), matched)
    rows_of = {name: wanted.classes == name for name in sorted(set(wanted.classes))}
    return {
        name: ClassScore(int(rows.sum()), float(is_matched[rows].mean()), float(best_iou[rows].mean()))
        for name, rows in rows_of.items()
    }


def _by_object(
    found: _Judged, wanted: _Judged, best_iou: Floats, pairs: _Pairs, matches: Rows
) -> tuple[ObjectScore, ...]:
    partner = dict(zip(pairs.reference[matches].tolist(), found.ids[pairs.predicted[matches]].tolist(), strict=True))
    scores = zip(wanted.ids.tolist(), best_iou.tolist(), strict=True)
    return tuple(ObjectScore(name, partner.get(row), value) for row, (name, value) in enumerate(scores))


def _boundary(found: _Judged, wanted: _Judged, tolerance: float) -> BoundaryScore:
    ground = to_ground(wanted.crs, np.append(found.outlines, wanted.outlines))
    found_arcs, wanted_arcs = arcs(found.outlines, ground), arcs(wanted.outlines, ground)
    precision = near_share(found_arcs, wanted_arcs, tolerance)
    recall = near_share(wanted_arcs, found_arcs, tolerance)
    if precision is None or recall is None:
        return BoundaryScore(precision, recall, None, tolerance)
    return BoundaryScore(precision, recall, _ratio(2 * precision * recall, precision + recall) or 0.0, tolerance)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
