"""Features of prompt layers: their fields, labels and geometries, usual and unusual."""

import struct

import numpy as np
import pytest
import shapely
from prompt_files import (
    BOWTIE,
    SCENE,
    UTM,
    WGS84,
    X,
    Y,
    feature,
    refused,
    shifted,
    write_geojson,
    write_layer,
    write_raw_geometry,
)
from pyproj import CRS, Transformer
from shapely import GeometryCollection, LineString, MultiPoint, Point, Polygon, box

from geosam.apps.cli.options.prompts import prompts_from_options
from geosam.errors import EmptyPrompt, PromptError
from geosam.prompts import placement
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene
from geosam.prompts.prompt import MAX_POINTS_PER_OBJECT, Prompt


def placed_points(path, scene=SCENE, **options):
    prompts, _ = read_prompts(path, **options)
    return np.concatenate([p.points_xy for p in to_scene(prompts, scene)[0]])


@pytest.mark.fault("P17")
def test_only_negative_points(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), Point(2, 2)), object_id=[7, 7], label=[0, 0])
    refused(EmptyPrompt, path, "object 7", "at least one including point, a box or a mask")
    with pytest.raises(EmptyPrompt, match="--negative"):
        prompts_from_options([], [(1, 2)], [(0, 0, 1, 1)], CRS(UTM))


@pytest.mark.fault("P18")
@pytest.mark.parametrize("label", ["tree", "", "2", 2, -1, 0.5, None])
def test_labels_other_than_0_and_1(tmp_path, label):
    fine = "1" if isinstance(label, str) else 1
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), Point(2, 2)), label=[fine, label])
    refused(PromptError, path, 'feature 2 field "label"', repr(label), "1 (include) or 0 (exclude)")


@pytest.mark.fault("P18")
def test_numbers_may_be_text_because_kml_has_no_others(tmp_path):
    columns = {"object_id": ["7", "7"], "step": ["1", "0"], "label": ["1", "0"]}
    path = write_layer(tmp_path / "p.kml", [Point(15.1, 36), Point(15, 36)], crs="EPSG:4326", **columns)
    (prompt,), _ = read_prompts(path)
    assert prompt.id == "7"
    assert prompt.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(prompt.points_xy, [(15, 36), (15.1, 36)])


@pytest.mark.fault("P18")
@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("object_id", None, "a whole number or text"),
        ("object_id", 1.5, "a whole number or text"),
        ("step", 0.5, "a whole number"),
        ("step", None, "a whole number"),
        ("step", float("inf"), "a whole number"),
        ("kind", "circle", "one of point, box, mask"),
        ("kind", "box", "a polygon for boxes"),
        ("granularity", "huge", "one of auto, part, whole, group"),
    ],
)
def test_other_fields_of_the_schema_with_values_that_mean_nothing(tmp_path, field, value, wanted):
    columns = {"object_id": [1, 2], "step": [0, 0], "label": [1, 1], field: [None, value]}
    columns[field][0] = {"object_id": 1, "step": 0, "kind": "point", "granularity": "auto"}[field]
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), Point(2, 2)), **columns)
    refused(PromptError, path, f'feature 2 field "{field}"', wanted)


@pytest.mark.fault("P18")
def test_a_box_cannot_exclude(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(box(1, 1, 2, 2)), object_id=[1], label=[0])
    refused(PromptError, path, 'feature 1 field "label"', "1 or nothing")


@pytest.mark.fault("P18")
def test_without_the_column_every_point_includes_with_a_warning(tmp_path):
    prompts, (warning,) = read_prompts(write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), Point(2, 2))))
    assert [p.labels.tolist() for p in prompts] == [[1], [1]]
    assert 'no field "label"' in warning


@pytest.mark.fault("P19")
def test_many_points_need_one_transformation_for_each_crs(monkeypatch):
    made = []
    original = Transformer.from_crs
    counting = staticmethod(lambda *args, **options: made.append(args) or original(*args, **options))
    monkeypatch.setattr(placement.Transformer, "from_crs", counting)
    pixels = np.random.default_rng(0).uniform((0, 0), (300, 200), (100_000, 2))
    lonlat = Transformer.from_crs(UTM, WGS84, always_xy=True).transform(*SCENE.to_map(pixels).T)
    made.clear()
    placement._transformer.cache_clear()
    one = np.ones(1, np.int8)
    prompts = [Prompt(i, WGS84, xy, one) for i, xy in enumerate(np.stack(lonlat, axis=1)[:, None])]
    placed, warnings = to_scene(prompts, SCENE)
    assert len(made) == 1
    assert warnings == []
    np.testing.assert_allclose(np.concatenate([p.points_xy for p in placed]), pixels, atol=1e-5)


@pytest.mark.fault("P20")
def test_too_many_points_for_one_object(tmp_path):
    count = MAX_POINTS_PER_OBJECT + 1
    points = shifted(*[Point(i / 100, 1) for i in range(count)])
    path = write_layer(tmp_path / "p.gpkg", points, object_id=[7] * count, label=[1] * count)
    refused(PromptError, path, "object 7", "1001", "at most 1000")
    refused(PromptError, write_layer(tmp_path / "m.gpkg", [MultiPoint(points)], label=[1]), "feature 1", "1001")


