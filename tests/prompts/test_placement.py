import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from geosam.errors import CRSMismatch, PromptError, PromptOutsideScene
from geosam.geometry.geobox import GeoBox, Window, corner_to_index
from geosam.prompts.in_window import in_window
from geosam.prompts.placement import BLOCK, to_scene
from geosam.prompts.prompt import Prompt, Steps

UTM, WGS84 = CRS(32633), CRS(4326)
GRIDS = {
    "north-up": GeoBox(300, 200, Affine(0.5, 0, 500000, 0, -0.5, 4000000), UTM),
    "rotated": GeoBox(300, 200, Affine.translation(5e5, 4e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5), UTM),
    "sheared": GeoBox(300, 200, Affine(0.5, 0.2, 500000, 0.1, -0.7, 4000000), UTM),
    "south-up": GeoBox(300, 200, Affine(0.5, 0, 500000, 0, 0.5, 4000000), UTM),
    "degrees": GeoBox(300, 200, Affine(1e-5, 0, 15, 0, -1e-5, 45), WGS84),
    "polar": GeoBox(300, 200, Affine(10, 0, 0, 0, -10, -1e6), CRS(3413)),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def point(xy, crs=UTM, labels=None, **options):
    xy = np.array(xy, np.float64).reshape(-1, 2)
    return Prompt(1, crs, xy, np.ones(len(xy), np.int8) if labels is None else np.array(labels, np.int8), **options)


def other_crs(grid, xy, crs):
    return np.stack(Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*np.asarray(xy).T), axis=1)


@pytest.mark.fault("Q2")
@every_grid
def test_pixel_centres_become_the_indices_that_sam_wants(grid):
    rng = np.random.default_rng(0)
    cells = np.stack([rng.integers(0, grid.width, 50), rng.integers(0, grid.height, 50)], axis=1)
    centres = np.stack([grid.transform @ (c + 0.5, r + 0.5) for c, r in cells])
    placed, warnings = to_scene([point(xy, grid.crs) for xy in centres], grid)
    assert warnings == []
    window = Window(100, 50, 100, 100)
    indices = np.concatenate([corner_to_index(p) for p in in_window(placed, window).points])
    np.testing.assert_allclose(indices, cells - (100, 50), atol=1e-5)


@pytest.mark.fault("Q2")
@given(
    st.floats(-180, 180),
    st.sampled_from([0.01, 0.3, 30.0]),
    st.floats(0.3, 3),
    st.sampled_from([-1, 1]),
    st.tuples(st.floats(0, 299.99), st.floats(0, 199.99)),
)
def test_sub_pixel_positions_survive_any_affine(angle, size, ratio, flip, xy):
    x, y = xy
    transform = Affine.translation(5e5, 4e6) @ Affine.rotation(angle) @ Affine.scale(size, flip * size * ratio)
    grid = GeoBox(300, 200, transform, UTM)
    (placed,), _ = to_scene([point(transform @ (x + 0.005, y + 0.005))], grid)
    np.testing.assert_allclose(placed.points_xy, [(x + 0.005, y + 0.005)], atol=1e-5)


@pytest.mark.fault("Q3")
@pytest.mark.parametrize(
    ("code", "centre"),
    [(32633, (15.2, 45)), (27700, (-2.1, 53)), (3857, (15, 45)), (2154, (3, 46)), (3413, (-45, 85)), (4807, (3, 46))],
)
def test_prompts_return_to_where_they_were_given(code, centre):
    crs = CRS(code)
    there = Transformer.from_crs(WGS84, crs, always_xy=True)
    back = Transformer.from_crs(crs, WGS84, always_xy=True)
    size = 1e-5 if crs.is_geographic else 0.5
    x, y = there.transform(*centre)
    grid = GeoBox(1000, 1000, Affine(size, 0, x - 500 * size, 0, -size, y + 500 * size), crs)
    lonlat = np.array(centre) + np.random.default_rng(1).uniform(-1e-3, 1e-3, (100, 2))
    placed, _ = to_scene([point(xy, WGS84) for xy in lonlat], grid)
    again = np.stack(back.transform(*grid.to_map(np.concatenate([p.points_xy for p in placed])).T), axis=1)
    metres = Geod(ellps="WGS84").inv(*lonlat.T, *again.T)[2]
    assert np.max(metres) <= 2e-3


