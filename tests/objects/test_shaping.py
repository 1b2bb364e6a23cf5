"""Polygons and columns of objects, against unions of pixels and the arithmetic of the grid."""

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from labelled_components import DARK, LIGHT, LabelledComponents
from pyproj import CRS

from geosam.errors import ModelError
from geosam.geometry import corners
from geosam.geometry.geobox import GeoBox
from geosam.objects.scene_object import SceneObject
from geosam.objects.shaping import CLASS_COLUMNS, COLUMNS, Shaping, columns_of, features, in_pixels, outlines
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

GEOBOX = GeoBox(500, 400, Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0), CRS(32633))
GSD = (2.0, 2.0)


def item_of(mask, col=50, row=60, **columns):
    form = corners.corners_of(np.asarray(mask, bool), col, row)
    facts = {"score": 0.5, "stability": 0.25, "n_tiles": 1, "touches_edge": False, "truncated": False}
    return SceneObject(form, **(facts | columns))


def pixels_of(mask, col=50, row=60):
    """The union of the squares of a mask's pixels."""
    rows, cols = np.nonzero(mask)
    return shapely.union_all(shapely.box(cols + col, rows + row, cols + col + 1, rows + row + 1))


masks = arrays_of.arrays(bool, arrays_of.array_shapes(min_dims=2, max_dims=2, max_side=9)).filter(np.any)


@given(masks)
def test_an_unshaped_outline_is_the_union_of_its_pixels(mask):
    (polygon,) = outlines([item_of(mask)], GSD, Shaping())
    assert polygon.is_valid
    assert polygon.area == np.count_nonzero(mask)
    assert shapely.symmetric_difference(polygon, pixels_of(mask)).area == 0


@given(masks, st.floats(0, 20))
def test_holes_up_to_a_size_are_filled_and_larger_ones_stay(mask, most_px):
    (polygon,) = outlines([item_of(mask)], GSD, Shaping(fill_holes_m2=most_px * 4))
    (plain,) = outlines([item_of(mask)], GSD, Shaping())
    holes = [shapely.Polygon(ring).area for part in shapely.get_parts(plain) for ring in part.interiors]
    left = [shapely.Polygon(ring).area for part in shapely.get_parts(polygon) for ring in part.interiors]
    assert sorted(left) == sorted(area for area in holes if area > most_px)
    assert polygon.area == pytest.approx(plain.area + sum(area for area in holes if area <= most_px))


@given(masks, st.floats(0.1, 6))
def test_a_simplified_outline_stays_within_its_tolerance(mask, tolerance_m):
    (polygon,) = outlines([item_of(mask)], GSD, Shaping(simplify_m=tolerance_m))
    (plain,) = outlines([item_of(mask)], GSD, Shaping())
    assert polygon.is_valid
    assert shapely.get_num_coordinates(polygon) <= shapely.get_num_coordinates(plain)
    assert shapely.hausdorff_distance(polygon.boundary, plain.boundary) <= tolerance_m / 2 * 1.5 + 1e-9


@pytest.mark.parametrize("gsd", [(1.0, 1.0), (2.0, 2.0), (0.5, 2.0), (0.1, 0.3)])
def test_ground_lengths_become_pixels_by_the_area_of_a_pixel(gsd):
    tolerance_px, fill_px = in_pixels(gsd, Shaping(simplify_m=3.0, fill_holes_m2=12.0))
    assert tolerance_px == pytest.approx(3.0 / math.sqrt(gsd[0] * gsd[1]))
    assert fill_px == pytest.approx(12.0 / (gsd[0] * gsd[1]))


@given(st.lists(masks, min_size=1, max_size=4))
def test_features_lie_on_the_map_with_their_measures(pictures):
    items = [item_of(mask, 40 * number) for number, mask in enumerate(pictures)]
    polygons, columns = features(items, GEOBOX, GSD, Shaping(), segmenter=ThresholdSegmenter())
    assert list(columns) == [column.name for column in COLUMNS if column.name != "id"]
    assert all(len(values) == len(items) for values in columns.values())
    for number, (mask, polygon) in enumerate(zip(pictures, polygons, strict=True)):
        expected = shapely.transform(pixels_of(mask, 40 * number), _placed)
        assert shapely.symmetric_difference(polygon, expected).area == pytest.approx(0, abs=1e-6)
        assert all(shapely.is_ccw(part.exterior) for part in shapely.get_parts(polygon))
        # Metres on the ground differ from those of the projection by the scale of UTM, 0.9996 at its central meridian.
        assert columns["area_m2"][number] == pytest.approx(4 * np.count_nonzero(mask) / 0.9996**2, rel=2e-3)
        assert columns["perimeter_m"][number] == pytest.approx(polygon.length / 0.9996, rel=2e-3)


def _placed(xy):
    return np.column_stack([500_000 + 2.0 * xy[:, 0], 5_000_000 - 2.0 * xy[:, 1]])


def test_scores_are_rounded_and_facts_are_passed_on():
    item = item_of([[1]], score=1 / 3, stability=2 / 3, n_tiles=7, touches_edge=True, truncated=True)
    _, columns = features([item], GEOBOX, GSD, Shaping(), segmenter=ThresholdSegmenter())
    assert (columns["score"], columns["stability"]) == ([0.333333], [0.666667])
    assert (columns["n_tiles"], columns["touches_edge"], columns["truncated"]) == ([7], [True], [True])
    assert columns["model"] == ["threshold"]


def test_classes_have_columns_only_where_the_model_declares_them():
    segmenter = LabelledComponents()
    assert columns_of(ThresholdSegmenter()) == COLUMNS
    assert columns_of(segmenter) == (*COLUMNS, *CLASS_COLUMNS)
    items = [item_of([[1]], class_id=DARK, class_score=0.1234567), item_of([[1]], 90, class_id=LIGHT)]
    _, columns = features(items, GEOBOX, GSD, Shaping(), segmenter=segmenter)
    assert columns["class"] == ["dark", "light — bright"]
    assert columns["class_score"] == [0.123457, None]
    assert "class" not in features(items, GEOBOX, GSD, Shaping(), segmenter=ThresholdSegmenter())[1]


def test_a_class_that_the_model_does_not_declare_is_refused():
    with pytest.raises(ModelError, match="does not declare: found 99"):
        features([item_of([[1]], class_id=99)], GEOBOX, GSD, Shaping(), segmenter=LabelledComponents())


def test_no_objects_are_no_rows():
    polygons, columns = features([], GEOBOX, GSD, Shaping(), segmenter=ThresholdSegmenter())
    assert len(polygons) == 0
    assert set(map(len, columns.values())) == {0}


def test_the_layout_and_the_least_area_do_not_change_single_features():
    item = item_of(np.ones((4, 5)))
    plain = features([item], GEOBOX, GSD, Shaping(), segmenter=ThresholdSegmenter())
    other = features(
        [item], GEOBOX, GSD, replace(Shaping(), layout="planar", min_area_m2=1e9), segmenter=ThresholdSegmenter()
    )
    assert shapely.equals_exact(plain[0][0], other[0][0])
    assert plain[1] == other[1]
