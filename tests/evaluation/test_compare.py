import itertools
import json
import math

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.affinity import translate
from shapely.geometry import Polygon, box

from geosam.errors import CRSMismatch, UsageError
from geosam.evaluation.compare import evaluate
from geosam.vector.polygons import PolygonLayer, read_polygons

UTM = CRS.from_epsg(32633)
X, Y = 450_000, 5_000_000


def layer(*polygons, crs=UTM, classes=None):
    return PolygonLayer.of([translate(p, X, Y) for p in polygons], crs, classes)


def squares(*offsets, size=10):
    return [box(x, y, x + size, y + size) for x, y in offsets]


cells = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))
layers_of_boxes = st.lists(cells.map(lambda c: box(c[0], c[1], c[0] + c[2], c[1] + c[3])), max_size=5)


def table_of_iou(predicted, reference):
    areas = [[p.intersection(r).area for r in reference] for p in predicted]
    return [
        [a / (p.area + r.area - a) for a, r in zip(row, reference, strict=True)]
        for row, p in zip(areas, predicted, strict=True)
    ]


def best_total(iou, threshold, rows, cols):
    """Greatest total IoU over every one-to-one matching, by trying them all."""
    best = 0.0
    for size in range(min(rows, cols) + 1):
        for chosen in itertools.combinations(range(rows), size):
            for partners in itertools.permutations(range(cols), size):
                values = [iou[p][r] for p, r in zip(chosen, partners, strict=True)]
                if all(v >= threshold for v in values):
                    best = max(best, sum(values))
    return best


@settings(max_examples=60, deadline=None)
@given(layers_of_boxes, layers_of_boxes, st.sampled_from([0.05, 0.2, 0.5, 0.8, 1.0]))
def test_matching_and_scores_equal_brute_force(predicted, reference, threshold):
    found = evaluate(layer(*predicted), layer(*reference), iou=threshold)
    iou = table_of_iou(predicted, reference)
    total = best_total(iou, threshold, len(predicted), len(reference))
    assert (found.mean_iou_matched or 0) * found.matched == pytest.approx(total)
    assert found.precision == (found.matched / len(predicted) if predicted else None)
    assert found.recall == (found.matched / len(reference) if reference else None)
    assert [o.best_iou for o in found.objects] == pytest.approx(
        [max((row[r] for row in iou), default=0) for r in range(len(reference))]
    )
    over, under = [], []
    for r, target in enumerate(reference):
        column = [row[r] for row in iou]
        if max(column, default=0) > 0:
            common = predicted[int(np.argmax(column))].intersection(target).area
            over.append(1 - common / target.area)
            under.append(1 - common / predicted[int(np.argmax(column))].area)
    if over:
        assert found.segmentation.over == pytest.approx(np.mean(over))
        assert found.segmentation.under == pytest.approx(np.mean(under))
        assert found.segmentation.error == pytest.approx(np.mean(np.hypot(over, under) / math.sqrt(2)))
    else:
        assert found.segmentation.error is None


def test_every_match_is_one_to_one_and_named():
    reference = layer(*squares((0, 0), (30, 0)))
    predicted = layer(*squares((31, 0), (1, 0), (0, 1), (80, 80)))
    found = evaluate(predicted, reference)
    assert (found.matched, found.precision, found.recall, found.f1) == (2, 0.5, 1.0, pytest.approx(2 / 3))
    assert [o.matched_id for o in found.objects] in ([1, 0], [2, 0])
    assert found.mean_iou_matched == pytest.approx(90 / 110)


def test_the_greatest_total_wins_over_the_greedy_choice():
    """Greedy would take the best pair (0.8) and leave the others with nothing."""
    a, b = box(0, 0, 10, 10), box(2, 0, 12, 10)
    predicted = [box(1, 0, 11, 10), box(-2, 0, 8, 10)]
    iou = table_of_iou(predicted, [a, b])
    found = evaluate(layer(*predicted), layer(a, b), iou=0.5)
    assert found.matched == 2
    assert found.mean_iou_matched * 2 == pytest.approx(best_total(iou, 0.5, 2, 2))


def test_split_and_merged_objects_have_their_own_numbers():
    roof = box(0, 0, 20, 20)
    quarters = squares((0, 0), (10, 0), (0, 10), (10, 10))
    split = evaluate(layer(*quarters), layer(roof))
    assert (split.segmentation.over, split.segmentation.under) == pytest.approx((0.75, 0))
    merged = evaluate(layer(roof), layer(*quarters))
    assert (merged.segmentation.over, merged.segmentation.under) == pytest.approx((0, 0.75))
    assert merged.segmentation.error == pytest.approx(0.75 / math.sqrt(2))


