import math
import pickle

import numpy as np
import pytest
import rasterio.transform
import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from pyproj.exceptions import CRSError

from geosam.geometry.geobox import SNAP_PX, GeoBox, Window, corner_to_index, map_crs

UTM = CRS.from_epsg(32633)


def affine(angle=0.0, size_x=1.0, size_y=1.0, shear=0.0, origin=(0.0, 0.0), *, mirrored=False):
    return (
        Affine.translation(*origin)
        @ Affine.rotation(angle)
        @ Affine.shear(shear, 0)
        @ Affine.scale(size_x, size_y if mirrored else -size_y)
    )


@st.composite
def transforms(draw):
    """Any affine: rotated, sheared, flipped, south-up, 1 cm to 30 m far from the origin, or 1e-6 degrees."""
    if draw(st.booleans()):
        sizes, origin = st.floats(0.01, 30), (draw(st.floats(1e5, 9e5)), draw(st.floats(-1e7, 1e7)))
    else:
        sizes, origin = st.floats(1e-6, 1e-2), (draw(st.floats(-180, 180)), draw(st.floats(-80, 80)))
    angle = draw(st.sampled_from([0, 0, 0, 17, 30, 90, 180]) | st.floats(-180, 180))
    shear = draw(st.sampled_from([0, 0, 12]))
    return affine(angle, draw(sizes), draw(sizes), shear, origin, mirrored=draw(st.booleans()))


pixels = st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 40_000)), min_size=1, max_size=20)
windows = st.builds(Window, st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 40), st.integers(1, 40))


@pytest.mark.fault("Q1")
@given(transforms(), pixels)
def test_pixel_centres_survive_the_way_to_the_map_and_back(transform, cells):
    box = GeoBox(40_001, 40_001, transform, UTM)
    centres = np.array(cells) + 0.5
    back = box.to_pixel(box.to_map(centres))
    assert np.abs(back - centres).max() <= 1e-5
    assert (np.floor(back) == cells).all()


@given(transforms(), pixels)
def test_map_coordinates_of_pixel_corners_are_those_of_rasterio(transform, cells):
    box = GeoBox(40_001, 40_001, transform, UTM)
    cols, rows = np.array(cells).T
    x, y = rasterio.transform.xy(transform, rows, cols, offset="ul")
    np.testing.assert_allclose(box.to_map(cells), np.stack([x, y], axis=1), rtol=1e-12, atol=1e-9)


@pytest.mark.fault("R57")
@pytest.mark.parametrize("origin", [0.1, 300_000.1, 4_000_000.1])
def test_bounds_on_pixel_edges_give_exactly_those_pixels(origin):
    size = 0.3
    box = GeoBox(400, 400, Affine(size, 0, origin, 0, -size, origin), UTM)
    for first in range(0, 390, 7):
        for length in (1, 2, 9):
            west, north = origin + first * size, origin - first * size
            found = box.window_of_bounds((west, north - length * size, west + length * size, north))
            assert found == Window(first, first, length, length)


@pytest.mark.fault("R57")
def test_coordinates_that_miss_an_edge_by_less_than_the_tolerance_are_snapped():
    box = GeoBox(100, 100, Affine(1, 0, 0, 0, -1, 0), UTM)
    near = box.to_pixel([(10 - SNAP_PX / 2, -20 + SNAP_PX / 2), (10 - SNAP_PX * 2, -20 + SNAP_PX * 2)])
    assert near[0].tolist() == [10, 20]
    assert near[1].tolist() != [10, 20]


@given(transforms(), windows.filter(lambda w: w.col_off >= 0 and w.row_off >= 0))
def test_a_crop_keeps_every_pixel_where_it_was(transform, window):
    box = GeoBox(200, 200, transform, UTM)
    corners = np.array([(0, 0), (window.width, 0), (window.width, window.height), (0, window.height)])
    shifted = corners + np.array([window.col_off, window.row_off])
    step = math.hypot(transform.a, transform.d) + math.hypot(transform.b, transform.e)
    assert np.abs(box.crop(window).to_map(corners) - box.to_map(shifted)).max() <= 1e-6 * step + 1e-8
    assert box.crop(window).crs == box.crs


