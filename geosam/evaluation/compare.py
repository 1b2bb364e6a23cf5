"""Comparison of predicted with reference polygons: matches, over- and under-segmentation, outlines.

IoUs are computed in the CRS of the reference, because an affine map does not change them: over the size of an object,
all projections are nearly affine maps of each other. Areas and lengths are ground metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from geosam.errors import UsageError
from geosam.evaluation.outlines import arcs, near_share, to_ground
from geosam.evaluation.scores import BoundaryScore, ClassScore, Evaluation, ObjectScore, SegmentationScore
from geosam.geometry.measure import areas_perimeters
from geosam.vector.polygons import PolygonLayer, polygon_part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS

    from geosam._arrays import Floats, Geometries, Indexes, Integers


#: Default tolerance of outlines, as a share of the size (square root of the area) of the median reference object.
RELATIVE_TOLERANCE = 0.025
#: Smallest tolerance; outlines are measured at pieces of this length.
MIN_TOLERANCE_M = 0.001
#: An object counts if at least this share of its area lies where the reference is complete.
INSIDE_SHARE = 0.5
#: Rows of a table of pairs or polygons that are computed at once, which bounds the memory.
_ROWS_AT_ONCE = 20_000
#: Polygons with more vertices than this are quartered, and the quarters again, at most this many times.
_MOST_VERTICES, _MOST_QUARTERINGS = 1_000, 32


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
        predicted: polygons of a segmenter; they may overlap.
        reference: true polygons; they may overlap.
        within: area where the reference is complete. In both layers, only objects count of which at least half lies
            inside, and only the part inside is compared. The others are neither matched nor missed nor false.
        iou: smallest IoU of a match, in (0, 1].
        tolerance_m: tolerance of outlines in ground metres; by default 2.5 % of the size (square root of the area) of
            the median reference object.

    Returns:
        The scores of all objects, of each class of the reference, and of each reference object.

    Raises:
        UsageError: `iou` or `tolerance_m` is out of range.
        CRSMismatch: a layer cannot be transformed to the CRS of the reference.
    """
    if not 0 < iou <= 1:
        raise UsageError(
            f"the least IoU is out of range: `iou`: found {iou:g}, expected more than 0 and at most 1.",
            remedy="Use `iou=0.5`.",
            code="iou-out-of-range",
            iou=iou,
        )
    if tolerance_m is not None and not MIN_TOLERANCE_M <= tolerance_m < math.inf:
        raise UsageError(
            f"the tolerance is out of range: `tolerance_m`: found {tolerance_m:g} metres, expected at least "
            f"{MIN_TOLERANCE_M:g}.",
            remedy="Leave it out for the default.",
            code="tolerance-out-of-range",
            tolerance_m=tolerance_m,
        )
    area = None if within is None else shapely.union_all(within.to_crs(reference.crs).polygons)
    objects, truth = _Objects.of(predicted.to_crs(reference.crs), area), _Objects.of(reference, area)
    layers = [layer for layer in (predicted, reference, within) if layer is not None]
    return _scores(objects, truth, iou, tolerance_m, [note for layer in layers for note in layer.notes])