def test_classes_are_told_apart():
    reference = layer(*squares((0, 0), (30, 0), (60, 0)), classes=["house", "tree", "house"])
    found = evaluate(layer(*squares((0, 0))), reference)
    assert found.classes["house"].reference == 2
    assert (found.classes["house"].recall, found.classes["tree"].recall) == (0.5, 0)
    assert found.classes["house"].mean_iou == pytest.approx(0.5)


def test_empty_layers_have_undefined_numbers_and_no_crash():
    one, none = layer(box(0, 0, 10, 10)), layer()
    nothing_found = evaluate(none, one)
    assert (nothing_found.precision, nothing_found.recall, nothing_found.f1) == (None, 0, 0)
    assert (nothing_found.mean_iou_reference, nothing_found.boundary.recall, nothing_found.boundary.precision) == (
        0,
        0,
        None,
    )
    nothing_there = evaluate(one, none)
    assert (nothing_there.precision, nothing_there.recall, nothing_there.f1) == (0, None, 0)
    assert nothing_there.boundary.tolerance_m == pytest.approx(0.25, rel=1e-3)
    assert evaluate(one, none, tolerance_m=1).boundary.precision == 0
    both = evaluate(none, none)
    assert (both.precision, both.recall, both.f1, both.mean_iou_matched) == (None,) * 4
    assert json.loads(json.dumps(both.to_json(objects=True)))["predicted"] == 0


def test_the_json_has_the_table_of_objects_on_request():
    found = evaluate(layer(box(0, 0, 10, 10)), layer(box(0, 0, 10, 10)))
    plain = json.loads(json.dumps(found.to_json()))
    assert "objects" not in plain
    assert plain["boundary"]["f1"] == 1
    assert json.loads(json.dumps(found.to_json(objects=True)))["objects"] == [
        {"id": 0, "matched_id": 0, "best_iou": 1.0}
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"iou": 0}, "`iou`"),
        ({"iou": 1.5}, "`iou`"),
        ({"tolerance_m": -1}, "`tolerance_m`"),
        ({"tolerance_m": math.nan}, "`tolerance_m`"),
    ],
)
def test_options_out_of_range_are_refused(options, named):
    with pytest.raises(UsageError, match=named):
        evaluate(layer(), layer(), **options)


# ---- CRS and ground metres ----


def reprojected(source, crs):
    move = Transformer.from_crs(source.crs, crs, always_xy=True)
    return PolygonLayer.of(shapely.transform(source.polygons, move.transform, interleaved=False), crs, source.classes)


@pytest.mark.parametrize("crs", [4326, 3857, 3035], ids=str)
def test_scores_do_not_depend_on_the_crs_of_either_layer(crs):
    reference = layer(*squares((0, 0), (30, 5), (60, 9)))
    predicted = layer(*squares((1, 1), (31, 6), (64, 9)))
    expected = evaluate(predicted, reference, tolerance_m=2)
    for mixed in ((reprojected(predicted, crs), reference), (predicted, reprojected(reference, crs))):
        found = evaluate(*mixed, tolerance_m=2)
        assert found.matched == expected.matched
        assert found.mean_iou_matched == pytest.approx(expected.mean_iou_matched, rel=1e-4)
        assert found.boundary.f1 == pytest.approx(expected.boundary.f1, abs=0.02)
        assert found.reference_area_m2 == pytest.approx(expected.reference_area_m2, rel=1e-6)


def test_areas_are_geodesic_where_web_mercator_is_four_times_too_large():
    lon, lat, step = 25.0, 60.0, 1e-3
    ring = [(lon, lat), (lon + step, lat), (lon + step, lat + step), (lon, lat + step)]
    move = Transformer.from_crs(4326, 3857, always_xy=True)
    square = Polygon([move.transform(*xy) for xy in ring])
    found = evaluate(PolygonLayer.of([], 3857), PolygonLayer.of([square], 3857))
    expected = abs(Geod(ellps="WGS84").geometry_area_perimeter(Polygon(ring))[0])
    assert found.reference_area_m2 == pytest.approx(expected, rel=1e-6)
    assert square.area > 3.9 * expected


def test_the_boundary_tolerance_is_in_ground_metres():
    """At 60 degrees north, 1.5 m in web Mercator are 0.75 m on the ground."""
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(25, 60)
    wide, shifted = box(x, y, x + 400, y + 400), box(x + 1.5, y, x + 401.5, y + 400)
    pair = PolygonLayer.of([shifted], 3857), PolygonLayer.of([wide], 3857)
    assert evaluate(*pair, tolerance_m=0.8).boundary.recall == pytest.approx(1)
    assert evaluate(*pair, tolerance_m=0.7).boundary.recall == pytest.approx(0.5, abs=0.01)


