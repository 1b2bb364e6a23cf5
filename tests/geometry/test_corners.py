"""Corner form and outlines, against rasterio and shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import rasterize, shapes
from scipy import ndimage
from shapely.geometry import shape

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.geometry.pixel_sets import box_around
from geosam.geometry.polygons import polygonize

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.booleans())


def outline(mask):
    return polygonize([corners.corners_of(mask, 0, 0)])[0]


@given(MASKS)
def test_corners_and_mask_are_inverse(mask):
    window = Window(5, 7, mask.shape[1], mask.shape[0])
    form = corners.corners_of(mask, 5, 7)
    assert (corners.mask_of(form, window) == mask).all()
    assert corners.area(form) == mask.sum()


@given(MASKS, st.integers(0, 12), st.integers(0, 12))
def test_corners_of_pieces_add_up_to_the_corners_of_the_whole(mask, row, col):
    pieces = [
        corners.corners_of(part, x, y)
        for part, x, y in [
            (mask[:row, :col], 0, 0),
            (mask[:row, col:], col, 0),
            (mask[row:, :col], 0, row),
            (mask[row:, col:], col, row),
        ]
        if part.size
    ]
    assert (corners.add(pieces) == corners.corners_of(mask, 0, 0)).all()


@given(MASKS, MASKS)
def test_unite_is_a_logical_or_of_overlapping_sets(a, b):
    canvas = np.zeros((14, 15), bool)
    canvas[: a.shape[0], : a.shape[1]] |= a
    canvas[2 : 2 + b.shape[0], 3 : 3 + b.shape[1]] |= b
    united = corners.unite([corners.corners_of(a, 0, 0), corners.corners_of(b, 3, 2)])
    assert (corners.mask_of(united, Window(0, 0, 15, 14)) == canvas).all()


@pytest.mark.fault("O29", "O32")
@given(MASKS)
def test_polygons_of_connected_masks_equal_gdal_and_are_valid(mask):
    labels, count = ndimage.label(mask)
    ours = polygonize([corners.corners_of(labels == i, 0, 0) for i in range(1, count + 1)])
    theirs = {}
    for geometry, value in shapes(labels.astype(np.int32), connectivity=4):
        if value:
            theirs[int(value)] = shape(geometry)
    for i, polygon in enumerate(ours, start=1):
        assert polygon.geom_type == "Polygon"
        assert polygon.is_valid
        assert polygon.equals(theirs[i])
        assert len(polygon.interiors) == len(theirs[i].interiors)
        # Canonical: nothing can be simplified away without changing the shape.
        assert len(polygon.simplify(0).exterior.coords) >= len(polygon.exterior.coords) - 1


@pytest.mark.fault("Q5")
@given(MASKS)
def test_rasterized_polygons_give_the_mask_back(mask):
    if not mask.any():
        return
    polygon = outline(mask)
    assert polygon.is_valid
    assert polygon.area == mask.sum()
    assert (rasterize([polygon], mask.shape).astype(bool) == mask).all()


@given(st.lists(MASKS, min_size=1, max_size=5))
def test_objects_traced_together_equal_objects_traced_alone(masks):
    forms = [corners.corners_of(mask, 3 * i, i) for i, mask in enumerate(masks) if mask.any()]
    together = polygonize(forms)
    alone = [polygonize([form])[0] for form in forms]
    assert [shapely.to_wkb(p) for p in together] == [shapely.to_wkb(p) for p in alone]


def test_nested_parts_give_each_hole_to_the_shell_around_it():
    mask = np.ones((9, 9), bool)
    mask[1:8, 1:8] = False
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    polygon = outline(mask)
    assert polygon.geom_type == "MultiPolygon"
    assert polygon.is_valid
    assert sorted(len(part.interiors) for part in polygon.geoms) == [1, 1]
    assert polygon.area == mask.sum()


def test_first_corner_is_the_first_pixel():
    mask = np.zeros((4, 5), bool)
    mask[1, 3] = mask[2, 0] = True
    assert corners.corners_of(mask, 10, 20)[0].tolist() == [13, 21, 1]


@pytest.mark.parametrize("parts", [[], [corners.NO_CORNERS]])
def test_nothing_adds_up_to_nothing(parts):
    assert len(corners.add(parts)) == 0
    assert len(corners.unite(parts)) == 0
    assert len(polygonize([])) == 0


@pytest.mark.fault("O31")
def test_pixels_that_meet_at_a_corner_are_two_valid_parts():
    polygon = outline(np.eye(2, dtype=bool))
    assert polygon.geom_type == "MultiPolygon"
    assert polygon.is_valid
    assert polygon.area == 2


@given(MASKS)
def test_corners_are_the_mixed_second_differences_of_the_mask(mask):
    differences = np.diff(np.diff(np.pad(mask, 1).astype(int), axis=0), axis=1)
    rows, cols = np.nonzero(differences)
    form = corners.corners_of(mask, 3, 4)
    assert form.tolist() == [[col + 3, row + 4, differences[row, col]] for row, col in zip(rows, cols, strict=True)]


@given(MASKS.filter(np.any), st.integers(-9, 9), st.integers(-9, 9))
def test_bounds_are_the_box_around_the_mask(mask, col, row):
    box = box_around(mask)
    assert corners.bounds(corners.corners_of(mask, col, row)) == box.shifted(col, row)


@given(st.lists(MASKS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_neither_sums_nor_unions_depend_on_the_order(masks, random):
    forms = [corners.corners_of(mask, 2 * i, 3 * i) for i, mask in enumerate(masks)]
    apart = [corners.corners_of(mask, 20 * i, 0) for i, mask in enumerate(masks)]
    mixed, mixed_apart = random.sample(forms, len(forms)), random.sample(apart, len(apart))
    assert corners.unite(forms).tolist() == corners.unite(mixed).tolist()
    assert corners.add(apart).tolist() == corners.add(mixed_apart).tolist()
    assert corners.unite(apart).tolist() == corners.add(apart).tolist()
    assert corners.area(corners.add(apart)) == sum(int(mask.sum()) for mask in masks)


@given(MASKS)
def test_rings_enclose_the_pixels_and_holes_run_the_other_way(mask):
    rings = corners.trace([corners.corners_of(mask, 0, 0)])
    outlines = np.split(rings.xy, rings.starts[1:]) if len(rings.starts) else []
    areas = [shapely.Polygon(xy).area for xy in outlines]
    assert np.dot(np.where(rings.is_hole, -1, 1), areas) == mask.sum()
    # Shells run clockwise on the screen, where y points down: counterclockwise on paper.
    assert [shapely.is_ccw(shapely.LinearRing(xy)) for xy in outlines] == (~rings.is_hole).tolist()


@given(MASKS)
def test_no_ring_visits_a_vertex_twice(mask):
    rings = corners.trace([corners.corners_of(mask, 0, 0)])
    for ring in np.split(rings.xy, rings.starts[1:]):
        assert len({tuple(vertex) for vertex in ring.tolist()}) == len(ring)
    assert (np.diff(rings.owner) >= 0).all()
