import datetime as dt
import itertools
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import shapely
from prompt_files import UTM, X, Y, feature, json_point, shifted, write_geojson, write_layer
from pyproj import CRS
from shapely import MultiPoint, MultiPolygon, Point, box

from geosam.errors import CRSMismatch, EmptyPrompt, ExportError, OutputExists, PromptError, UnknownFormat
from geosam.prompts.features import KINDS
from geosam.prompts.layer import read_prompts, write_prompts
from geosam.prompts.prompt import Prompt, Steps

SESSION = shifted(Point(1, 1), box(0, 0, 5, 5), Point(2, 2), Point(9, 9), Point(3, 3))
SCHEMA = {
    "object_id": [7, 7, 7, 4, 7],
    "step": [2, 0, 1, 0, 3],
    "kind": ["point", "box", "point", "point", "point"],
    "label": [1, 1, 0, 1, 1],
    "granularity": ["auto", "part", "auto", "group", "auto"],
}


def same(one, other):
    """Whether two prompts are equal in everything but their source."""
    assert (one.id, one.crs, one.box_xyxy, one.granularity) == (other.id, other.crs, other.box_xyxy, other.granularity)
    assert dict(one.attributes) == dict(other.attributes)
    np.testing.assert_array_equal(one.points_xy, other.points_xy)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.mask is None) == (other.mask is None)
    assert one.mask is None or shapely.equals_exact(one.mask, other.mask)
    assert plain(one.steps) == plain(other.steps)


def plain(steps):
    """Steps as something that can be compared."""
    return None if steps is None else (steps.points.tolist(), steps.box, steps.polygon)


def test_features_of_one_object_id_are_one_object_in_the_order_of_their_steps(tmp_path):
    path = write_layer(tmp_path / "s.gpkg", SESSION, **SCHEMA, name=["c", "a", "b", "d", "e"])
    prompts, warnings = read_prompts(path)
    assert warnings == []
    assert [p.id for p in prompts] == [7, 4]
    first = prompts[0]
    np.testing.assert_array_equal(first.points_xy - (X, Y), [(2, 2), (1, 1), (3, 3)])
    assert first.labels.tolist() == [0, 1, 1]
    assert first.box_xyxy == (X, Y, X + 5, Y + 5)
    assert first.granularity == "part"
    assert first.attributes == {"name": "a"}
    assert plain(first.steps) == ([1, 2, 3], 0, 0)
    assert prompts[1].steps is None
    assert prompts[1].granularity == "group"
    assert all(p.crs == CRS(UTM) for p in prompts)


@pytest.mark.fault("P33")
def test_the_order_of_rows_does_not_change_an_object(tmp_path):
    columns = {**SCHEMA, "step": [1, 0, 1, 0, 1]}  # equal steps have no order of their own either
    seen = []
    for number, order in enumerate(itertools.islice(itertools.permutations(range(5)), 0, 120, 7)):
        geometries = [SESSION[i] for i in order]
        shuffled = {name: [values[i] for i in order] for name, values in columns.items()}
        prompts, _ = read_prompts(write_layer(tmp_path / f"{number}.gpkg", geometries, **shuffled))
        seen.append({p.id: p for p in prompts})
    for objects in seen[1:]:
        for name in (4, 7):
            same(objects[name], seen[0][name])


@pytest.mark.parametrize(
    ("steps", "ranks"),
    [
        ([4, 4, 4], None),
        ([-3, 10**15, 8], ([0, 2], 1)),
        ([7, 7, -2], ([1, 1], 0)),
        ([0, 1, 1], ([0, 1], 1)),
    ],
)
def test_only_the_order_of_the_steps_counts(tmp_path, steps, ranks):
    kinds = {"kind": ["point", "point", "mask"], "label": [1, 0, None]}
    shapes = shifted(Point(1, 1), Point(2, 2), box(0, 0, 5, 5))
    path = write_layer(tmp_path / "s.gpkg", shapes, object_id=[1, 1, 1], step=steps, **kinds)
    (prompt,), _ = read_prompts(path)
    assert plain(prompt.steps) == (ranks and (ranks[0], 0, ranks[1]))


def test_objects_come_in_the_order_of_their_first_features(tmp_path):
    path = write_layer(tmp_path / "s.gpkg", shifted(*[Point(i, 0) for i in range(6)]), object_id=list("cabcab"))
    assert [p.id for p in read_prompts(path)[0]] == ["c", "a", "b"]


def test_object_ids_alone_make_a_schema(tmp_path):
    path = write_layer(tmp_path / "s.gpkg", shifted(Point(5, 0), Point(1, 0)), object_id=[1.0, 1.0], label=[0, 1])
    (prompt,), warnings = read_prompts(path)
    assert warnings == []
    assert prompt.id == 1
    assert isinstance(prompt.id, int)
    np.testing.assert_array_equal(prompt.points_xy[:, 0] - X, [1, 5])
    assert prompt.labels.tolist() == [1, 0]


