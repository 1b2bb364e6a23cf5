"""Files written by export, read again by other programs: shapes, attributes, CRS, provenance, bytes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from export_cases import COLUMNS, EXTENSIONS, UTM33, attributes, contents, pixel_polygons, read, target_at, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geosam.vector.formats import FORMATS
from geosam.vector.wgs84 import ToWgs84
from geosam.vector.writer import FeatureWriter, read_provenance

LOCAL = CRS('LOCAL_CS["local",UNIT["metre",1]]')


@pytest.mark.fault("Q13")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_round_trip_keeps_count_crs_area_holes_and_attributes(tmp_path, extension):
    path, polygons, values = tmp_path / f"out{extension}", pixel_polygons(230), attributes(230)
    write(target_at(path), polygons)
    frame = read(path)
    assert len(frame) == 230
    wanted_crs = CRS(4326) if extension == ".geojson" else UTM33
    assert CRS(frame.crs).equals(wanted_crs, ignore_axis_order=True)
    back = frame.geometry.to_crs(UTM33)
    tolerance = 1e-3 if extension == ".geojson" else 1e-9
    np.testing.assert_allclose(back.area, shapely.area(polygons), rtol=tolerance)
    parts, wanted_parts = [shapely.get_parts(g, return_index=True) for g in (np.array(back), polygons)]
    np.testing.assert_array_equal(parts[1], wanted_parts[1])
    assert shapely.get_num_interior_rings(parts[0]).sum() == shapely.get_num_interior_rings(wanted_parts[0]).sum() > 0
    assert [v if isinstance(v, str) else None for v in frame["model"]] == values["model"]
    np.testing.assert_allclose(frame["score"], values["score"], rtol=1e-13)
    stability, edge = ("stab_score", "touch_edge") if extension == ".shp" else ("stability", "touches_edge")
    np.testing.assert_allclose(frame[stability], values["stability"], rtol=1e-13, atol=1e-15)
    assert list(frame[edge].astype(bool)) == values["touches_edge"]
    assert [str(v)[:19].replace(" ", "T") for v in frame["seen"]] == [v.isoformat()[:19] for v in values["seen"]]
    assert [str(v)[:10] for v in frame["day"]] == [v.isoformat() for v in values["day"]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_bytes_depend_neither_on_the_clock_nor_on_the_batches(tmp_path, monkeypatch, extension):
    monkeypatch.setattr("geosam.vector.buffer.ROWS", 150)
    made = []
    for batch in (7, 400):
        folder = tmp_path / str(batch)
        folder.mkdir()
        write(target_at(folder / f"out{extension}"), pixel_polygons(400), batch=batch)
        made.append(contents(folder))
        time.sleep(0.01)
    assert made[0] == made[1]


def test_dates_in_files_are_fixed(tmp_path):
    write(target_at(tmp_path / "out.shp"), pixel_polygons(3))
    assert (tmp_path / "out.dbf").read_bytes()[1:4] == bytes([100, 1, 1])
    write(target_at(tmp_path / "out.gpkg"), pixel_polygons(3))
    with sqlite3.connect(tmp_path / "out.gpkg") as database:
        assert database.execute("SELECT last_change FROM gpkg_contents").fetchall() == [("2000-01-01T00:00:00.000Z",)]
    database.close()
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


@pytest.mark.fault("R24")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_engineering_crs_stays_or_is_refused_before_the_model_runs(tmp_path, extension):
    from geosam.errors import ExportError

    path = tmp_path / f"out{extension}"
    polygons = pixel_polygons(4, origin=(0.0, 0.0))
    if extension == ".geojson":
        with pytest.raises(ExportError, match=r"out\.geojson: found CRS 'local', which cannot reach WGS84"):
            FeatureWriter(target_at(path, crs=LOCAL))
        assert not contents(tmp_path)
    else:
        write(target_at(path, crs=LOCAL), polygons)
        assert CRS(read(path).crs).equals(LOCAL, ignore_axis_order=True)


@pytest.mark.fault("O13")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_empty_result_has_schema_and_crs(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(0))
    none = contents(tmp_path)
    with FeatureWriter(target_at(path), overwrite=True) as writer:
        writer.write(pixel_polygons(0), attributes(0))  # a batch without features
    assert contents(tmp_path) == none
    frame = read(path)
    assert len(frame) == 0
    assert frame.crs is not None
    if extension != ".geojson":  # a FeatureCollection without features has no columns
        names = [c.short or c.name for c in COLUMNS] if extension == ".shp" else [c.name for c in COLUMNS]
        assert [name for name in frame.columns if name != "geometry"] == names
    assert read_provenance(path) == target_at(path).provenance


@pytest.mark.fault("O37")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_provenance_comes_back(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    provenance = {
        "scene": 'a "quoted" <b>ü</b>.tif',
        "stretch": [[0.5, 255.0]],
        "command": "geosam segment",
        "none": None,
    }
    write(target_at(path, provenance=provenance), pixel_polygons(12))
    assert read_provenance(path) == provenance


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_provenance_of_a_file_made_by_others_is_none(tmp_path, extension):
    import geopandas

    path = tmp_path / f"out{extension}"
    frame = geopandas.GeoDataFrame({"id": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    frame.to_parquet(path) if extension == ".parquet" else frame.to_file(path)
    assert read_provenance(path) is None


@pytest.mark.fault("O37")
def test_geopackage_provenance_follows_the_metadata_extension(tmp_path):
    path = tmp_path / "out.gpkg"
    write(target_at(path), pixel_polygons(2))
    with sqlite3.connect(path) as database:
        rows = database.execute(
            "SELECT reference_scope, table_name, metadata FROM gpkg_metadata_reference "
            "JOIN gpkg_metadata ON gpkg_metadata.id = md_file_id"
        ).fetchall()
        extensions = {name for (name,) in database.execute("SELECT extension_name FROM gpkg_extensions")}
    database.close()
    assert [row[:2] for row in rows] == [("table", "segments")]
    assert "szene ü.tif" in rows[0][2]
    assert "gpkg_metadata" in extensions


@pytest.mark.fault("O14")
def test_geopackage_and_flatgeobuf_hold_multipolygons_only(tmp_path):
    for extension in (".gpkg", ".fgb"):
        path = tmp_path / f"out{extension}"
        write(target_at(path), pixel_polygons(20))
        assert pyogrio.read_info(path)["geometry_type"] == "MultiPolygon"
        assert set(read(path).geom_type) == {"MultiPolygon"}


@pytest.mark.fault("O35")
def test_geoparquet_says_what_the_standard_wants(tmp_path):
    path, polygons = tmp_path / "out.parquet", pixel_polygons(40)
    write(target_at(path), [shapely.reverse(p) for p in polygons])
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"] == "1.1.0"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert CRS.from_json_dict(column["crs"]) == UTM33
    np.testing.assert_allclose(column["bbox"], shapely.total_bounds(polygons))
    shells = shapely.get_exterior_ring(shapely.get_parts(np.array(read(path).geometry)))
    assert column["orientation"] == "counterclockwise"
    assert shapely.is_ccw(shells).all()


def test_geoparquet_row_groups_do_not_follow_the_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("geosam.vector.buffer.ROWS", 32)
    monkeypatch.setattr("geosam.vector.parquet.ROW_GROUP_BYTES", 15_000)
    groups = []
    for batch in (40, 150):
        path = tmp_path / f"out{batch}.parquet"
        write(target_at(path), pixel_polygons(150), batch=batch)
        metadata = pq.read_metadata(path)
        groups.append([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
        assert list(read(path)["id"]) == list(range(150))
    assert groups[0] == groups[1]
    assert len(groups[0]) > 1


def test_rows_keep_their_order_where_the_format_has_one(tmp_path):
    for extension in (".gpkg", ".geojson", ".shp", ".parquet"):
        path = tmp_path / f"out{extension}"
        write(target_at(path), pixel_polygons(300)[::-1], batch=11)
        import geopandas

        frame = geopandas.read_parquet(path) if extension == ".parquet" else pyogrio.read_dataframe(path)
        assert list(frame["id"]) == list(range(300))


# RFC 7946 -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("O01", "O02")
def test_geojson_is_lon_lat_without_crs_member_and_right_handed(tmp_path):
    path, polygons = tmp_path / "out.geojson", pixel_polygons(60)
    write(target_at(path), [shapely.reverse(p) for p in polygons])
    document = json.loads(path.read_text(encoding="utf-8"))
    assert "crs" not in document
    for feature in document["features"]:
        for part in shapely.get_parts(shapely.geometry.shape(feature["geometry"])):
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)
            assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in part.exterior.coords)
    assert {f["geometry"]["type"] for f in document["features"]} == {"Polygon", "MultiPolygon"}


@pytest.mark.fault("O03")
@pytest.mark.parametrize(("crs", "origin", "pixel"), [
    (32633, (500000.0, 4500000.0), 0.3),
    (32633, (300000.0, 8900000.0), 10.0),
    (3857, (1.2e6, 7.1e6), 0.005),
    (4326, (15.0, 45.0), 1e-5),
    (2263, (980000.0, 200000.0), 0.5),  # feet
    (27700, (300000.0, 250000.0), 3.0),
])  # fmt: skip
def test_geojson_moves_nothing_by_a_tenth_of_a_pixel(tmp_path, crs, origin, pixel):
    path, crs = tmp_path / "out.geojson", CRS(crs)
    long = shapely.transform(shapely.box(0, -30000, 40000, -7), lambda xy: xy * pixel + origin)
    polygons = np.append(pixel_polygons(30, pixel=pixel, origin=origin), long)
    write(target_at(path, crs=crs, pixel_size=pixel), polygons)
    back = Transformer.from_crs(4326, crs, always_xy=True)
    found = np.array(read(path).geometry)
    assert shapely.is_valid(found).all()
    dense = shapely.segmentize(found, 1e-3 if pixel > 1e-3 else 1e-5)
    returned = shapely.transform(dense, lambda xy: np.stack(back.transform(*xy.T), axis=1))
    gap = shapely.hausdorff_distance(returned, polygons)
    assert gap.max() < 0.1 * pixel
    digits = max(len(str(x).partition(".")[2]) for x in shapely.get_coordinates(found[:30]).ravel())
    assert digits < 13


@pytest.mark.fault("O03")
def test_rounding_never_breaks_a_polygon():
    sliver = shapely.Polygon([(0, 0), (10, 1e-7), (20, 0), (10, 2e-7)])
    assert sliver.is_valid
    (placed,) = ToWgs84(CRS(4326), 1.0)(np.array([sliver]))
    assert placed.is_valid
    assert placed.area > 0


def _inside_by_projection(polygon, crs, lonlat):
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(*lonlat.T)
    inside = np.zeros(len(x), dtype=bool)
    finite = np.isfinite(x) & np.isfinite(y)
    inside[finite] = shapely.contains_xy(polygon, np.asarray(x)[finite], np.asarray(y)[finite])
    return inside


RINGED = shapely.Point(0, 0).buffer(3e6, quad_segs=64) - shapely.Point(4e5, 2e5).buffer(1e6, quad_segs=64)
AROUND = {
    "UTM 60 box over 180": (32660, shapely.box(700000, 1e6, 1000000, 1.4e6) - shapely.box(8e5, 1.1e6, 9e5, 1.3e6), 1),
    "UTM 1, far west": (32701, shapely.box(0, 8.0e6, 300000, 8.5e6), 1),
    "polar cap": (3413, shapely.Point(0, 0).buffer(2e6, quad_segs=64), 1),
    "polar cap with holes on and off the pole": (
        3413, RINGED - shapely.Point(-2e6, 1e6).buffer(3e5) - shapely.Point(-2e5, -1e6).buffer(1e5), 1),
    "corner on the pole": (3413, shapely.box(0, 0, 2e6, 1.5e6), 1),
    "three quarters around the pole": (3413, shapely.box(-1e6, -1e6, 1e6, 1e6) - shapely.box(0, 0, 2e6, 2e6), 1),
    "south pole": (3031, shapely.box(-1e6, -2e6, 3e6, 1e6), -1),
    "pole in a UTM zone": (32633, shapely.box(0, 9.9e6, 1e6, 1.02e7), 1),
}  # fmt: skip


@pytest.mark.fault("R22", "O04")
@pytest.mark.parametrize("case", AROUND)
def test_antimeridian_and_poles_hold_the_same_points(case):
    code, polygon, hemisphere = AROUND[case]
    crs, rng = CRS(code), np.random.default_rng(0)
    (placed,) = ToWgs84(crs, 100.0)(shapely.orient_polygons([polygon]))
    assert placed.is_valid
    assert shapely.box(-180, -90, 180, 90).covers(placed)
    near = Transformer.from_crs(crs, 4326, always_xy=True)
    xmin, ymin, xmax, ymax = polygon.buffer(3e5).bounds
    x, y = rng.uniform((xmin, ymin), (xmax, ymax), (20000, 2)).T
    lonlat = np.stack(near.transform(x, y), axis=1)
    lonlat = lonlat[hemisphere * lonlat[:, 1] > -80]
    wanted = _inside_by_projection(polygon, crs, lonlat)
    found = shapely.contains_xy(placed, *lonlat.T)
    assert 0.1 < wanted.mean() < 0.99
    assert (wanted != found).mean() < 1e-3  # points within a fraction of a pixel of the boundary
    assert all(p.exterior.is_ccw for p in shapely.get_parts(placed))


@pytest.mark.fault("R22")
@pytest.mark.parametrize("west", [179.9, 190.0, -180.1, 359.9, -540.05])
def test_geographic_scene_beyond_180(west):
    scene = shapely.box(west, 9.8, west + 0.2, 10.0)
    (placed,) = ToWgs84(CRS(4326), 0.002)(np.array([scene]))
    assert -180 <= placed.bounds[0] < placed.bounds[2] <= 180
    assert placed.area == pytest.approx(scene.area, rel=1e-6)


@pytest.mark.fault("R22")
def test_split_agrees_with_gdal(tmp_path):
    import geopandas

    polygon = shapely.box(800000, 1e6, 850000, 1.05e6)
    write(target_at(tmp_path / "ours.geojson", crs=CRS(32660), columns=(), pixel_size=10.0), np.array([polygon]), {})
    geopandas.GeoDataFrame(geometry=[polygon], crs=32660).to_file(tmp_path / "gdal.geojson", RFC7946="YES")
    ours, theirs = (pyogrio.read_dataframe(tmp_path / f"{n}.geojson").geometry[0] for n in ("ours", "gdal"))
    assert len(ours.geoms) == len(theirs.geoms) == 2
    assert ours.symmetric_difference(theirs).area < 2e-3 * theirs.area


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-179, 179), st.floats(-75, 75), st.floats(0.5, 20), st.integers(3, 9), st.randoms(use_true_random=False)
)
def test_geojson_of_any_star_is_valid_and_keeps_its_area(lon, lat, metres, corners, random):
    crs = CRS(f"+proj=laea +lat_0={lat} +lon_0={lon}")
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = np.array([random.uniform(5, 50) for _ in angles]) * metres
    star = shapely.Polygon(np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1))
    (placed,) = ToWgs84(crs, metres)(np.array([star]))
    assert placed.is_valid
    back = Transformer.from_crs(4326, crs, always_xy=True)
    returned = shapely.transform(placed, lambda xy: np.stack(back.transform(*xy.T), axis=1))
    assert returned.area == pytest.approx(star.area, rel=1e-2)


# Names, formats, sizes ----------------------------------------------------------------------------------------------


def test_every_format_can_be_chosen_by_any_of_its_extensions(tmp_path):
    for extension in FORMATS:
        for name in (f"out{extension}", f"UP{extension.upper()}"):
            write(target_at(tmp_path / name), pixel_polygons(5))
            assert (tmp_path / name).exists()
            assert read_provenance(tmp_path / name) == target_at(tmp_path).provenance
    assert list(pyogrio.read_dataframe(tmp_path / "UP.SHP")["model"])[:2] == ["naïve", "文字"]


def test_target_without_columns(tmp_path):
    for extension in EXTENSIONS:
        path = tmp_path / f"out{extension}"
        write(target_at(path, columns=()), pixel_polygons(5), {})
        assert len(read(path)) == 5


PEAK = """
import resource, sys, time
from pathlib import Path
import numpy as np, shapely
from pyproj import CRS
from geosam.vector.schema import Column, Target
from geosam.vector.writer import FeatureWriter
columns = (Column("id", "int"), Column("score", "float"), Column("model", "text"), Column("touches_edge", "bool"))
target = Target(Path(sys.argv[1]), CRS(32633), columns, "segments", {}, 0.3)
angles, rng = np.linspace(0, 2 * np.pi, 12, endpoint=False), np.random.default_rng(0)
star = np.stack([np.cos(angles), np.sin(angles)], axis=1)
start, count, rss = time.perf_counter(), int(sys.argv[2]), []
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
before = peak()
with FeatureWriter(target) as writer:
    for first in range(0, count, 1000):
        rings = 3 * star + rng.uniform(0, 1e5, (1000, 1, 2)) + (5e5, 4e6)
        writer.write(shapely.polygons(rings), {
            "id": range(first, first + 1000), "score": rng.random(1000), "model": ["regions"] * 1000,
            "touches_edge": rng.random(1000) < 0.5})
print(f"{peak() - before:.0f} {time.perf_counter() - start:.1f}")
"""


def measured(path: Path, count: int) -> tuple[int, float]:
    """MB of memory above the imports, and seconds, for writing `count` polygons in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(count)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    megabytes, seconds = done.stdout.split()
    return int(megabytes), float(seconds)


@pytest.mark.fault("L04")
@pytest.mark.slow
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_million_polygons_in_bounded_memory(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    megabytes, seconds = measured(path, 1_000_000)
    print(f"{extension}: {seconds:.0f} s, {megabytes} MB above the imports, {path.stat().st_size / 1e6:.0f} MB")  # noqa: T201
    assert megabytes < 400
    found = pq.read_metadata(path).num_rows if extension == ".parquet" else None
    assert (found or pyogrio.read_info(path, force_feature_count=True)["features"]) == 1_000_000


@pytest.mark.serial
@pytest.mark.fault("L04")
@pytest.mark.parametrize("extension", [".gpkg", ".geojson", ".shp", ".parquet"])
def test_memory_does_not_grow_with_the_features(tmp_path, extension):
    few, many = (measured(tmp_path / f"{count}{extension}", count)[0] for count in (40_000, 120_000))
    assert many < few + 40