def _scores(objects: _Objects, truth: _Objects, iou: float, tolerance_m: float | None, notes: list[str]) -> Evaluation:
    pairs = _overlaps(objects.polygons, truth.polygons)
    matches, best = _matching(pairs, iou), _best_of_reference(pairs)
    best_iou = np.zeros(len(truth))
    best_iou[pairs.reference[best]] = pairs.iou[best]
    objects_m2, truth_m2 = objects.areas_m2(), truth.areas_m2()
    if tolerance_m is None:
        sizes = np.sqrt(truth_m2 if len(truth) else objects_m2)
        tolerance_m = max(MIN_TOLERANCE_M, RELATIVE_TOLERANCE * float(np.median(sizes))) if len(sizes) else 1.0
    return Evaluation(
        predicted=len(objects),
        reference=len(truth),
        iou=iou,
        matched=len(matches),
        parts=_parts(pairs, matches, len(objects)),
        precision=_ratio(len(matches), len(objects)),
        recall=_ratio(len(matches), len(truth)),
        f1=_ratio(2 * len(matches), len(objects) + len(truth)),
        mean_iou_matched=_mean(pairs.iou[matches]),
        mean_iou_reference=_mean(best_iou),
        segmentation=_segmentation(pairs, best),
        boundary=_boundary(objects, truth, tolerance_m),
        predicted_area_m2=float(objects_m2.sum()),
        reference_area_m2=float(truth_m2.sum()),
        classes=_by_class(truth, best_iou, pairs, matches),
        objects=_by_object(objects, truth, best_iou, pairs, matches),
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Objects:
    """N objects of a layer that count, clipped to the area where the reference is complete."""

    polygons: Geometries
    """(N,) polygons."""
    outlines: Geometries
    """(N,) outlines inside the area, without the cut along its border."""
    ids: Integers
    """(N,) numbers in the layer."""
    classes: NDArray[np.object_] | None
    """(N,) class names."""
    crs: CRS
    """CRS of the coordinates, that of the reference."""

    def __len__(self) -> int:
        return len(self.polygons)

    def areas_m2(self) -> Floats:
        """Compute the areas (N,) on the ground."""
        batches = np.array_split(self.polygons, 1 + len(self) // _ROWS_AT_ONCE)  # each vertex takes a hundred bytes
        return np.concatenate([areas_perimeters(polygons, self.crs)[0] for polygons in batches])

    @classmethod
    def of(cls, layer: PolygonLayer, area: Any | None) -> _Objects:
        polygons, outlines = layer.polygons.copy(), shapely.boundary(layer.polygons)
        counted = np.ones(len(layer), bool)
        if area is not None:
            shapely.prepare(area)
            cut = ~shapely.covers(area, polygons)
            polygons[cut] = polygon_part(shapely.intersection(polygons[cut], area))
            outlines[cut] = shapely.intersection(outlines[cut], area)
            counted = shapely.area(polygons) >= INSIDE_SHARE * shapely.area(layer.polygons)
        classes = None if layer.classes is None else np.array(layer.classes, object)[counted]
        return cls(polygons[counted], outlines[counted], layer.ids[counted], classes, layer.crs)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """P pairs of a predicted and a reference object that share area."""

    predicted: Indexes
    """(P,) rows of the predicted objects."""
    reference: Indexes
    """(P,) rows of the reference objects."""
    iou: Floats
    """(P,) intersection over union."""
    of_predicted: Floats
    """(P,) intersection over the predicted object's area."""
    of_reference: Floats
    """(P,) intersection over the reference object's area."""


def _overlaps(predicted: Geometries, reference: Geometries) -> _Pairs:
    """Find all pairs of a predicted (N,) and a reference object (M,) that share area."""
    parts, owner = _small_parts(predicted)
    other_parts, other_owner = _small_parts(reference)
    meeting = shapely.STRtree(other_parts).query(parts, predicate="intersects")
    common = np.zeros(meeting.shape[1])
    for start in range(0, len(common), _ROWS_AT_ONCE):
        rows, others = meeting[:, start : start + _ROWS_AT_ONCE]
        common[start : start + len(rows)] = shapely.area(shapely.intersection(parts[rows], other_parts[others]))
    # One number for each pair of objects; the common areas of its parts are added up.
    keys = owner[meeting[0]] * max(len(reference), 1) + other_owner[meeting[1]]
    keys, inverse = np.unique(keys[common > 0], return_inverse=True)
    common = np.bincount(inverse, weights=common[common > 0], minlength=len(keys))
    rows, others = np.divmod(keys, max(len(reference), 1))
    areas, other_areas = shapely.area(predicted)[rows], shapely.area(reference)[others]
    common = np.minimum(common, np.minimum(areas, other_areas))  # rounding must not make a share exceed 1
    return _Pairs(rows, others, common / (areas + other_areas - common), common / areas, common / other_areas)


def _small_parts(polygons: Geometries) -> tuple[Geometries, Indexes]:
    """Quarter the polygons until no part has many vertices.

    Otherwise a background with a hundred thousand holes would be intersected as a whole with every object in it.

    Returns:
        The parts, and the row of the polygon that each part comes from.
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


def _matching(pairs: _Pairs, threshold: float) -> Indexes:
    """Find the one-to-one matching of greatest total IoU among pairs that reach the threshold.

    Returns:
        Rows of its pairs.
    """
    good = np.flatnonzero(pairs.iou >= threshold)
    predicted, reference = pairs.predicted[good], pairs.reference[good]
    # Almost all pairs have no rival and need no choice; the time of an assignment is more than linear.
    alone = (np.bincount(predicted)[predicted] == 1) & (np.bincount(reference)[reference] == 1)
    contested = good[~alone]
    return np.sort(np.concatenate([good[alone], contested[_assignment(pairs, contested)]]))


def _assignment(pairs: _Pairs, contested: Indexes) -> Indexes:
    """Choose among contested pairs so that the total IoU is greatest.

    Returns:
        Positions of the chosen pairs in `contested`.
    """
    if not len(contested):
        return contested
    # A full matching must exist, so every predicted object also gets a partner of its own, of IoU 0.
    names, rows = np.unique(pairs.predicted[contested], return_inverse=True)
    others, cols = np.unique(pairs.reference[contested], return_inverse=True)
    every, shape = np.arange(len(names)), (len(names), len(others) + len(names))
    costs = np.concatenate([2 - pairs.iou[contested], np.full(len(names), 2.0)])
    places = (np.concatenate([rows, every]), np.concatenate([cols, len(others) + every]))
    chosen = min_weight_full_bipartite_matching(coo_array((costs, places), shape=shape).tocsr())[1]
    return np.flatnonzero(chosen[rows] == cols)


def _best_of_reference(pairs: _Pairs) -> Indexes:
    """Return the pair of best IoU of each reference object; of equal ones, that of the first predicted object."""
    order = np.lexsort((pairs.predicted, -pairs.iou, pairs.reference))
    return order[np.unique(pairs.reference[order], return_index=True)[1]]


def _segmentation(pairs: _Pairs, best: Indexes) -> SegmentationScore:
    over, under = 1 - pairs.of_reference[best], 1 - pairs.of_predicted[best]
    return SegmentationScore(_mean(over), _mean(under), _mean(np.sqrt((over**2 + under**2) / 2)))


def _parts(pairs: _Pairs, matches: Indexes, predicted: int) -> int:
    """Count the unmatched predicted objects that lie by at least half in one reference object."""
    is_part = np.zeros(predicted, bool)
    is_part[pairs.predicted[pairs.of_predicted >= INSIDE_SHARE]] = True
    is_part[pairs.predicted[matches]] = False
    return int(is_part.sum())


def _by_class(truth: _Objects, best_iou: Floats, pairs: _Pairs, matches: Indexes) -> dict[str, ClassScore]:
    if truth.classes is None:
        return {}
    iou = np.full(len(truth), np.nan)  # NaN: not matched
    iou[pairs.reference[matches]] = pairs.iou[matches]
    scores = {}
    for name in sorted(set(truth.classes)):
        rows = truth.classes == name
        matched_iou = iou[rows & ~np.isnan(iou)]
        scores[name] = ClassScore(
            reference=int(rows.sum()),
            matched=len(matched_iou),
            recall=len(matched_iou) / int(rows.sum()),
            mean_iou=float(best_iou[rows].mean()),
            mean_iou_matched=_mean(matched_iou),
        )
    return scores


def _by_object(
    objects: _Objects, truth: _Objects, best_iou: Floats, pairs: _Pairs, matches: Indexes
) -> tuple[ObjectScore, ...]:
    partner = dict(zip(pairs.reference[matches].tolist(), objects.ids[pairs.predicted[matches]].tolist(), strict=True))
    scores = zip(truth.ids.tolist(), best_iou.tolist(), strict=True)
    return tuple(ObjectScore(name, partner.get(row), value) for row, (name, value) in enumerate(scores))


def _boundary(objects: _Objects, truth: _Objects, tolerance: float) -> BoundaryScore:
    ground = to_ground(truth.crs, np.append(objects.outlines, truth.outlines))
    predicted, reference = arcs(objects.outlines, ground), arcs(truth.outlines, ground)
    precision = near_share(predicted, reference, tolerance)
    recall = near_share(reference, predicted, tolerance)
    if precision is None or recall is None:
        return BoundaryScore(precision, recall, None, tolerance)
    return BoundaryScore(precision, recall, _ratio(2 * precision * recall, precision + recall) or 0.0, tolerance)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
