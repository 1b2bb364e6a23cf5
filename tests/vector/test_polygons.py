import os
import sqlite3

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from geosam.errors import CRSMismatch, PromptError
from geosam.vector.polygons import PolygonLayer, read_polygons

UTM = "EPSG:32633"
RING = Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
BOWTIE = Polygon([(20, 0), (24, 4), (24, 0), (20, 4)])


def frame(geometries, crs=UTM, **columns):
    return gpd.GeoDataFrame(
        columns,
        geometry=[g if g is None else shapely.transform(g, lambda xy: xy + np.array([5e5, 5e6])) for g in geometries],
        crs=crs,
    )


def write(path, geometries, crs=UTM, **columns):
    table = frame(geometries, crs, **columns)
    if path.suffix.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_file(path)
    return path


def refusal(path, kind=PromptError, **options):
    with pytest.raises(kind) as caught:
        read_polygons(path, **options)
    text = str(caught.value)
    assert caught.value.exit_code == 4
    assert str(path) in text
    assert "\n" not in text
    return text


@pytest.mark.fault("O24")
@pytest.mark.parametrize(
    "name", ["a.gpkg", "a.shp", "a.fgb", "a.parquet", "a.geoparquet", "dört ünï/a b#1%20.gpkg", "a.geojson"]
)
def test_every_format_and_path_reads_the_same(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    names = ["roof", "yard"]
    write(path, [RING, MultiPolygon([box(20, 0, 30, 10), box(40, 0, 50, 10)])], id=[7, 5], **{"class": names})
    layer = read_polygons(path)
    order = np.argsort(-layer.ids)  # FlatGeobuf sorts by place
    assert layer.ids[order].tolist() == [7, 5]
    assert [layer.classes[row] for row in order] == names
    assert layer.crs == CRS(UTM)
    assert shapely.area(layer.polygons[order]).tolist() == pytest.approx([72, 200])
    assert layer.source.startswith(str(path))
    assert layer.notes == ()


def test_features_are_numbered_by_the_file_where_there_is_no_id(tmp_path):
    layer = read_polygons(write(tmp_path / "a.gpkg", [RING, RING], id=["x", "y"]))
    assert layer.ids.tolist() == [1, 2]
    assert layer.classes is None


@pytest.mark.fault("P05")
def test_metres_declared_as_degrees_are_refused(tmp_path):
    text = refusal(write(tmp_path / "a.gpkg", [RING], crs="EPSG:4326"), CRSMismatch)
    assert "5000009 as degrees" in text


@pytest.mark.fault("P07")
def test_layer_without_crs_is_refused(tmp_path):
    path = write(tmp_path / "a.shp", [RING])
    path.with_suffix(".prj").unlink()
    assert "no CRS" in refusal(path, CRSMismatch)


@pytest.mark.fault("P04")
def test_coordinates_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","id":3,"properties":{},"geometry":'
        '{"type":"Polygon","coordinates":[[[0,0],[1,NaN],[1,1],[0,0]]]}}]}'
    )
    assert "feature 3" in refusal(path)


@pytest.mark.fault("P09")
def test_coordinates_without_a_place_in_the_other_crs_are_refused():
    layer = PolygonLayer.of([box(10, 91, 11, 92)], 4326)
    with pytest.raises(CRSMismatch, match="memory, feature 0"):
        layer.to_crs(CRS.from_epsg(3857))


@pytest.mark.fault("P21")
def test_heights_are_dropped(tmp_path):
    path = write(tmp_path / "a.gpkg", [shapely.force_3d(RING, 4.0)])
    assert not shapely.has_z(read_polygons(path).polygons).any()


@pytest.mark.fault("P22")
@pytest.mark.parametrize("other", [Point(1, 1), LineString([(0, 0), (1, 1)])], ids=lambda g: g.geom_type)
def test_other_geometries_are_refused_by_number(tmp_path, other):
    assert "feature 2: found no polygon" in refusal(write(tmp_path / "a.gpkg", [RING, other]))


