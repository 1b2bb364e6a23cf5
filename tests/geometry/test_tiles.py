import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.errors import UsageError
from geosam.geometry.geobox import Edge, Window
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
    with pytest.raises(
        UsageError, match=f"`overlap`: found {overlap}, expected at least 2 and less than `tile_size`, {size}"
    ):
        TileGrid.over(Window(0, 0, 500, 500), size, overlap)


@pytest.mark.fault("R25")
def test_a_region_of_one_pixel_is_one_tile_of_one_pixel():
    grid = TileGrid.over(Window(7, 9, 1, 1))
    assert list(grid) == [Window(7, 9, 1, 1)]
    assert grid.core(0) == Window(7, 9, 1, 1)


@given(grids(), st.integers(0))
def test_inner_edges_are_those_beyond_which_the_region_continues(case, number):
    grid, _, _ = case
    index = number % len(grid)
    window, region = grid.window(index), grid.region
    beyond = {
        Edge.LEFT: window.col_off > region.col_off,
        Edge.TOP: window.row_off > region.row_off,
        Edge.RIGHT: window.col_end < region.col_end,
        Edge.BOTTOM: window.row_end < region.row_end,
    }
    assert {edge: edge in grid.inner_edges(index) for edge in Edge} == beyond


@given(grids())
def test_a_pixel_is_nowhere_deeper_inside_a_window_than_inside_its_owner_s(case):
    grid, _, _ = case
    for axis in (grid.cols, grid.rows):
        edges = [
            (start if start > axis.begin else -np.inf, start + axis.size if start + axis.size < axis.end else np.inf)
            for start in axis.starts
        ]
        for pixel in range(axis.begin, axis.end):
            (owner,) = axis.owners(pixel, pixel + 1)
            depths = [min(pixel + 0.5 - low, high - pixel - 0.5) for low, high in edges]
            assert depths[owner] >= max(depths) - 1  # an odd overlap has no middle between two pixels


@given(grids(), st.integers(-20, 180), st.integers(1, 90))
def test_windows_and_cores_of_an_axis_are_those_that_a_search_finds(case, low, length):
    for axis in (case[0].cols, case[0].rows):
        high = low + length
        meeting = [i for i, start in enumerate(axis.starts) if start < high and start + axis.size > low]
        assert list(axis.meeting(low, high)) == meeting
        if axis.begin <= low and high <= axis.end:
            cores = list(zip(axis.breaks, axis.breaks[1:], strict=False))
            assert list(axis.owners(low, high)) == [i for i, (a, b) in enumerate(cores) if a < high and b > low]


@pytest.mark.parametrize(("width", "tiles"), [(1024, 1), (1025, 2), (1792, 2), (1793, 3), (2560, 3), (2561, 4)])
def test_a_tile_more_is_laid_only_if_a_pixel_is_left(width, tiles):
    grid = TileGrid.over(Window(0, 0, width, 10), 1024, 256)
    assert len(grid) == tiles
    assert grid.window(tiles - 1).col_end == width


def test_a_refused_overlap_says_its_code_and_values():
    with pytest.raises(UsageError) as caught:
        TileGrid.over(Window(0, 0, 500, 500), 256, 300)
    assert caught.value.code == "overlap-out-of-range"
    assert caught.value.values == {"overlap": 300, "tile_size": 256}
    assert "quarter" in caught.value.remedy