def test_prompts_keep_their_order_labels_and_numbers():
    grid = GRIDS["north-up"]
    prompts = [
        point([(500010, 3999990), (500020, 3999980)], labels=[0, 1], granularity="part"),
        Prompt(2, UTM, box_xyxy=(500001, 3999990, 500004, 3999995)),
        Prompt(3, UTM, mask=shapely.box(500001, 3999990, 500004, 3999995), granularity="group"),
        point(other_crs(grid, [(500100, 3999950)], WGS84), WGS84),
    ]
    placed, warnings = to_scene(prompts, grid)
    assert warnings == []
    assert [p.index for p in placed] == [0, 1, 2, 3]
    assert [p.granularity for p in placed] == ["part", "auto", "group", "auto"]
    np.testing.assert_array_equal(placed[0].points_xy, [(20, 20), (40, 40)])
    assert placed[0].labels.tolist() == [0, 1]
    assert placed[0].bounds_xyxy == (20, 20, 40, 40)
    assert placed[1].box_xyxy == placed[1].bounds_xyxy == placed[2].bounds_xyxy == (2, 10, 8, 20)
    assert placed[2].box_xyxy is None
    assert shapely.equals(placed[2].polygon, shapely.box(2, 10, 8, 20))
    np.testing.assert_allclose(placed[3].points_xy, [(200, 100)], atol=1e-6)


def test_nothing_to_place_is_nothing_placed():
    assert to_scene([], GRIDS["north-up"]) == ([], [])


def test_bounds_are_the_envelope_of_points_box_and_polygon():
    grid = GeoBox(300, 200, Affine(1, 0, 0, 0, -1, 200), UTM)
    prompt = Prompt(
        1,
        UTM,
        np.array([(100.5, 150.5)]),
        np.ones(1, np.int8),
        box_xyxy=(10, 10, 20, 20),
        mask=shapely.box(50, 0, 60, 5),
    )
    (placed,), _ = to_scene([prompt], grid)
    assert placed.bounds_xyxy == (10, 49.5, 100.5, 200)


@every_grid
@pytest.mark.parametrize("source", [4326, 3857, 32632], ids=str)
def test_boxes_from_another_crs_are_the_envelope_of_their_curved_edges(grid, source):
    crs = CRS(source)
    corners = other_crs(grid, grid.to_map([(100, 60), (180, 60), (180, 130), (100, 130)]), crs)
    (xmin, ymin), (xmax, ymax) = corners.min(axis=0), corners.max(axis=0)
    (placed,), _ = to_scene([Prompt(1, crs, box_xyxy=(xmin, ymin, xmax, ymax))], grid)
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(xmin, ymin, xmax, ymax), (xmax - xmin) / 5000))
    there = Transformer.from_crs(crs, grid.crs, always_xy=True)
    pixels = np.array([~grid.transform @ xy for xy in np.stack(there.transform(*ring.T), axis=1)])
    expected = np.clip([*pixels.min(axis=0), *pixels.max(axis=0)], 0, (300, 200, 300, 200))
    np.testing.assert_allclose(placed.box_xyxy, expected, atol=0.02)


def test_a_wide_box_includes_the_bulge_of_its_edges():
    grid = GeoBox(4000, 4000, Affine(100, 0, 3e5, 0, -100, 5.4e6), UTM)
    (placed,), _ = to_scene([Prompt(1, WGS84, box_xyxy=(13.5, 46, 16.5, 47))], grid)
    there = Transformer.from_crs(WGS84, UTM, always_xy=True)
    corners = np.array([~grid.transform @ there.transform(x, y) for x in (13.5, 16.5) for y in (46, 47)])
    lowest = np.array([~grid.transform @ there.transform(x, 46) for x in np.linspace(13.5, 16.5, 3001)])[:, 1].max()
    assert lowest - corners[:, 1].max() > 5
    assert placed.box_xyxy[3] == pytest.approx(lowest, abs=0.1)


def test_a_box_on_a_rotated_scene_is_the_envelope_in_pixels():
    grid = GRIDS["rotated"]
    x, y = grid.transform @ (150, 100)
    (placed,), _ = to_scene([Prompt(1, UTM, box_xyxy=(x - 10, y - 5, x + 10, y + 5))], grid)
    corners = np.array([~grid.transform @ (x + dx, y + dy) for dx in (-10, 10) for dy in (-5, 5)])
    np.testing.assert_allclose(placed.box_xyxy, [*corners.min(axis=0), *corners.max(axis=0)], atol=1e-6)