@pytest.mark.fault("P23")
def test_null_and_empty_geometries_are_skipped_with_a_note(tmp_path):
    layer = read_polygons(write(tmp_path / "a.gpkg", [None, RING, Polygon()]))
    assert layer.ids.tolist() == [2]
    assert layer.notes == (f"{tmp_path / 'a.gpkg'}, layer a: 2 empty polygons were skipped, the first is feature 1",)


@pytest.mark.fault("P24")
def test_self_crossing_polygons_are_repaired_with_a_note(tmp_path):
    layer = read_polygons(write(tmp_path / "a.gpkg", [RING, BOWTIE]))
    assert shapely.is_valid(layer.polygons).all()
    assert shapely.area(layer.polygons).tolist() == pytest.approx([72, 8])
    assert layer.notes == (f"{tmp_path / 'a.gpkg'}, layer a: 1 invalid polygons were repaired, the first is feature 2",)


def test_repair_keeps_what_has_area():
    spike = Polygon([(0, 0), (10, 0), (10, 10), (10, 30), (10, 10), (0, 10)])
    repaired = PolygonLayer.of(frame([spike]).geometry, UTM).to_crs(CRS.from_epsg(32634)).polygons
    assert repaired[0].geom_type == "Polygon"
    assert shapely.area(repaired)[0] == pytest.approx(100, rel=0.01)


@pytest.mark.fault("P26")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_damaged_files_are_refused(tmp_path, share):
    for name in ("a.geojson", "a.parquet", "a.gpkg"):
        path = write(tmp_path / name, [RING] * 50)
        os.truncate(path, int(path.stat().st_size * share))
        refusal(path)
        path.unlink()


@pytest.mark.fault("P25")
def test_text_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "a.geojson"
    write(path, [RING], **{"class": ["caf_"]})
    path.write_bytes(path.read_bytes().replace(b"caf_", b"caf\xe9"))
    refusal(path)


@pytest.mark.fault("P27")
def test_several_layers_are_listed(tmp_path):
    path = tmp_path / "a.gpkg"
    for name in ("roofs", "yards"):
        frame([RING]).to_file(path, layer=name)
    assert "roofs, yards" in refusal(path)
    assert len(read_polygons(path, "yards")) == 1
    assert "layer trees: found roofs, yards" in refusal(path, layer="trees")
    assert "layer x" in refusal(write(tmp_path / "a.parquet", [RING]), layer="x")


def test_tables_beside_the_layer_do_not_make_it_unclear(tmp_path):
    path = write(tmp_path / "a.gpkg", [RING])
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE extra (x INTEGER)")
        db.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('extra', 'attributes', 'extra')"
        )
    db.close()
    assert len(read_polygons(path)) == 1


@pytest.mark.fault("P28")
def test_shapefile_without_index_is_refused(tmp_path):
    path = write(tmp_path / "a.shp", [RING])
    path.with_suffix(".shx").unlink()
    refusal(path)


@pytest.mark.fault("P29")
def test_virtual_layers_are_refused_under_any_name(tmp_path):
    other = write(tmp_path / "secret.gpkg", [RING])
    path = tmp_path / "a.geojson"
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{other}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    assert "VRT" in refusal(path)


@pytest.mark.fault("R07")
def test_missing_files_and_directories_are_refused(tmp_path):
    for name in ("none.gpkg", "none.parquet"):
        assert "no such" in refusal(tmp_path / name)
        (tmp_path / name).mkdir()
        refusal(tmp_path / name)


@pytest.mark.fault("R08")
def test_pipes_are_refused_at_once(tmp_path):
    for name in ("pipe.gpkg", "pipe.parquet"):
        os.mkfifo(tmp_path / name)
        assert "regular file" in refusal(tmp_path / name)


def test_an_empty_layer_is_a_layer(tmp_path):
    layer = read_polygons(write(tmp_path / "a.gpkg", []))
    assert len(layer) == 0
    assert len(layer.to_crs(CRS.from_epsg(4326))) == 0