@pytest.mark.fault("P21")
@pytest.mark.parametrize("code", [1001, 2001, 3001])
def test_z_and_m_are_dropped(tmp_path, code):
    values = (X + 10, Y + 10, 77, 88)[: 4 if code == 3001 else 3]
    path = write_raw_geometry(tmp_path / "p.gpkg", struct.pack(f"<bI{len(values)}d", 1, code, *values))
    np.testing.assert_array_equal(placed_points(path), [(20, 180)])
    assert read_prompts(path)[0][0].points_xy.shape == (1, 2)


@pytest.mark.fault("P21")
def test_polygons_lose_their_heights(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", [shapely.force_3d(*shifted(box(0, 0, 5, 5)), 9)], geometry_type="Polygon Z")
    assert not shapely.has_z(read_prompts(path, polygons="mask")[0][0].mask)


@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    "geometry",
    [LineString([(0, 0), (5, 5)]), GeometryCollection([Point(1, 1)]), LineString([(0, 0), (5, 0)]).reverse()],
)
def test_lines_and_collections_are_no_prompts(tmp_path, geometry):
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), geometry))
    refused(PromptError, path, "feature 2", geometry.geom_type)


@pytest.mark.fault("P22")
def test_curves_become_polygons(tmp_path):
    circle = [(X + 10, Y + 5), (X + 5, Y + 10), (X, Y + 5), (X + 5, Y), (X + 10, Y + 5)]
    arc = struct.pack("<bII", 1, 8, 5) + b"".join(struct.pack("<2d", *xy) for xy in circle)
    path = write_raw_geometry(tmp_path / "p.gpkg", struct.pack("<bII", 1, 10, 1) + arc)
    (prompt,), _ = read_prompts(path, polygons="mask")
    assert prompt.mask.area == pytest.approx(np.pi * 25, rel=1e-2)


@pytest.mark.fault("P23")
def test_features_without_geometry_are_skipped_and_named(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", [*shifted(Point(1, 1), None, Point(2, 2)), Point()], name=list("abcd"))
    prompts, warnings = read_prompts(path)
    assert [(p.id, p.attributes["name"]) for p in prompts] == [(1, "a"), (3, "c")]
    assert "feature 2, 4: no geometry, skipped" in warnings[0]
    json = write_geojson(tmp_path / "p.geojson", feature(None), feature({"type": "Point", "coordinates": [1, "2"]}))
    prompts, warnings = read_prompts(json)
    assert prompts == []
    assert "feature 0, 1: no geometry" in " ".join(warnings)


@pytest.mark.fault("P24")
def test_a_polygon_that_crosses_itself_is_repaired(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(box(0, 0, 1, 1), BOWTIE))
    prompts, (warning,) = read_prompts(path, polygons="mask")
    assert "feature 2: crosses itself" in warning
    assert prompts[1].mask.is_valid
    assert prompts[1].mask.area == 8
    boxes, _ = read_prompts(path)
    assert boxes[1].box_xyxy == (X, Y, X + 4, Y + 4)


@pytest.mark.fault("P24")
def test_lines_that_repairing_leaves_are_dropped(tmp_path):
    tail = Polygon([(0, 0), (4, 0), (4, 4), (9, 4), (4, 4), (0, 4)])
    path = write_layer(tmp_path / "p.gpkg", shifted(tail))
    assert read_prompts(path)[0][0].box_xyxy == (X, Y, X + 4, Y + 4)


@pytest.mark.fault("P33")
def test_duplicates_are_kept_and_the_order_of_prompts_changes_none(tmp_path):
    points = shifted(Point(5, 5), Point(9, 9), Point(5, 5))
    prompts, _ = read_prompts(write_layer(tmp_path / "p.gpkg", points, label=[1, 1, 1]))
    placed, _ = to_scene(prompts, SCENE)
    assert [p.points_xy.tolist() for p in placed] == [[[10, 190]], [[18, 182]], [[10, 190]]]
    backwards, _ = to_scene(prompts[::-1], SCENE)
    assert [p.points_xy.tolist() for p in backwards[::-1]] == [p.points_xy.tolist() for p in placed]


@pytest.mark.fault("L10")
@pytest.mark.slow
def test_a_million_prompts(tmp_path):
    count = 1_000_000
    pixels = np.random.default_rng(0).uniform((0, 0), (300, 200), (count, 2))
    path = write_layer(
        tmp_path / "p.gpkg", shapely.points(SCENE.to_map(pixels)), geometry_type="Point", label=[1] * count
    )
    prompts, _ = read_prompts(path)
    placed, warnings = to_scene(prompts, SCENE)
    assert warnings == []
    np.testing.assert_allclose(np.concatenate([p.points_xy for p in placed]), pixels, atol=1e-5)