def test_layers_of_one_local_crs_are_compared_in_its_unit():
    feet = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    plain = PolygonLayer.of([box(0, 0, 10, 10)], feet)
    found = evaluate(plain, plain)
    assert found.matched == 1
    assert found.reference_area_m2 == pytest.approx(100 * 0.3048**2)
    assert found.boundary.tolerance_m == pytest.approx(0.025 * 10 * 0.3048)
    with pytest.raises(CRSMismatch, match="memory"):
        evaluate(plain, layer(box(0, 0, 10, 10)))


# ---- outlines ----


def near_length(line, other, tolerance):
    return line.intersection(other.buffer(tolerance, quad_segs=64)).length


shapes = st.lists(
    cells.map(lambda c: translate(box(0, 0, c[2] * 7, c[3] * 5), c[0] * 9, c[1] * 9)), min_size=1, max_size=4
)


@settings(max_examples=25, deadline=None)
@given(shapes, shapes, st.integers(0, 5).map(lambda whole: whole + 0.37))
def test_boundary_scores_equal_buffers(predicted, reference, tolerance):
    found = evaluate(layer(*predicted), layer(*reference), tolerance_m=tolerance).boundary
    outlines = [[p.exterior for p in side] for side in (predicted, reference)]
    for score, mine, theirs in ((found.precision, *outlines), (found.recall, *outlines[::-1])):
        near = sum(near_length(line, shapely.union_all(theirs), tolerance) for line in mine)
        whole = sum(line.length for line in mine)
        ends = 16 * len(mine) * len(theirs)  # each end of a near part may be off by half the tolerance
        assert abs(score - near / whole) <= ends * tolerance / 2 / whole + 1e-3


def test_outlines_of_many_segments_are_measured_whole():
    turn = np.linspace(0, 2 * np.pi, 5_001)
    disc = Polygon(np.stack([50 * np.cos(turn), 50 * np.sin(turn)], axis=1))
    found = evaluate(layer(disc), layer(disc.buffer(0.5)), tolerance_m=0.6).boundary
    assert (found.precision, found.recall) == (1, 1)
    apart = evaluate(layer(disc), layer(disc.buffer(0.5)), tolerance_m=0.4).boundary
    assert (apart.precision, apart.recall, apart.f1) == (0, 0, 0)


# ---- large polygons ----


def test_a_background_with_many_holes_is_compared_exactly():
    holes = squares(*itertools.product(range(0, 600, 20), range(0, 600, 20)))
    background = box(-10, -10, 610, 610).difference(shapely.union_all(holes))
    assert shapely.get_num_coordinates(background) > 4_000
    shifted = [translate(hole, 4, 0) for hole in holes]
    found = evaluate(layer(background, *holes), layer(background, *shifted))
    assert found.matched == 1  # the shifted squares reach 60 / 140
    assert found.objects[0].best_iou == pytest.approx(1)
    table = table_of_iou([background, holes[5]], [shifted[5]])
    assert found.objects[6].best_iou == pytest.approx(max(row[0] for row in table))


# ---- where the reference is complete ----


def test_only_objects_at_least_half_inside_are_judged():
    area = layer(box(0, 0, 100, 100))
    reference = layer(*squares((10, 10), (95, 10), (96, 30), (200, 0)))
    predicted = layer(*squares((10, 10), (95, 10), (96, 30), (300, 0), (50, 50)))
    found = evaluate(predicted, reference, within=area)
    assert (found.reference, found.predicted, found.matched) == (2, 3, 2)
    assert [o.id for o in found.objects] == [0, 1]


def test_judged_objects_count_by_their_part_inside():
    area = layer(box(0, 0, 100, 100))
    reference, predicted = layer(box(80, 0, 110, 10)), layer(box(80, 0, 130, 10))
    assert evaluate(predicted, reference).mean_iou_matched == pytest.approx(30 / 50)
    judged = evaluate(layer(box(80, 0, 118, 10)), reference, within=area)
    assert judged.mean_iou_matched == 1
    assert judged.reference_area_m2 == pytest.approx(200, rel=1e-3)
    assert evaluate(predicted, reference, within=area).predicted == 0


def test_the_cut_along_the_area_is_no_outline():
    area, cut = layer(box(0, 0, 100, 100)), 110
    far = evaluate(layer(box(60, 20, cut, 80)), layer(box(70, 30, cut, 70)), within=area, tolerance_m=1)
    assert far.boundary.precision == far.boundary.recall == 0


