"""The planar layout against a pixel-by-pixel oracle, and the geometry of simplification and hole filling."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio import features

from geosam.geometry.geobox import Window
from geosam.geometry.planar import PlanarInput, merge_pieces, planar_blocks
from geosam.geometry.polygons import fill_holes, simplify_alone


@dataclass
class Source:
    """Objects in a list."""

    region: Window
    items: list[PlanarInput]

    def meeting(self, window):
        rim = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
        return [item for item in self.items if shapely.box(*item.polygon.bounds).intersects(rim)]


def polygon_of(mask, x=0, y=0):
    """What rasterio makes of a mask whose first pixel is (x, y)."""
    found = features.shapes(mask.astype(np.uint8), mask, connectivity=4, transform=Affine.translation(x, y))
    parts = [shapely.geometry.shape(geometry) for geometry, _ in found]
    return shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0]


def inputs_of(masks, scores, x=0, y=0):
    """PlanarInputs of full-size masks, numbered by their first pixels (empty masks left out)."""
    rows = [(np.flatnonzero(mask)[0], at) for at, mask in enumerate(masks) if mask.any()]
    return [
        PlanarInput(number, scores[at], int(masks[at].sum()), polygon_of(masks[at], x, y))
        for number, (_, at) in enumerate(sorted(rows))
    ]


def partition_of(labels, x=0, y=0):
    """One object for every value of a label map."""
    return inputs_of([labels == value for value in np.unique(labels)], [1.0] * (labels.max() + 1), x, y)


def run(source, **options):
    """{number: merged geometry} of all blocks."""
    pieces = defaultdict(list)
    for number, piece in planar_blocks(source, **options):
        pieces[number].append(piece)
    return {number: merge_pieces(found) for number, found in sorted(pieces.items())}


def winners(source):
    """(H, W) number + 1 of the object that should get each pixel: every pixel asks every object."""
    region = source.region
    transform = Affine.translation(region.col_off, region.row_off)
    won = np.zeros(region.shape_hw, int)
    best = np.full((*region.shape_hw, 3), -np.inf)
    for item in source.items:
        mask = features.rasterize([item.polygon], region.shape_hw, transform=transform).astype(bool)
        rank = np.array([item.score, -item.area_px, -item.number], float)
        first_difference = np.argmax(best != rank, axis=2)
        better = rank[first_difference] > np.take_along_axis(best, first_difference[..., None], axis=2)[..., 0]
        best[mask & better] = rank
        won[mask & better] = item.number + 1
    return won


def burnt(result, region):
    """(H, W) number + 1 of the polygon over each pixel."""
    shapes = [(polygon, number + 1) for number, polygon in result.items()]
    transform = Affine.translation(region.col_off, region.row_off)
    return features.rasterize(shapes, region.shape_hw, transform=transform, dtype="int32") if shapes else 0


def assert_coverage(polygons, area):
    """Valid, without overlap, borders shared vertex for vertex, of that total area."""
    polygons = np.array(polygons, object)
    assert shapely.is_valid(polygons).all()
    assert not shapely.is_empty(polygons).any()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == area
    assert shapely.area(shapely.union_all(polygons)) == area


def vertices(polygons):
    return set(map(tuple, shapely.get_coordinates(list(polygons))))


@st.composite
def overlapping_objects(draw):
    """A few random masks with tied scores somewhere in the scene."""
    shape = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    count = draw(st.integers(0, 5))
    fill = st.one_of(st.just(False), st.just(True))
    masks = [draw(hnp.arrays(bool, shape, elements=st.booleans(), fill=fill)) for _ in range(count)]
    scores = [draw(st.sampled_from([0.5, 0.7, 0.9])) for _ in range(count)]
    x, y = draw(st.tuples(st.integers(0, 40), st.integers(0, 40)))
    return Source(Window(x, y, shape[1], shape[0]), inputs_of(masks, scores, x, y))


label_maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(2, 14), st.integers(2, 14)), elements=st.integers(0, 4), fill=st.integers(0, 1)
)


@pytest.mark.fault("Q10")
@settings(deadline=None, max_examples=100)
@given(overlapping_objects(), st.sampled_from([3, 8, 2048]))
def test_every_pixel_goes_to_the_winner_and_polygons_are_disjoint(source, block):
    result = run(source, tolerance_px=0.0, block=block)
    expected = winners(source)
    assert (burnt(result, source.region) == expected).all()
    assert sorted(result) == sorted(set(expected[expected > 0] - 1))
    assert_coverage(list(result.values()), np.count_nonzero(expected))


@settings(deadline=None, max_examples=100)
@given(overlapping_objects(), st.sampled_from([1, 2, 5]), st.randoms())
def test_blocks_and_feeding_order_leave_no_trace(source, block, random):
    whole = run(source, tolerance_px=0.0)
    assert run(source, tolerance_px=0.0, block=block) == whole
    shuffled = Source(source.region, random.sample(source.items, len(source.items)))
    for tolerance in (0.0, 1.5):
        expected = run(source, tolerance_px=tolerance, block=block)
        found = run(shuffled, tolerance_px=tolerance, block=block)
        assert {k: v.wkb for k, v in found.items()} == {k: v.wkb for k, v in expected.items()}


@pytest.mark.fault("O30")
@settings(deadline=None, max_examples=100)
@given(label_maps, st.sampled_from([1.0, 1.5, 4.0, 100.0]), st.sampled_from([4, 7, 2048]), st.booleans())
def test_simplified_partition_has_no_gap_and_no_overlap(labels, tolerance, block, enlarge):
    labels = np.kron(labels, np.ones((3, 2), np.uint8)) if enlarge else labels
    source = Source(Window(5, 9, labels.shape[1], labels.shape[0]), partition_of(labels, 5, 9))
    exact, simple = run(source, block=block), run(source, tolerance_px=tolerance, block=block)
    assert list(simple) == list(exact)
    assert_coverage(list(simple.values()), labels.size)
    on_rims = {(x, y) for x, y in vertices(simple.values()) if x % block == 0 or y % block == 0}
    assert vertices(simple.values()) - on_rims <= vertices(exact.values())
    outlines = shapely.union_all(shapely.boundary(list(exact.values())))
    assert all(x % 1 == y % 1 == 0 and outlines.intersects(shapely.Point(x, y)) for x, y in on_rims)


@pytest.mark.fault("O30")
@settings(deadline=None, max_examples=100)
@given(overlapping_objects(), st.sampled_from([1.0, 3.0]), st.sampled_from([4, 2048]))
def test_uncovered_pixels_may_lie_between_simplified_objects(source, tolerance, block):
    simple = list(run(source, tolerance_px=tolerance, block=block).values())
    assert_coverage(simple, sum(polygon.area for polygon in simple))


def test_simplification_really_simplifies_a_shared_border():
    y, x = np.mgrid[:60, :60]
    source = Source(Window(0, 0, 60, 60), partition_of((x + y // 2 > 45).astype(int)))
    exact, simple = run(source), run(source, tolerance_px=1.0)
    counts = [sum(map(shapely.get_num_coordinates, layer.values())) for layer in (exact, simple)]
    assert counts[1] < counts[0] / 4
    assert_coverage(list(simple.values()), 3600)


def test_a_block_depends_on_nothing_but_the_pixels_in_and_next_to_it():
    rng = np.random.default_rng(3)
    items = partition_of(np.kron(rng.integers(0, 4, (16, 16)), np.ones((4, 4), int)))
    whole = list(planar_blocks(Source(Window(0, 0, 64, 64), items), tolerance_px=3.0, block=32))
    last = list(planar_blocks(Source(Window(32, 32, 32, 32), items), tolerance_px=3.0, block=32))
    assert [(n, piece.wkb) for n, piece in last] == [(n, piece.wkb) for n, piece in whole[-len(last) :]]


def test_a_vertex_on_a_straight_edge_stays_where_two_neighbours_meet_and_goes_at_a_block_rim():
    labels = np.zeros((8, 8), int)
    labels[4:] = 1
    labels[4:, 4:] = 2  # 0 runs straight over the corner between 1 and 2, which lies on the rims of blocks of 4
    whole, blocks = (run(Source(Window(0, 0, 8, 8), partition_of(labels)), block=size) for size in (2048, 4))
    assert blocks == whole
    assert (4.0, 4.0) in vertices([blocks[0]])
    assert shapely.get_num_coordinates(blocks[0]) == 6
    assert shapely.get_num_coordinates(blocks[1]) == 5


def test_higher_score_then_smaller_then_first_wins():
    masks = np.zeros((4, 4, 6), bool)
    masks[0, :, :] = True
    masks[1, 1:3, 1:4] = True
    masks[2, 1:3, 2:5] = True
    masks[3, 1, 2:4] = True
    items = inputs_of(masks, [0.5, 0.9, 0.9, 0.9])
    won = burnt(run(Source(Window(0, 0, 6, 4), items)), Window(0, 0, 6, 4))
    numbers = {item.area_px: item.number for item in items}
    speck, whole = numbers[2] + 1, numbers[24] + 1
    left, right = sorted(item.number + 1 for item in items if item.area_px == 6)
    assert won[1].tolist() == [whole, left, speck, speck, right, whole]
    assert won[2].tolist() == [whole, left, left, left, right, whole]


def test_hidden_objects_are_dropped_and_cut_ones_stay_one_row():
    bar, pole, speck = (np.zeros((9, 9), bool) for _ in range(3))
    bar[4], pole[:, 4], speck[4, 4] = True, True, True
    source = Source(Window(0, 0, 9, 9), inputs_of([bar, pole, speck], [0.5, 0.9, 0.1]))
    result = run(source, block=3)
    assert {number: polygon.geom_type for number, polygon in result.items()} == {0: "Polygon", 1: "MultiPolygon"}
    assert result[1].area == 8


@pytest.mark.fault("O32")
def test_holes_touching_the_shell_or_each_other_at_a_corner_are_kept():
    mask = np.ones((5, 5), bool)
    mask[1, 1] = mask[2, 2] = mask[4, 4] = mask[3, 3] = False
    for block in (1, 2, 2048):
        polygon = run(Source(Window(0, 0, 5, 5), inputs_of([mask], [1.0])), block=block)[0]
        assert polygon.is_valid
        assert polygon.area == 21
        assert polygon.normalize() == shapely.simplify(polygon_of(mask), 0).normalize()


@pytest.mark.fault("O33")
def test_one_pixel_specks_survive_any_tolerance():
    labels = np.zeros((9, 9), int)
    labels[4, 4] = 1
    simple = run(Source(Window(0, 0, 9, 9), partition_of(labels)), tolerance_px=50.0)
    assert simple[1].area > 0
    assert simple[0].area + simple[1].area == 81


@settings(deadline=None, max_examples=100)
@given(overlapping_objects(), st.sampled_from([1, 3, 9]), st.sampled_from([4, 2048]))
def test_filled_holes_take_nothing_from_any_object(source, fill, block):
    before = burnt(run(source), source.region)
    result = run(source, fill_px=fill, block=block)
    after = burnt(result, source.region)
    assert (np.asarray(after)[np.asarray(before) > 0] == np.asarray(before)[np.asarray(before) > 0]).all()
    for item in source.items:
        inside = features.rasterize(
            fill_holes(np.array([item.polygon], object), fill).tolist(),
            source.region.shape_hw,
            transform=Affine.translation(source.region.col_off, source.region.row_off),
        )
        assert (np.asarray(after)[inside > 0] > 0).all()


def test_empty_regions_and_regions_without_objects_give_nothing():
    assert run(Source(Window(3, 3, 5, 5), []), tolerance_px=1.0) == {}


@pytest.mark.fault("O30")
@settings(deadline=None, max_examples=100)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.sampled_from([1.0, 2.0, 30.0]))
def test_simplified_alone_is_valid_integer_and_keeps_parts_and_holes(mask, tolerance):
    if not mask.any():
        return
    polygon = polygon_of(np.kron(mask, np.ones((2, 3), bool)), 100_000, 50_000)
    (simple,) = simplify_alone(np.array([polygon], object), tolerance)
    assert simple.is_valid
    assert simple.area > 0
    assert vertices([simple]) <= vertices([polygon])
    counts = [
        (shapely.get_num_geometries(g), sum(map(shapely.get_num_interior_rings, shapely.get_parts(g))))
        for g in (polygon, simple)
    ]
    assert counts[0] == counts[1]


def test_simplify_alone_does_what_the_planar_layout_does_to_a_lone_object():
    y, x = np.mgrid[:50, :50]
    mask = (x - 25) ** 2 + (y - 20) ** 2 < 200
    (alone,) = simplify_alone(np.array([polygon_of(mask)], object), 2.0)
    planar = run(Source(Window(0, 0, 50, 50), inputs_of([mask], [1.0])), tolerance_px=2.0)[0]
    assert alone.normalize() == planar
    assert shapely.get_num_coordinates(planar) < shapely.get_num_coordinates(polygon_of(mask)) / 2


def test_simplify_alone_takes_overlapping_polygons_one_by_one():
    disks = np.array([shapely.Point(x, 0).buffer(20).segmentize(1) for x in (0, 10)], object)
    both = simplify_alone(disks, 2.0)
    assert both.tolist() == [simplify_alone(disks[i : i + 1], 2.0)[0] for i in (0, 1)]
    assert simplify_alone(disks, 0.0) is disks


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.sampled_from([0, 1, 2, 5, 100]))
def test_fill_holes_fills_the_small_ones_only(mask, limit):
    if not mask.any():
        return
    polygon = polygon_of(mask)
    polygons = np.array([polygon, shapely.box(0, 0, 1, 1)], object)
    filled = fill_holes(polygons, limit)
    holes = [shapely.Polygon(ring) for part in shapely.get_parts(polygon) for ring in part.interiors]
    expected = shapely.union_all([polygon, *(hole for hole in holes if hole.area <= limit)])
    assert filled[0].is_valid
    assert filled[0].equals(expected)
    assert filled[1] is polygons[1]
    if all(hole.area > limit for hole in holes):
        assert filled[0] is polygon


def test_parts_inside_a_filled_hole_dissolve_in_it():
    mask = np.ones((5, 5), bool)
    mask[1:4, 1:4] = False
    mask[2, 2] = True
    (filled,) = fill_holes(np.array([polygon_of(mask)], object), 9)
    assert filled.is_valid
    assert filled.equals(shapely.box(0, 0, 5, 5))


@pytest.mark.parametrize("far", [0, 200_000])
def test_objects_larger_than_a_block_are_painted_exactly(far):
    rng = np.random.default_rng(11)
    mask = np.kron(rng.random((20, 20)) < 0.7, np.ones((5, 5), bool))
    source = Source(Window(far, far, 100, 100), inputs_of([mask, ~mask], [0.9, 0.8], far, far))
    assert (burnt(run(source, block=16), source.region) == winners(source)).all()


@pytest.mark.fault("O34")
def test_numbers_beyond_what_a_float_holds_stay_apart():
    numbers = (2**24, 2**24 + 1)
    items = [PlanarInput(n, 0.5, 16, shapely.box(4 * i, 0, 4 * i + 4, 4)) for i, n in enumerate(numbers)]
    found = dict(planar_blocks(Source(Window(0, 0, 8, 4), items)))
    assert sorted(found) == list(numbers)
    assert all(found[item.number].equals(item.polygon) for item in items)