def test_kinds_without_a_value_follow_the_geometry(tmp_path):
    path = write_layer(
        tmp_path / "s.gpkg", shifted(box(0, 0, 4, 4), Point(1, 1)), object_id=[1, 2], kind=["mask", None]
    )
    mask, point = read_prompts(path)[0]
    assert (mask.box_xyxy, mask.mask.area) == (None, 16)
    assert point.labels.tolist() == [1]


@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson", "p.shp", "p.fgb"])
def test_a_plain_layer_is_one_object_per_feature(tmp_path, name):
    points = shifted(Point(1, 2), Point(3, 4))
    path = write_layer(
        tmp_path / name, points, geometry_type="Point", species=["oak", "ash"], height=[1.5, None], count=[3, None]
    )
    prompts, warnings = read_prompts(path)
    fids = pyogrio.read_dataframe(path, fid_as_index=True).index.tolist()
    assert [p.id for p in prompts] == fids
    by_name = {p.attributes["species"]: p for p in prompts}
    assert by_name["oak"].attributes == {"species": "oak", "height": 1.5, "count": 3}
    assert by_name["ash"].attributes == {"species": "ash", "height": None, "count": None}
    np.testing.assert_array_equal(by_name["ash"].points_xy, [(X + 3, Y + 4)])
    assert f"feature {fids[0]}" in prompts[0].source
    assert str(path) in prompts[0].source
    assert any('no field "label"' in warning for warning in warnings)


def test_polygons_are_boxes_or_masks_as_asked(tmp_path):
    triangle, pair = shifted(
        shapely.Polygon([(0, 0), (4, 0), (0, 6)]), MultiPolygon([box(0, 0, 1, 1), box(8, 8, 9, 9)])
    )
    path = write_layer(tmp_path / "p.gpkg", [triangle, pair], label=["roof", "yard"], id=[5, 6])
    boxes, warnings = read_prompts(path)
    assert warnings == []
    assert [p.box_xyxy for p in boxes] == [triangle.bounds, pair.bounds]
    assert boxes[0].attributes == {"label": "roof", "id": 5}
    masks, _ = read_prompts(path, polygons="mask")
    assert [p.box_xyxy for p in masks] == [None, None]
    assert [p.mask.area for p in masks] == [12, 2]


def test_a_multipoint_is_one_object(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(MultiPoint([(5, 5), (1, 1), (3, 3)])), label=[1])
    (prompt,), _ = read_prompts(path)
    np.testing.assert_array_equal(prompt.points_xy[:, 0] - X, [5, 1, 3])
    assert prompt.labels.tolist() == [1, 1, 1]


def test_a_shapefile_keeps_the_granularity_under_its_short_name(tmp_path):
    with pytest.warns(RuntimeWarning, match="granularit"):
        path = write_layer(
            tmp_path / "p.shp", shifted(Point(1, 1)), geometry_type="Point", label=[1], granularity=["part"]
        )
    (prompt,), _ = read_prompts(path)
    assert prompt.granularity == "part"
    assert prompt.attributes == {}


def test_attributes_of_every_type_arrive_as_python_values(tmp_path):
    path = write_geojson(
        tmp_path / "p.geojson",
        feature(
            json_point(1, 2), label=1, i=1, b=True, s="é", f=1.5, d="2020-01-02", t="2020-01-02T10:00:00", l=[1, 2]
        ),
        feature(json_point(1, 2), label=0.0 + 1, i=None, b=None, s=None, f=None, d=None, t=None, l=None),
    )
    (full, blank), warnings = read_prompts(path)
    moment = dt.datetime(2020, 1, 2, 10, 0)  # noqa: DTZ001 - the file gives no zone
    date = dt.date(2020, 1, 2)
    assert full.attributes == {"i": 1, "b": True, "s": "é", "f": 1.5, "d": date, "t": moment}
    assert [type(v) for v in full.attributes.values()][:4] == [int, bool, str, float]
    assert blank.attributes == dict.fromkeys("ibsfdt")
    assert len(warnings) == 1
    assert 'field "l"' in warnings[0]


def test_the_given_crs_serves_a_layer_without_one_only(tmp_path):
    other = CRS(32632)
    (prompt,), warnings = read_prompts(write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1)), label=[1]), crs=other)
    assert prompt.crs == CRS(UTM)
    assert "`prompt_crs` is for layers without one" in warnings[0]
    with pytest.warns(UserWarning, match="crs"):
        bare = write_layer(tmp_path / "bare.gpkg", shifted(Point(1, 1)), crs=None, label=[1])
    (prompt,), warnings = read_prompts(bare, crs=other)
    assert (prompt.crs, warnings) == (other, [])


