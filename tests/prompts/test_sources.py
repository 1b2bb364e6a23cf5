"""Prompts from anything: each form gives the prompts it says, and what is no prompt ends in one sentence."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio.crs
import shapely
from hypothesis import given
from hypothesis import strategies as st
from prompt_files import UTM, X, Y, shifted, write_layer
from pyproj import CRS
from shapely import MultiPoint, Point, box

from geosam.errors import CRSMismatch, EmptyPrompt, GeosamError, PromptError, UsageError
from geosam.geometry.geobox import GeoBox, map_crs
from geosam.prompts.draft import Draft
from geosam.prompts.from_draft import draft_of, prompt_of
from geosam.prompts.layer import read_prompts
from geosam.prompts.prompt import Prompt
from geosam.prompts.sources import prompts_of
from geosam.vector.frame import table_of_frame

NUMBERS = st.floats(-1e6, 1e6)


def plain(prompt):
    """Everything a prompt says but its source, as something that can be compared."""
    areas = [None if shape is None else shape.normalize().wkb for shape in (prompt.mask, prompt.outline)]
    steps = prompt.steps and (prompt.steps.points.tolist(), prompt.steps.box, prompt.steps.polygon)
    named = (prompt.id, prompt.crs, prompt.granularity, dict(prompt.attributes))
    return (*named, prompt.points_xy.tolist(), prompt.labels.tolist(), prompt.box_xyxy, *areas, steps)


def refusal(*args, error=PromptError, **options):
    """The sentence in which an attempt ends."""
    with pytest.raises(error) as caught:
        prompts_of(*args, **options)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "crs", ["EPSG:32633", 32633, CRS(32633), rasterio.crs.CRS.from_epsg(32633), CRS(32633).to_wkt()]
)
def test_a_crs_may_be_written_in_any_form(crs):
    (prompt,), _ = prompts_of([(X, Y)], crs=crs)
    assert prompt.crs == CRS(32633)
    assert Prompt.point(X, Y, crs=crs).crs == CRS(32633)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_every_point_of_a_list_is_an_object(points):
    for given_points in (points, [list(xy) for xy in points], np.array(points), iter(points)):
        prompts, warnings = prompts_of(given_points, crs=UTM)
        assert [p.id for p in prompts] == list(range(1, len(points) + 1))
        assert [p.points_xy.tolist() for p in prompts] == [[list(xy)] for xy in points]
        assert all(p.labels.tolist() == [1] for p in prompts)
        assert warnings == []


def test_two_numbers_are_a_point_and_four_are_a_box():
    (point,), _ = prompts_of((X, Y), crs=UTM)
    assert point.points_xy.tolist() == [[X, Y]]
    for corners in ((0, 1, 2, 3), [0, 1, 2, 3], np.array([0, 1, 2, 3])):
        (one,), _ = prompts_of(corners, crs=UTM)
        assert one.box_xyxy == (0, 1, 2, 3)
    boxes, _ = prompts_of([(0, 1, 2, 3), (5, 5, 6, 6)], crs=UTM)
    assert [(p.id, p.box_xyxy) for p in boxes] == [(1, (0, 1, 2, 3)), (2, (5, 5, 6, 6))]
    assert "no area" in refusal([(5, 5, 5, 6)], crs=UTM, error=EmptyPrompt)


def test_geometries_are_boxes_or_masks_and_points_like_those_of_a_file(tmp_path):
    shapes = shifted(Point(1, 1), box(0, 0, 4, 2), MultiPoint([(1, 1), (2, 2)]), Point(3, 3, 9))
    for polygons in ("box", "mask"):
        of_file, _ = read_prompts(write_layer(tmp_path / f"{polygons}.gpkg", shapes), polygons=polygons)
        for several in (shapes, np.array(shapes, object), geopandas.GeoSeries(shapes, [1, 2, 3, 4], crs=UTM)):
            prompts, warnings = prompts_of(several, crs=UTM, polygons=polygons)
            assert [plain(p) for p in prompts] == [plain(p) for p in of_file]
            assert warnings == []
    (one,), _ = prompts_of(shapes[1], crs=UTM)
    assert one.box_xyxy == (X, Y, X + 4, Y + 2)


def test_points_boxes_geometries_drafts_and_prompts_may_be_mixed_and_keep_their_order():
    items = [(X, Y), box(0, 0, 4, 2), (0, 0, 3, 3), Draft("EPSG:4326").with_point(13, 52, 1), Point(7, 8)]
    prompts, _ = prompts_of([*items, Prompt.point(1, 2, crs=4326, id="tree")], scene_crs=UTM)
    assert [p.id for p in prompts] == [1, 2, 3, 4, 5, "tree"]
    assert [p.box_xyxy for p in prompts] == [None, (0, 0, 4, 2), (0, 0, 3, 3), None, None, None]
    assert [p.crs.to_epsg() for p in prompts] == [32633, 32633, 32633, 4326, 32633, 4326]


@pytest.mark.parametrize("columns", [{}, {"object_id": ["a", "b", "a"], "label": [1, 1, 0], "step": [1, 0, 0]}])
def test_a_table_gives_the_prompts_of_the_file_it_was_read_from(tmp_path, columns):
    attributes = {"name": ["x", None, "z"], "height": [1.5, None, 3.0], "day": [dt.date(2024, 5, n) for n in (1, 2, 3)]}
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1), box(0, 0, 4, 4), Point(2, 2)), **columns, **attributes)
    of_file, _ = read_prompts(path)
    frame = geopandas.read_file(path, fid_as_index=True)
    frame["day"] = attributes["day"]
    of_table, _ = prompts_of(frame)
    assert [plain(p) for p in of_table] == [plain(p) for p in of_file]
    assert of_table[0].attributes["name"] in {"x", "z"}


def test_a_table_brings_its_crs_and_another_one_is_not_believed():
    frame = geopandas.GeoDataFrame({"label": [1, 0.0]}, geometry=[Point(13, 52), Point(13, 53)], crs=4326)
    frame["object_id"] = 1
    (prompt,), warnings = prompts_of(frame, crs=UTM, scene_crs=UTM)
    assert prompt.crs == CRS(4326)
    assert prompt.labels.tolist() == [1, 0]
    assert "its own CRS WGS 84 is used" in warnings[0]


def test_a_table_without_crs_needs_one_whatever_the_scene_has():
    frame = geopandas.GeoDataFrame(geometry=[Point(1, 2)])
    assert "`prompt_crs`" in refusal(frame, scene_crs=UTM, error=CRSMismatch)
    assert prompts_of(frame, crs=UTM)[0][0].crs == CRS(UTM)


def test_columns_of_a_table_become_plain_values():
    frame = geopandas.GeoDataFrame(
        {
            "whole": pd.array([1, None], "Int64"),
            "flag": [True, False],
            "time": pd.to_datetime(["2024-05-01T12:00", None]),
            "kind": pd.Categorical(["a", "b"]),
            "list": [[1], [2]],
        },
        geometry=[Point(1, 2, 3), None],
        index=["first", "second"],
        crs=UTM,
    )
    table, notes = table_of_frame(frame)
    assert table.columns["whole"] == [1, None]
    assert [type(value) for value in table.columns["whole"] + table.columns["flag"]] == [int, type(None), bool, bool]
    assert table.columns["time"] == [dt.datetime(2024, 5, 1, 12), None]  # noqa: DTZ001 - the table says no zone
    assert type(table.columns["time"][0]) is dt.datetime
    assert table.columns["kind"] == ["a", "b"]
    assert "list" not in table.columns
    assert notes == ['the table, field "list": neither numbers, text nor dates, left out']
    assert table.fids.tolist() == [0, 1]
    assert not shapely.has_z(table.geometries).any()


def test_a_table_whose_geometry_column_is_not_set_says_how_to_set_it():
    assert "set_geometry" in refusal(geopandas.GeoDataFrame({"a": [1]}))


def test_bare_coordinates_are_in_the_crs_of_the_scene_unless_another_is_given():
    assert prompts_of((1, 2), scene_crs=UTM)[0][0].crs == CRS(UTM)
    assert prompts_of((1, 2), crs=4326, scene_crs=UTM)[0][0].crs == CRS(4326)
    for bare in ((1, 2), Point(1, 2), [box(0, 0, 1, 1)]):
        assert '`prompt_crs`, for example "EPSG:4326"' in refusal(bare, error=CRSMismatch)


def test_prompts_keep_their_ids_unless_two_share_one():
    named = [Prompt.point(1, 2, crs=UTM, id="a"), Prompt.point(3, 4, crs=4326, id="b")]
    prompts, warnings = prompts_of(named)
    assert prompts == named
    assert warnings == []
    unnamed, warnings = prompts_of([Prompt.point(1, 2, crs=UTM), Prompt.point(3, 4, crs=UTM)])
    assert [p.id for p in unnamed] == [1, 2]
    assert warnings == []
    twins, warnings = prompts_of([named[0], named[0]])
    assert [p.id for p in twins] == [1, 2]
    assert "share ids" in warnings[0]
    assert prompts_of(named[0])[0] == [named[0]]


def test_an_empty_list_is_no_prompt_and_says_so():
    assert prompts_of([]) == ([], ["no prompts: an empty list"])


@pytest.mark.parametrize(
    "prompts",
    [
        None,
        5,
        b"\1\2",
        {"x": 1},
        pd.DataFrame({"x": [1.0], "y": [2.0]}),
        [(1, 2, 3)],
        [("1", "2")],
        [(True, False)],
        [[(1, 2), (3, 4)]],
        [None],
        np.zeros((2, 3)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_prompt_ends_in_a_sentence_that_says_what_is(prompts):
    message = refusal(prompts, crs=UTM)
    assert "(x, y) points" in message
    assert len(message) < 500


def test_unreadable_files_unknown_crss_and_unknown_words_end_in_a_sentence():
    assert "no such file" in refusal("no_such.gpkg")
    assert "no such file" in refusal(Path("no_such.gpkg"))
    assert "unknown CRS: `prompt_crs`: found 'EPSG:0'" in refusal((1, 2), crs="EPSG:0")
    assert "unknown CRS" in refusal((1, 2), crs=object())
    assert "'box' or 'mask'" in refusal(Point(1, 2), crs=UTM, polygons="line", error=UsageError)
    assert "LineString" in refusal([Point(1, 2), shapely.LineString([(0, 0), (1, 1)])], crs=UTM)
    assert "not finite" in refusal([(1, float("nan"))], crs=UTM)


def test_coordinates_and_geometries_do_not_load_geopandas():
    code = (
        "import sys; from shapely import Point; from geosam.prompts.sources import prompts_of; "
        "prompts_of([(1, 2), Point(3, 4), (0, 0, 1, 1)], crs=4326); "
        "sys.exit('geopandas' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_prompt_takes_lists_and_text():
    prompt = Prompt(crs="EPSG:4326", points_xy=[[13, 52], [14, 53]], labels=[1, 0])
    assert (prompt.id, prompt.crs) == (1, CRS(4326))
    assert prompt.points_xy.dtype == np.float64
    assert prompt.labels.dtype == np.int8
    assert Prompt(crs=4326, points_xy=[[13, 52]]).labels.tolist() == [1]
    with pytest.raises(AttributeError):
        prompt.id = 2


def test_points_boxes_and_polygons_are_made_in_a_word():
    assert Prompt.point(1, 2, crs=UTM, label=1, id="a").points_xy.tolist() == [[1, 2]]
    assert Prompt.box(0, 1, 2, 3, crs=UTM, granularity="part").box_xyxy == (0, 1, 2, 3)
    drawn = Prompt.polygon(box(0, 0, 1, 1), crs=UTM, attributes={"name": "roof"})
    assert drawn.mask.equals(box(0, 0, 1, 1))
    assert drawn.attributes == {"name": "roof"}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"points_xy": [[1, 2]]}, 'Give `crs`, for example "EPSG:4326"'),
        ({"crs": "EPSG:4326", "points_xy": [1, 2]}, "Write points_xy=[[x, y], ...]"),
        ({"crs": "EPSG:4326", "points_xy": [[1, 2], [3]]}, "expected numbers"),
        ({"crs": "EPSG:4326", "points_xy": [["a", "b"]]}, "expected numbers"),
        ({"crs": "EPSG:4326", "points_xy": [[1, 2]], "labels": [0.5]}, "found 0.5"),
        ({"crs": "EPSG:4326", "points_xy": [[1, 2]], "labels": ["yes"]}, "labels are not numbers"),
        ({"crs": "EPSG:4326", "box_xyxy": (1, 2, 3)}, "found 3, expected xmin, ymin, xmax, ymax"),
        ({"crs": "EPSG:4326", "mask": "POLYGON"}, "found str, expected a Polygon"),
        ({"crs": "EPSG:4326", "mask": Point(1, 2)}, "found Point, expected a Polygon"),
        ({"crs": "WGS85", "points_xy": [[1, 2]]}, "unknown CRS"),
    ],
)
def test_a_prompt_that_is_written_wrong_says_what_to_write(parts, text):
    with pytest.raises(GeosamError) as caught:
        Prompt(**parts)
    assert isinstance(caught.value, PromptError)
    assert text in str(caught.value)


def test_printed_prompts_and_drafts_fit_a_screen():
    wkt = CRS(32633).to_wkt()
    circle = Point(0, 0).buffer(9, quad_segs=25_000)
    prompt = Prompt.polygon(
        circle, crs=wkt, points_xy=np.zeros((900, 2)), labels=[1] * 400 + [0] * 500, source="s" * 99
    )
    assert "400 including points, 500 excluding points, a mask" in repr(prompt)
    draft = draft_of(prompt)
    many = Draft(wkt, draft.steps)
    for value in (prompt, draft, draft.steps[0], many, prompt_of(many)):
        assert len(repr(value)) < 300
        assert "\n" not in repr(value)
    assert repr(Draft().with_point(1, 2, 1).with_point(3, 4, 0)) == "Draft('', [point+, point-], 'auto')"


def test_a_draft_that_names_no_crs_is_in_that_of_the_scene():
    draft = Draft().with_point(X, Y, 1)
    grid = GeoBox(9, 9, rasterio.Affine.identity(), map_crs(UTM))
    assert prompt_of(draft, crs=grid.crs).crs == CRS(UTM)
    assert prompts_of(draft, scene_crs=UTM)[0][0].crs == CRS(UTM)
    with pytest.raises(CRSMismatch, match="no CRS"):
        prompt_of(draft)