def test_polygons_keep_their_shape_on_the_way_to_another_crs():
    grid = GRIDS["north-up"]
    ring = [(150 + 60 * np.cos(t), 100 + 60 * np.sin(t)) for t in np.linspace(0, 6, 9)]
    polygon = shapely.difference(shapely.Polygon(ring), shapely.box(140, 90, 160, 110))
    there = shapely.transform(polygon, lambda xy: other_crs(grid, grid.to_map(xy), WGS84))
    (placed,), _ = to_scene([Prompt(1, WGS84, mask=there)], grid)
    assert shapely.hausdorff_distance(placed.polygon, polygon) < 1e-3
    assert len(placed.polygon.interiors) == 1


def test_only_boxes_and_polygons_in_other_crss_get_new_vertices():
    grid = GRIDS["north-up"]
    square = shapely.box(500001, 3999990, 500004, 3999995)
    (placed,), _ = to_scene([Prompt(1, UTM, mask=square)], grid)
    assert shapely.get_num_coordinates(placed.polygon) == shapely.get_num_coordinates(square)


def test_longitudes_a_turn_away_meet_a_scene_on_the_antimeridian():
    grid = GeoBox(100, 100, Affine(0.002, 0, 179.9, 0, -0.002, 10), WGS84)
    placed, _ = to_scene([point(xy, WGS84) for xy in [(179.95, 9.9), (-179.95, 9.9), (180.05, 9.9)]], grid)
    np.testing.assert_allclose(np.concatenate([p.points_xy for p in placed]), [(25, 50), (75, 50), (75, 50)], atol=1e-6)


def test_a_utm_scene_on_the_antimeridian_takes_longitudes_of_either_sign():
    grid = GeoBox(2000, 2000, Affine(30, 0, 8e5, 0, -30, 1.2e6), CRS(32660))
    placed, _ = to_scene([point(xy, WGS84) for xy in [(-179.95, 10.5), (180.05, 10.5)]], grid)
    np.testing.assert_allclose(placed[0].points_xy, placed[1].points_xy, atol=1e-6)


def test_many_prompts_are_placed_as_each_alone():
    grid = GRIDS["north-up"]
    rng = np.random.default_rng(3)
    low = grid.to_map(rng.uniform((1, 60), (200, 199), (BLOCK + 50, 2)))
    prompts = [Prompt(i, UTM, box_xyxy=(x, y, x + 3, y + 2)) for i, (x, y) in enumerate(low)]
    placed, warnings = to_scene(prompts, grid)
    assert warnings == []
    assert [p.index for p in placed] == list(range(len(prompts)))
    for row in (0, BLOCK - 1, BLOCK, len(prompts) - 1):
        (alone,), _ = to_scene([prompts[row]], grid)
        assert alone.box_xyxy == placed[row].box_xyxy


def test_placing_does_not_depend_on_the_other_prompts():
    grid = GRIDS["rotated"]
    rng = np.random.default_rng(4)
    pixels = rng.uniform((10, 10), (290, 190), (40, 2))
    prompts = []
    for i, xy in enumerate(grid.to_map(pixels)):
        crs = (UTM, WGS84, CRS.from_wkt(UTM.to_wkt()), CRS(3857))[i % 4]
        prompts.append(point(other_crs(grid, [xy], crs), crs))
    placed, _ = to_scene(prompts, grid)
    backwards, _ = to_scene(prompts[::-1], grid)
    np.testing.assert_allclose(np.concatenate([p.points_xy for p in placed]), pixels, atol=1e-4)
    for one, other in zip(placed, backwards[::-1], strict=True):
        np.testing.assert_array_equal(one.points_xy, other.points_xy)


def test_skipping_leaves_out_parts_and_what_they_leave_useless():
    grid = GRIDS["north-up"]
    inside, outside = (500010, 3999990), (600000, 3999990)
    prompts = [
        point([inside, outside], labels=[1, 0], source="first"),
        point([outside, inside], labels=[1, 0], source="second"),
        point([inside], source="third"),
        Prompt(4, UTM, np.array([inside]), np.ones(1, np.int8), box_xyxy=(600000, 0, 600001, 1), source="fourth"),
        Prompt(5, UTM, mask=shapely.box(600000, 0, 600001, 1), source="fifth"),
    ]
    placed, warnings = to_scene(prompts, grid, skip_outside=True)
    assert [p.index for p in placed] == [0, 2, 3]
    assert [len(p.labels) for p in placed] == [1, 1, 1]
    assert placed[2].box_xyxy is None
    assert len(warnings) == 2
    assert all(name in warnings[0] for name in ("first", "second", "fourth", "fifth"))
    assert "third" not in warnings[0]
    assert "second" in warnings[1]


