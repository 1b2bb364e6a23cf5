import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.errors import UsageError
from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid

regions = st.builds(Window, st.integers(0, 40), st.integers(0, 40), st.integers(1, 120), st.integers(1, 120))
windows = st.builds(Window, st.integers(-10, 170), st.integers(-10, 170), st.integers(1, 60), st.integers(1, 60))


@st.composite
def grids(draw):
    size = draw(st.integers(3, 70))
    overlap = draw(st.integers(2, size - 1))
    return TileGrid.over(draw(regions), size, overlap), size, overlap


@pytest.mark.fault("Q4")
@given(grids())
def test_windows_cover_the_region_and_stay_inside_it(case):
    grid, size, _ = case
    seen = np.zeros((170, 170), int)
    for window in grid:
        assert grid.region.contains(window)
        assert window.width == min(size, grid.region.width)
        assert window.height == min(size, grid.region.height)
        seen[window.slices_rc] += 1
    assert (seen[grid.region.slices_rc] > 0).all()
    assert seen.sum() == sum(w.width * w.height for w in grid)


@pytest.mark.fault("Q4")
@given(grids())
def test_starts_increase_neighbours_overlap_and_the_last_is_shifted_inward(case):
    grid, size, overlap = case
    ends = ((grid.cols, grid.region.col_end), (grid.rows, grid.region.row_end))
    for axis, end in ends:
        steps = np.diff(axis.starts)
        assert (steps > 0).all()
        assert (size - steps >= overlap).all()
        assert axis.starts[-1] + axis.size == end


@pytest.mark.fault("Q4")
@given(grids())
def test_cores_partition_the_region_and_lie_in_their_windows(case):
    grid, _, _ = case
    owner = np.full((170, 170), -1)
    for index in range(len(grid)):
        core = grid.core(index)
        assert grid.window(index).contains(core)
        assert (owner[core.slices_rc] == -1).all()
        owner[core.slices_rc] = index
    assert (owner[grid.region.slices_rc] >= 0).all()
    assert (owner >= 0).sum() == grid.region.width * grid.region.height


@given(grids())
def test_cores_keep_a_pixel_of_their_window_around_them_except_at_the_region(case):
    grid, _, _ = case
    for index, window in enumerate(grid):
        core, region = grid.core(index), grid.region
        assert core.col_off > window.col_off or core.col_off == region.col_off
        assert core.row_off > window.row_off or core.row_off == region.row_off
        assert core.col_end < window.col_end or core.col_end == region.col_end
        assert core.row_end < window.row_end or core.row_end == region.row_end


@given(grids(), windows)
def test_meeting_and_owners_find_what_a_search_finds(case, window):
    grid, _, _ = case
    meeting = [i for i in range(len(grid)) if grid.window(i).intersection(window)]
    assert grid.meeting(window) == meeting
    if grid.region.contains(window):
        assert grid.owners(window) == [i for i in range(len(grid)) if grid.core(i).intersection(window)]


@given(grids(), st.integers(0))
def test_neighbours_are_the_other_windows_that_share_a_pixel(case, number):
    grid, _, _ = case
    index = number % len(grid)
    others = [i for i, window in enumerate(grid) if i != index and window.intersection(grid.window(index))]
    assert grid.neighbours(index) == others


@given(grids())
def test_tiles_are_numbered_row_by_row(case):
    grid, _, _ = case
    offsets = [(window.row_off, window.col_off) for window in grid]
    assert offsets == sorted(offsets)
    assert [grid.index(*grid.position(i)) for i in range(len(grid))] == list(range(len(grid)))


@given(regions, st.data())
def test_an_anchored_grid_has_its_first_window_and_covers_the_region(region, data):
    size = data.draw(st.integers(1, min(region.width, region.height)))
    step = data.draw(st.integers(1, size))
    col = data.draw(st.integers(region.col_off, region.col_end - size))
    row = data.draw(st.integers(region.row_off, region.row_end - size))
    first = Window(col, row, size, size)
    grid = TileGrid.anchored(region, first, step)
    assert first in list(grid)
    seen = np.zeros((170, 170), bool)
    for window in grid:
        assert region.contains(window)
        seen[window.slices_rc] = True
    assert seen[region.slices_rc].all()


@pytest.mark.parametrize(("size", "overlap"), [(64, 1), (64, 64), (64, 0), (2, 2)])
def test_overlaps_that_cannot_be_stitched_are_refused(size, overlap):
    with pytest.raises(UsageError, match=f"got {overlap} with tiles of {size} px"):
        TileGrid.over(Window(0, 0, 500, 500), size, overlap)


@pytest.mark.fault("R25")
def test_a_region_of_one_pixel_is_one_tile_of_one_pixel():
    grid = TileGrid.over(Window(7, 9, 1, 1))
    assert list(grid) == [Window(7, 9, 1, 1)]
    assert grid.core(0) == Window(7, 9, 1, 1)