def test_a_crop_outside_is_refused():
    with pytest.raises(ValueError, match="not inside"):
        GeoBox(10, 10, affine(), UTM).crop(Window(5, 5, 6, 2))


@pytest.mark.parametrize("transform", [affine(), affine(mirrored=True), affine(30), Affine(-2, 0, 5, 0, -2, 5)])
def test_bounds_are_the_envelope_of_all_corners(transform):
    box = GeoBox(13, 7, transform, UTM)
    corners = [transform @ corner for corner in ((0, 0), (13, 0), (0, 7), (13, 7))]
    x, y = zip(*corners, strict=True)
    assert box.bounds == pytest.approx((min(x), min(y), max(x), max(y)))


@given(transforms())
def test_the_window_of_a_windows_bounds_contains_it(transform):
    box, window = GeoBox(60, 50, transform, UTM), Window(11, 7, 20, 30)
    found = box.window_of_bounds(box.crop(window).bounds)
    assert found is not None
    assert found.contains(window)


def test_bounds_half_off_the_grid_are_clipped_and_bounds_outside_give_nothing():
    box = GeoBox(100, 80, Affine(1, 0, 0, 0, -1, 0), UTM)
    assert box.window_of_bounds((90, -200, 200, -70)) == Window(90, 70, 10, 10)
    assert box.window_of_bounds((100, -80, 120, -70)) is None
    assert box.window_of_bounds((-5, 1, -1, 9)) is None


def test_half_pixel_index_coordinates_put_the_centre_of_a_pixel_on_its_number():
    assert corner_to_index([(10.5, 3.5)]).tolist() == [[10, 3]]


def test_half_pixel_resizing_scales_corners_before_the_half_is_taken():
    # Pixel 10 of a picture enlarged four times covers pixels 40 .. 43, whose middle has the index 41.5.
    assert corner_to_index([(10.5, 10.5)], scale=4).tolist() == [[41.5, 41.5]]


def test_zoom_keeps_the_origin_and_covers_the_extent():
    box = GeoBox(100, 70, affine(17, 0.5, 0.5, origin=(5e5, 5e6)), UTM)
    zoomed = box.zoom(3, 2)
    assert (zoomed.width, zoomed.height) == (34, 35)
    np.testing.assert_allclose(zoomed.to_map([(0, 0), (10, 10)]), box.to_map([(0, 0), (30, 20)]))
    assert box.zoom(1, 1) == box
    assert box.zoom(1000, 1000).width == 1


@pytest.mark.fault("R54")
@pytest.mark.parametrize("bad", [Affine(math.nan, 0, 0, 0, 1, 0), Affine(0, 0, 0, 0, 0, 0), Affine(1, 1, 0, 1, 1, 0)])
def test_transforms_that_place_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="transform"):
        GeoBox(10, 10, bad, UTM)


@pytest.mark.fault("R26")
@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5)])
def test_no_grid_and_no_window_without_pixels(size):
    with pytest.raises(ValueError, match="at least one pixel"):
        GeoBox(*size, affine(), UTM)
    with pytest.raises(ValueError, match="at least one pixel"):
        Window(0, 0, *size)


def test_grids_are_equal_by_value_and_survive_pickling():
    box = GeoBox(10, 20, affine(5), UTM)
    assert pickle.loads(pickle.dumps(box)) == box  # noqa: S301 - our own bytes
    assert hash(box) == hash(GeoBox(10, 20, affine(5), map_crs("EPSG:32633")))
    assert box != GeoBox(10, 20, affine(5), CRS.from_epsg(32634))
    assert box != GeoBox(10, 20, affine(6), UTM)
    assert box != "box"