def test_the_steps_of_what_is_left_stay_in_their_order():
    grid = GRIDS["north-up"]
    inside, outside = (500010, 3999990), (600000, 3999990)
    near, far = (500001, 3999990, 500004, 3999995), (600000, 0, 600001, 1)
    four = {"points_xy": np.array([inside, outside, inside, inside]), "labels": np.array([1, 0, 0, 1], np.int8)}
    prompts = [
        Prompt(1, UTM, **four, box_xyxy=near, steps=Steps(np.array([0, 2, 3, 3]), box=1)),
        Prompt(2, UTM, **four, box_xyxy=far, steps=Steps(np.array([0, 1, 3, 4]), box=2)),
        point([inside], source="at once"),
        Prompt(
            4,
            UTM,
            np.array([inside]),
            np.ones(1, np.int8),
            box_xyxy=far,
            mask=shapely.box(*near),
            steps=Steps(np.array([1]), 0, 2),
        ),
        Prompt(5, UTM, np.array([inside]), np.ones(1, np.int8), box_xyxy=far, steps=Steps(np.array([1]))),
    ]
    placed, _ = to_scene(prompts, grid, skip_outside=True)
    left = [p.steps and (p.steps.points.tolist(), p.steps.box, p.steps.polygon) for p in placed]
    assert left == [([0, 2, 2], 1, 0), ([0, 1, 2], 0, 0), None, ([0], 0, 1), None]


def test_warnings_name_some_and_count_the_rest():
    grid = GRIDS["north-up"]
    prompts = [point([(600000, 3999990)], source=f"feature {i}") for i in range(1, 13)]
    placed, (warning,) = to_scene(prompts, grid, skip_outside=True)
    assert placed == []
    assert "feature 1; feature 2; feature 3; feature 4; feature 5 and 7 more" in warning


def test_a_scene_without_a_way_to_earth_takes_prompts_of_its_own_crs_only():
    local = CRS('ENGCRS["local",EDATUM["local"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]')
    grid = GeoBox(100, 100, Affine(1, 0, 0, 0, -1, 100), local)
    (placed,), _ = to_scene([point([(10, 90)], local)], grid)
    np.testing.assert_array_equal(placed.points_xy, [(10, 10)])
    with pytest.raises(CRSMismatch, match="`prompt_crs`"):
        to_scene([point([(10, 90)], WGS84)], grid)
    with pytest.raises(PromptOutsideScene, match="20 CRS units outside"):
        to_scene([point([(120, 90)], local)], grid)


def test_a_box_around_a_polygon_is_tight_in_pixels_of_a_rotated_grid():
    diamond = shapely.Polygon([(500_020, 4_999_990), (500_030, 5_000_000), (500_020, 5_000_010), (500_010, 5_000_000)])
    turned = Affine.translation(500_000, 5_000_000) @ Affine.rotation(45) @ Affine.scale(0.5, -0.5)
    grid = GeoBox(200, 200, turned @ Affine.translation(-100, -100), CRS.from_epsg(32633))
    plain = Prompt("a", grid.crs, box_xyxy=diamond.bounds)
    drawn = Prompt("b", grid.crs, box_xyxy=diamond.bounds, outline=diamond)
    (loose, tight), _ = to_scene([plain, drawn], grid)
    corners = grid.to_pixel(shapely.get_coordinates(diamond))
    assert tight.box_xyxy == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)))
    sides = [box[2] - box[0] for box in (loose.box_xyxy, tight.box_xyxy)]
    assert sides[0] == pytest.approx(2 * sides[1])


@pytest.mark.fault("R58", "P04")
@pytest.mark.parametrize("x", [np.nan, np.inf, 1e300, -1e300])
def test_coordinates_that_are_no_place_are_refused_before_they_become_pixels(x):
    grid = GeoBox(20, 20, Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), CRS.from_epsg(32633))
    with pytest.raises(PromptError) as refused:
        to_scene([Prompt("a", grid.crs, np.array([[x, 4_999_999.0]]), np.ones(1, np.int8))], grid)
    assert refused.value.exit_code == 4