@pytest.mark.parametrize("attributes", [{}, {"name": "a", "n": 3, "x": 0.5, "ok": True, "day": dt.date(2020, 1, 2)}])
def test_written_prompts_are_read_back_the_same(tmp_path, attributes):
    crs = CRS(4326)
    ring = shapely.difference(box(0, 0, 9, 9), box(3, 3, 6, 6))
    prompts = [
        Prompt(
            3,
            crs,
            np.array([(0.1, 45.0), (0.3, 45.2), (0.2, 45.1)]),
            np.array([1, 0, 1], np.int8),
            box_xyxy=(0.0, 44, 1, 46),
            steps=Steps(np.array([0, 2, 3]), box=1),
        ),
        Prompt(1, crs, mask=ring, granularity="whole", attributes=attributes),
        Prompt(2, crs, np.array([(1 / 3, 2 / 3)]), np.ones(1, np.int8), mask=MultiPolygon([ring]), granularity="group"),
    ]
    path = tmp_path / "clicks.gpkg"
    write_prompts(path, prompts)
    again, warnings = read_prompts(path)
    assert warnings == []
    for one, other in zip(again, prompts, strict=True):
        same(one, replace(other, attributes={name: other.attributes.get(name) for name in attributes}))
    columns = pyogrio.read_info(path)["fields"].tolist()
    assert columns[:5] == ["object_id", "step", "kind", "label", "granularity"]
    assert set(pyogrio.read_dataframe(path)["kind"]) == set(KINDS)


def test_what_was_given_at_once_is_read_back_at_once_from_west_to_east(tmp_path):
    points, labels = np.array([(5.0, 1.0), (3.0, 9.0), (4.0, 2.0)]), np.array([1, 0, 1], np.int8)
    write_prompts(tmp_path / "p.gpkg", [Prompt(1, CRS(UTM), points, labels, box_xyxy=(0, 0, 9, 9))])
    (prompt,), _ = read_prompts(tmp_path / "p.gpkg")
    same(prompt, Prompt(1, CRS(UTM), points[[1, 2, 0]], labels[[1, 2, 0]], box_xyxy=(0, 0, 9, 9)))


def test_text_ids_and_taken_names_survive_writing(tmp_path):
    crs = CRS(UTM)
    one = np.ones(1, np.int8)
    attributes = {"label": "oak", "FID": 9, "geom": "g"}
    prompts = [Prompt(name, crs, np.array([(1.0, 2.0)]), one, attributes=attributes) for name in ("7", 8)]
    write_prompts(tmp_path / "p.gpkg", prompts)
    again, _ = read_prompts(tmp_path / "p.gpkg")
    assert [p.id for p in again] == ["7", "8"]
    assert again[0].attributes == {"label_": "oak", "FID_": 9, "geom_": "g"}


def test_a_layer_read_and_written_is_the_same_layer(tmp_path):
    first, _ = read_prompts(write_layer(tmp_path / "s.gpkg", SESSION, **SCHEMA, name=["c", "a", "b", "d", "e"]))
    write_prompts(tmp_path / "t.gpkg", first)
    second, _ = read_prompts(tmp_path / "t.gpkg")
    for one, other in zip(first, second, strict=True):
        same(one, other)


def test_writing_refuses_what_it_cannot_do_and_leaves_nothing_behind(tmp_path):
    prompt = Prompt(1, CRS(UTM), box_xyxy=(0, 0, 1, 1))
    path = tmp_path / "p.gpkg"
    write_prompts(path, [prompt])
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="`overwrite=True`"):
        write_prompts(path, [prompt])
    with pytest.raises(UnknownFormat, match=r"expected \.gpkg"):
        write_prompts(tmp_path / "p.shp", [prompt])
    with pytest.raises(CRSMismatch, match="2 CRSs"):
        write_prompts(path, [prompt, Prompt(2, CRS(4326), box_xyxy=(0, 0, 1, 1))], overwrite=True)
    with pytest.raises(EmptyPrompt, match="no prompts"):
        write_prompts(path, [], overwrite=True)
    mixed = [Prompt(i, CRS(UTM), box_xyxy=(0, 0, 1, 1), attributes={"a": value}) for i, value in enumerate(("x", 1))]
    with pytest.raises(ExportError) as caught:
        write_prompts(path, mixed, overwrite=True)
    assert f'{path}, field "a"' in str(caught.value)
    with pytest.raises(ExportError, match="folder does not exist"):
        write_prompts(tmp_path / "gone" / "p.gpkg", [prompt])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_overwriting_replaces_the_file(tmp_path):
    path = tmp_path / "p.gpkg"
    write_prompts(path, [Prompt(1, CRS(UTM), box_xyxy=(0, 0, 1, 1))])
    write_prompts(path, [Prompt(5, CRS(UTM), box_xyxy=(0, 0, 2, 2))], overwrite=True)
    assert [p.id for p in read_prompts(path)[0]] == [5]


def test_several_boxes_in_one_object_are_refused(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(box(0, 0, 1, 1), box(2, 2, 3, 3)), object_id=[7, 7])
    with pytest.raises(PromptError, match=r"feature 2.*object 7"):
        read_prompts(path)


def test_labels_of_real_scenes_are_read_as_prompts(data_dir):
    path = data_dir / "georef" / "buildings_kampala_0" / "labels.gpkg"
    prompts, _ = read_prompts(path)
    frame = pyogrio.read_dataframe(path)
    assert len(prompts) == len(frame)
    np.testing.assert_array_equal([p.box_xyxy for p in prompts], frame.geometry.bounds.to_numpy())
