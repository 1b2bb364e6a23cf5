"""Coordinates of prompts: outside the scene, in the wrong CRS, not finite, without an area."""

import contextlib
import sqlite3

import numpy as np
import pytest
from affine import Affine
from prompt_files import (
    SCENE,
    UTM,
    WGS84,
    X,
    Y,
    feature,
    json_point,
    refused,
    shifted,
    write_geojson,
    write_layer,
)
from pyproj import CRS, Transformer
from shapely import Point, Polygon, box

from geosam.apps.cli.options.prompts import prompts_from_options
from geosam.errors import CRSMismatch, EmptyPrompt, PromptError, PromptOutsideScene
from geosam.geometry.geobox import GeoBox
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene
from geosam.prompts.prompt import Prompt


def placed_points(path, scene=SCENE, **options):
    prompts, _ = read_prompts(path, **options)
    return np.concatenate([p.points_xy for p in to_scene(prompts, scene)[0]])


@pytest.mark.fault("P01")
def test_a_point_outside_is_refused_with_its_feature_and_distance(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(10, 10), Point(1150, 50)), label=[1, 1])
    text = refused(PromptOutsideScene, path, "layer p", "feature 2", "1000 m outside", "`skip_outside`", scene=SCENE)
    assert "feature 1:" not in text
    prompts, _ = read_prompts(path)
    placed, (warning,) = to_scene(prompts, SCENE, skip_outside=True)
    assert [p.index for p in placed] == [0]
    assert "feature 2" in warning


@pytest.mark.fault("P01")
def test_the_distance_is_in_metres_on_a_scene_in_degrees():
    scene = GeoBox(100, 100, Affine(1e-5, 0, 15, 0, -1e-5, 45), WGS84)
    with pytest.raises(PromptOutsideScene) as caught:
        to_scene([Prompt(1, WGS84, np.array([(15.0005, 45.01)]), np.ones(1, np.int8))], scene)
    metres = float(str(caught.value).split(" m outside")[0].split()[-1])
    assert metres == pytest.approx(1111.4, abs=0.5)  # a degree of latitude is 111.1 km there


@pytest.mark.fault("P03")
def test_the_right_and_lower_edges_are_outside_the_left_and_upper_inside():
    def place(x, y):
        return to_scene([Prompt(1, CRS(UTM), np.array([(x, y)]), np.ones(1, np.int8))], SCENE)[0][0].points_xy[0]

    np.testing.assert_array_equal(place(X, Y + 100), (0, 0))
    np.testing.assert_array_equal(place(X + 5, Y + 95), (10, 10))
    for x, y in [(X + 150, Y + 50), (X + 50, Y), (X + 150, Y), (np.nextafter(X, 0), Y + 50)]:
        if (x, y) == (np.nextafter(X, 0), Y + 50):
            np.testing.assert_array_equal(place(x, y), (0, 100))  # within a millionth of a pixel of the edge
        else:
            with pytest.raises(PromptOutsideScene, match=" 0 m outside"):
                place(x, y)


@pytest.mark.fault("P04")
@pytest.mark.parametrize("xy", [(float("nan"), 2), (1, float("inf")), (float("-inf"), 1)])
def test_coordinates_that_are_not_finite(tmp_path, xy):
    path = write_geojson(tmp_path / "p.geojson", feature(json_point(1, 2)), feature(json_point(*xy)))
    if xy[0] == float("-inf") or xy[1] == float("inf"):
        path = write_layer(tmp_path / "p.gpkg", [Point(1, 2), Point(*xy)])
    refused(PromptError, path, "feature", "not finite")
    with pytest.raises(PromptError, match="--point"):
        prompts_from_options([xy], [], [], WGS84)


@pytest.mark.fault("P04")
def test_huge_coordinates_are_outside_and_no_overflow():
    for x in (1e300, -1e308):
        with pytest.raises(PromptError):
            to_scene([Prompt(1, CRS(UTM), np.array([(x, 0.0)]), np.ones(1, np.int8))], SCENE)


@pytest.mark.fault("P05")
def test_metres_declared_as_degrees(tmp_path):
    path = write_geojson(tmp_path / "p.geojson", feature(json_point(X + 10, Y + 10), label=1))
    refused(CRSMismatch, path, "feature 0", "-180..180", "`prompt_crs`", "500010", scene=SCENE)
    prompts, (warning,) = read_prompts(path, crs=CRS(UTM))
    assert "WGS 84 / UTM zone 33N" in warning
    np.testing.assert_array_equal(to_scene(prompts, SCENE)[0][0].points_xy, [(20, 180)])