def test_the_area_may_have_any_crs_and_several_polygons():
    reference = layer(*squares((10, 10), (40, 10), (70, 10)))
    areas = reprojected(layer(box(0, 0, 30, 30), box(60, 0, 90, 30)), CRS.from_epsg(4326))
    assert [o.id for o in evaluate(reference, reference, within=areas).objects] == [0, 2]


# ---- real labels ----


def test_real_labels_agree_with_themselves_and_notice_a_shift(data_dir):
    folder = data_dir / "georef" / "buildings_banepa_large"
    labels, area = read_polygons(folder / "labels.gpkg"), read_polygons(folder / "labelled_area.gpkg")
    same = evaluate(labels, labels, within=area)
    assert (same.f1, same.mean_iou_reference, same.boundary.f1) == (1, 1, 1)
    moved = PolygonLayer.of(shapely.transform(labels.polygons, lambda xy: xy + 0.4), labels.crs)
    found = evaluate(moved, labels, within=area)
    exact = [table_of_iou([p], [r])[0][0] for p, r in zip(moved.polygons, labels.polygons, strict=True)]
    inside = shapely.covers(shapely.union_all(area.polygons), np.stack([moved.polygons, labels.polygons])).all(axis=0)
    scores = {o.id: o.best_iou for o in found.objects}
    assert all(scores[labels.ids[row]] >= exact[row] - 1e-9 for row in np.flatnonzero(inside))
    assert 0.7 < found.mean_iou_matched < 0.9


def test_agrees_with_geopandas_on_a_layer_of_rough_shapes():
    rng = np.random.default_rng(3)
    rough = [Polygon(rng.normal(size=(3, 2)) * 20 + rng.uniform(0, 200, 2)).convex_hull for _ in range(80)]
    predicted, reference = layer(*rough[:40]), layer(*rough[40:])
    frames = [
        gpd.GeoDataFrame({"row": range(40)}, geometry=list(side.polygons), crs=UTM) for side in (predicted, reference)
    ]
    common = gpd.overlay(*frames, how="intersection")
    a, b = (frame.geometry.area.to_numpy() for frame in frames)
    iou = common.area / (a[common.row_1] + b[common.row_2] - common.area)
    best = iou.groupby(common.row_2).max().reindex(range(40), fill_value=0)
    assert [o.best_iou for o in evaluate(predicted, reference, iou=0.1).objects] == pytest.approx(
        best.tolist(), abs=1e-9
    )


def random_boxes(seed, count=5):
    """Boxes of random sizes, of which no two pairs have the same IoU: then only one matching is the best."""
    corners, sizes = np.random.default_rng(seed).uniform(1, 8, (2, count, 2))
    return list(shapely.box(*corners.T, *(corners + sizes).T))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_swapping_the_layers_swaps_precision_and_recall(seed):
    one, other = random_boxes(seed), random_boxes(seed + 1, 7)
    forth, back = (evaluate(layer(*a), layer(*b), tolerance_m=0.5, iou=0.3) for a, b in ((one, other), (other, one)))
    assert (forth.matched, forth.f1) == (back.matched, back.f1)
    assert (forth.precision, forth.recall) == (back.recall, back.precision)
    assert forth.mean_iou_matched == pytest.approx(back.mean_iou_matched)
    assert forth.boundary.precision == pytest.approx(back.boundary.recall)
    assert forth.predicted_area_m2 == pytest.approx(back.reference_area_m2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_objects_changes_no_number(seed, random):
    predicted, reference = random_boxes(seed), random_boxes(seed + 1, 7)
    shuffled = [random.sample(shapes, len(shapes)) for shapes in (predicted, reference)]
    before, after = (evaluate(layer(*a), layer(*b), iou=0.3).to_json() for a, b in ((predicted, reference), shuffled))
    assert flat(before) == pytest.approx(flat(after))


def flat(numbers):
    """The numbers of a nested dictionary, None as -1."""
    values = [flat(v) if isinstance(v, dict) else [-1 if v is None else v] for v in numbers.values() if v != ()]
    return [value for part in values for value in part]


def test_refusals_carry_codes_and_values():
    with pytest.raises(UsageError) as caught:
        evaluate(layer(), layer(), iou=2)
    assert (caught.value.code, caught.value.values) == ("iou-out-of-range", {"iou": 2})
    with pytest.raises(UsageError) as caught:
        evaluate(layer(), layer(), tolerance_m=0)
    assert (caught.value.code, caught.value.values) == ("tolerance-out-of-range", {"tolerance_m": 0})