@given(windows, windows)
def test_intersections_hold_exactly_the_common_pixels(one, other):
    def cells(window):
        columns, rows = range(window.col_off, window.col_end), range(window.row_off, window.row_end)
        return {(column, row) for column in columns for row in rows}

    common = one.intersection(other)
    assert (cells(common) if common else set()) == cells(one) & cells(other)
    assert one.contains(other) == (cells(other) <= cells(one))
    if common:
        rows, cols = common.relative_to(one).slices_rc
        assert np.zeros(one.shape_hw)[rows, cols].shape == common.shape_hw


@given(transforms(), pixels)
def test_pixels_of_map_coordinates_are_those_of_rasterio(transform, cells):
    box = GeoBox(40_001, 40_001, transform, UTM)
    centres = box.to_map(np.array(cells) + 0.5)
    rows, cols = rasterio.transform.rowcol(transform, *centres.T, op=lambda value: value)
    np.testing.assert_allclose(box.to_pixel(centres), np.stack([cols, rows], axis=1), atol=1e-3)


@given(windows.filter(lambda w: w.col_off >= 0 and w.row_off >= 0), transforms())
def test_a_crop_is_placed_as_rasterio_places_a_window(window, transform):
    cropped = GeoBox(200, 200, transform, UTM).crop(window)
    origin = rasterio.transform.xy(transform, window.row_off, window.col_off, offset="ul")
    np.testing.assert_allclose((cropped.transform.c, cropped.transform.f), origin, rtol=1e-12)
    assert cropped.transform[:2] == transform[:2]
    assert cropped.transform[3:5] == transform[3:5]
    assert cropped.window.shape_hw == window.shape_hw


@given(st.floats(-20, 120), st.floats(-20, 120), st.floats(0.01, 90), st.floats(0.01, 90))
def test_the_window_of_bounds_is_rasterios_rounded_outward_and_clipped(west, north, width, height):
    box = GeoBox(100, 80, Affine(0.5, 0, 0, 0, -0.5, 0), UTM)
    bounds = (west, -north - height, west + width, -north)
    there = rasterio.windows.from_bounds(*bounds, transform=box.transform)
    expected = Window(0, 0, 100, 80).intersection(
        Window(
            math.floor(there.col_off + SNAP_PX),
            math.floor(there.row_off + SNAP_PX),
            max(1, math.ceil(there.col_off + there.width - SNAP_PX) - math.floor(there.col_off + SNAP_PX)),
            max(1, math.ceil(there.row_off + there.height - SNAP_PX) - math.floor(there.row_off + SNAP_PX)),
        )
    )
    assert box.window_of_bounds(bounds) == expected


@given(windows, st.integers(-30, 30), st.integers(-30, 30))
def test_a_shifted_window_is_moved_back_by_the_opposite(window, cols, rows):
    moved = window.shifted(cols, rows)
    assert moved.bounds_xyxy == tuple(np.add(window.bounds_xyxy, (cols, rows, cols, rows)))
    assert moved.relative_to(window) == Window(cols, rows, window.width, window.height)
    assert moved.shifted(-cols, -rows) == window


@given(windows, windows)
def test_a_window_touches_the_border_of_one_that_a_frame_does_not_hold(inner, outer):
    if not outer.contains(inner):
        return
    frame = np.ones(outer.shape_hw, bool)
    frame[1:-1, 1:-1] = False
    assert inner.touches(outer) == frame[inner.relative_to(outer).slices_rc].any()


def test_a_pixel_has_the_area_of_its_parallelogram():
    assert GeoBox(3, 3, affine(30, 2, 3), UTM).pixel_area == pytest.approx(6)
    assert GeoBox(3, 3, Affine(1, 0.5, 0, 0.25, -1, 0), UTM).pixel_area == pytest.approx(1.125)


@pytest.mark.parametrize("crs", ["EPSG:32633", 32633, UTM, UTM.to_wkt(), rasterio.CRS.from_epsg(32633)], ids=repr)
def test_a_crs_may_be_described_in_any_way(crs):
    assert map_crs(crs) == UTM


@pytest.mark.parametrize("crs", ["EPSG:nonsense", "", 10**7, None])
def test_what_proj_does_not_know_is_an_error(crs):
    with pytest.raises(CRSError):
        map_crs(crs)