@pytest.mark.fault("P06")
def test_the_old_crs_member_is_honoured(tmp_path):
    def named(code):
        return {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}

    metres = write_geojson(tmp_path / "m.geojson", feature(json_point(X + 10, Y + 10)), crs=named(32633))
    lonlat = Transformer.from_crs(UTM, WGS84, always_xy=True).transform(X + 10, Y + 10)
    degrees = write_geojson(tmp_path / "d.geojson", feature(json_point(*lonlat)), crs=named(4326))
    np.testing.assert_array_equal(placed_points(metres), [(20, 180)])
    np.testing.assert_allclose(placed_points(degrees), [(20, 180)], atol=1e-6)


@pytest.mark.fault("P07")
def test_a_layer_without_crs_needs_one_from_the_user(tmp_path):
    path = write_layer(tmp_path / "p.shp", shifted(Point(10, 10)), geometry_type="Point", label=[1])
    (tmp_path / "p.prj").unlink()
    refused(CRSMismatch, path, "no CRS", "`prompt_crs`")
    np.testing.assert_array_equal(placed_points(path, crs=CRS(UTM)), [(20, 180)])


@pytest.mark.fault("P07")
def test_a_table_without_geometry_is_no_layer(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("x,y\n1,2\n")
    refused(PromptError, path, "starts with 'x,y", "GeoPackage")
    bare = tmp_path / "t.gpkg"
    write_layer(bare, shifted(Point(1, 1)), label=[1])
    with contextlib.closing(sqlite3.connect(bare)) as database:
        database.execute("DELETE FROM gpkg_geometry_columns")
        database.execute("UPDATE gpkg_contents SET data_type = 'attributes'")
        database.commit()
    refused(PromptError, bare, "no layer with geometries")


@pytest.mark.fault("P08")
def test_prompts_in_different_crss_are_placed_each_by_its_own(tmp_path):
    lonlat = Transformer.from_crs(UTM, WGS84, always_xy=True).transform(X + 20, Y + 30)
    metres = read_prompts(write_layer(tmp_path / "m.gpkg", shifted(Point(10, 10)), label=[1]))[0]
    degrees = read_prompts(write_layer(tmp_path / "d.gpkg", [Point(*lonlat)], crs="EPSG:4326", label=[1]))[0]
    placed, _ = to_scene([*degrees, *metres, *degrees], SCENE)
    np.testing.assert_allclose(
        np.concatenate([p.points_xy for p in placed]), [(40, 140), (20, 180), (40, 140)], atol=1e-6
    )


@pytest.mark.fault("P09")
@pytest.mark.parametrize(
    ("crs", "xy", "texts"),
    [
        (4326, (15, 91), ("-90..90",)),
        (4326, (105, 10), ("0.5 px", "UTM zone 33N")),
        (32648, (X, 1e6), ("0.5 px", "UTM zone 48N")),
        (32648, (1e12, 1e12), ("UTM zone 48N",)),
    ],
)
def test_far_outside_the_area_of_use(tmp_path, crs, xy, texts):
    path = write_layer(tmp_path / "p.gpkg", [Point(*xy)], crs=f"EPSG:{crs}", label=[1])
    refused(CRSMismatch, path, "feature 1", "`prompt_crs`", *texts, scene=SCENE)
    if xy[1] <= 90 or crs != 4326:
        assert to_scene(read_prompts(path)[0], SCENE, skip_outside=True)[0] == []


@pytest.mark.fault("P09")
def test_a_wrong_position_inside_the_scene_is_refused_even_when_skipping():
    x, y = Transformer.from_crs(32648, 32633, always_xy=True).transform(X, 1e6)
    scene = GeoBox(2000, 2000, Affine(0.5, 0, x - 500, 0, -0.5, y + 500), CRS(32633))
    prompt = Prompt(1, CRS(32648), np.array([(X, 1e6)]), np.ones(1, np.int8))
    for skip in (False, True):
        with pytest.raises(CRSMismatch):
            to_scene([prompt], scene, skip_outside=skip)


@pytest.mark.fault("P10")
@pytest.mark.parametrize("code", [4326, 31467, 2193, 3035])
def test_axis_order_is_x_then_y_whatever_the_crs_says(tmp_path, code):
    centre = {4326: (10, 50), 31467: (9, 48), 2193: (174, -41), 3035: (10, 52)}[code]
    zone = CRS(32632 if centre[1] > 0 else 32760)
    x, y = Transformer.from_crs(4326, zone, always_xy=True).transform(*centre)
    scene = GeoBox(200, 200, Affine(0.5, 0, x - 50, 0, -0.5, y + 50), zone)
    at = Transformer.from_crs(4326, code, always_xy=True).transform(*centre)
    path = write_layer(tmp_path / "p.gpkg", [Point(*at)], crs=f"EPSG:{code}", label=[1])
    np.testing.assert_allclose(placed_points(path, scene), [(100, 100)], atol=1e-3)


@pytest.mark.fault("P11")
def test_an_empty_layer_is_no_error(tmp_path):
    for path in (write_geojson(tmp_path / "p.geojson"), write_layer(tmp_path / "p.gpkg", [])):
        prompts, (warning,) = read_prompts(path)
        assert prompts == []
        assert "no prompts" in warning


@pytest.mark.fault("P12")
def test_an_inverted_box_is_turned_round():
    prompts, (warning,) = prompts_from_options([], [], [(X + 20, Y + 5, X + 10, Y + 25)], CRS(UTM))
    assert prompts[0].box_xyxy == (X + 10, Y + 5, X + 20, Y + 25)
    assert f"--box {X + 20}," in warning


@pytest.mark.fault("P13")
@pytest.mark.parametrize("flat", [(1, 1, 1, 5), (1, 1, 5, 1), (2, 2, 2, 2)])
def test_a_box_without_area(tmp_path, flat):
    with pytest.raises(EmptyPrompt, match=r"--box 1|--box 2"):
        prompts_from_options([], [], [flat], CRS(UTM))
    path = write_layer(tmp_path / "p.gpkg", shifted(box(0, 0, 1, 1), box(*flat)))
    refused(EmptyPrompt, path, "feature 2", "no area")


@pytest.mark.fault("P14")
@pytest.mark.parametrize("position", range(4))
def test_a_box_with_nan(position):
    corners = [0.0, 0.0, 5.0, 5.0]
    corners[position] = float("nan")
    with pytest.raises(PromptError, match=r"not finite.*--box"):
        prompts_from_options([], [], [tuple(corners)], CRS(UTM))


@pytest.mark.fault("P15")
def test_a_box_half_outside_is_clipped_and_one_wholly_outside_refused(tmp_path):
    half = read_prompts(write_layer(tmp_path / "h.gpkg", shifted(box(-10, 10, 10, 120))))[0]
    (placed,), (warning,) = to_scene(half, SCENE)
    assert placed.box_xyxy == placed.bounds_xyxy == (0, 0, 20, 180)
    assert "clipped" in warning
    assert "feature 1" in warning
    for number, outside in enumerate([box(-20, 10, 0, 30), box(10, 200, 20, 300), box(150, 0, 160, 9)]):
        path = write_layer(tmp_path / f"{number}.gpkg", shifted(outside))
        refused(PromptOutsideScene, path, "feature 1", "m outside", scene=SCENE)


@pytest.mark.fault("P15")
def test_a_mask_polygon_outside_is_judged_by_its_area_not_its_envelope(tmp_path):
    corner = Polygon([(-30, 90), (-30, 130), (10, 130)])
    scene = to_scene(read_prompts(write_layer(tmp_path / "b.gpkg", shifted(corner)))[0], SCENE)[0]
    assert scene[0].box_xyxy == (0, 0, 20, 20)
    path = write_layer(tmp_path / "m.gpkg", shifted(corner))
    refused(PromptOutsideScene, path, scene=SCENE, polygons="mask")


@pytest.mark.fault("P16")
def test_a_box_larger_than_a_tile_is_placed_whole():
    scene = GeoBox(9000, 9000, Affine(0.5, 0, X, 0, -0.5, Y), CRS(UTM))
    prompts, _ = prompts_from_options([], [], [(X + 100, Y - 3100, X + 3100, Y - 100)], CRS(UTM))
    assert to_scene(prompts, scene)[0][0].box_xyxy == (200, 200, 6200, 6200)
