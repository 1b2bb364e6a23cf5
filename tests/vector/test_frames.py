"""Tables of geopandas as vector tables: the same as those of a file with the same content."""

import subprocess
import sys

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import CRS
from shapely import Point, box

from geosam.errors import CRSMismatch, PromptError, UsageError
from geosam.vector.frame import is_frame, table_of_frame
from geosam.vector.polygons import PolygonLayer, polygons_of
from geosam.vector.reading import read_vector

UTM = CRS(32633)


def frame_of(**columns):
    shapes = [box(0, 0, 4, 2), box(5, 5, 6, 7), box(8, 0, 9, 1)]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=UTM)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.fgb"])
def test_a_table_is_the_same_as_the_file_it_is_written_to(tmp_path, name):
    frame = frame_of(whole=[1, 2, 3], part=[0.5, None, 2.0], text=["a", None, "ü"], flag=[True, False, True])
    frame.to_file(tmp_path / name)
    of_file, _ = read_vector(tmp_path / name)
    of_frame, notes = table_of_frame(frame)
    assert notes == []
    rows = [int(np.flatnonzero(shapely.equals(of_file.geometries, shape))[0]) for shape in of_frame.geometries]
    for column, values in of_frame.columns.items():
        assert [of_file.columns[column][row] for row in rows] == values
        assert [type(of_file.columns[column][row]) for row in rows] == [type(value) for value in values]
    assert of_frame.crs == of_file.crs


def test_the_geometry_column_may_have_any_name_and_others_are_left_out():
    frame = frame_of(n=[1, 2, 3]).rename_geometry("outline")
    frame["centre"] = frame.centroid
    table, notes = table_of_frame(frame, "roofs")
    assert table.columns == {"n": [1, 2, 3]}
    assert notes == ['roofs, field "centre": neither numbers, text nor dates, left out']
    assert shapely.equals(table.geometries, np.asarray(frame.geometry.array)).all()


def test_features_are_numbered_by_a_whole_number_index_and_else_from_0():
    assert table_of_frame(frame_of().set_index(pd.Index([7, 3, 5])))[0].fids.tolist() == [7, 3, 5]
    for index in (["a", "b", "c"], [1, 1, 2], [0.5, 1.5, 2.5]):
        assert table_of_frame(frame_of().set_index(pd.Index(index)))[0].fids.tolist() == [0, 1, 2]


def test_marked_rows_keep_their_numbers_and_values():
    table, _ = table_of_frame(frame_of(n=[10, 20, 30]), "roofs")
    some = table.select(np.array([True, False, True]))
    assert some.fids.tolist() == [0, 2]
    assert some.columns == {"n": [10, 30]}
    assert some.feature(1, "n") == 'roofs, feature 2 field "n"'
    assert some.crs == UTM


def test_only_tables_with_geometries_are_frames():
    assert is_frame(frame_of())
    assert is_frame(frame_of().geometry)
    for other in (pd.DataFrame({"a": [1]}), [box(0, 0, 1, 1)], "a.gpkg", None):
        assert not is_frame(other)


def test_a_frame_is_recognised_without_loading_geopandas():
    code = "import sys; from geosam.vector.frame import is_frame; sys.exit(is_frame([]) or 'geopandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_polygons_of_a_table_are_those_of_its_file(tmp_path):
    frame = frame_of(id=[4, 9, 2], **{"class": ["roof", None, "road"]})
    frame.to_file(tmp_path / "a.gpkg")
    of_frame, of_file = polygons_of(frame), polygons_of(tmp_path / "a.gpkg")
    for layer in (of_frame, of_file):
        assert layer.ids.tolist() == [4, 9, 2]
        assert layer.classes == ("roof", "", "road")
        assert layer.crs == UTM
    assert shapely.equals(of_frame.polygons, of_file.polygons).all()
    assert polygons_of(of_frame) is of_frame


def test_tables_that_are_no_polygons_in_a_crs_end_in_a_sentence():
    with pytest.raises(CRSMismatch, match="the table `truth`: found coordinates only"):
        polygons_of(frame_of().set_crs(None, allow_override=True), name="truth")
    with pytest.raises(PromptError, match="feature 0: found no polygon"):
        polygons_of(geopandas.GeoSeries([Point(1, 2)], crs=UTM))
    with pytest.raises(UsageError, match="found list, expected a path"):
        polygons_of([box(0, 0, 1, 1)])


def test_a_layer_of_polygons_can_be_made_selected_and_moved_to_another_crs():
    shapes = [box(5e5, 5e6, 5e5 + 9, 5e6 + 9), box(4e5, 5e6, 4e5 + 9, 5e6 + 9)]
    layer = PolygonLayer.of(shapes, "EPSG:32633", ["a", "b"])
    assert len(layer) == 2
    second = layer.select(np.array([False, True]))
    assert (second.ids.tolist(), second.classes) == ([1], ("b",))
    there = second.to_crs(CRS(4326))
    assert there.crs == CRS(4326)
    assert there.to_crs(CRS(4326)) is there
    back = there.to_crs(UTM).polygons
    assert shapely.hausdorff_distance(back[0], second.polygons[0]) < 1e-5
