import json
import os
import signal
import subprocess
import time

import geopandas
import numpy as np
import psutil
import pytest
import rasterio
from calls import ENVIRONMENT, GEOSAM, RECTANGLES, centre
from scenes import REFUSED

from geosam.apps.cli.segment import default_output

EXACT = ("--model", "threshold")
CORNER = "500000,5000000"


def box(rectangle):
    x, y, width, height = rectangle
    return f"{5e5 + 2 * x},{5e6 - 2 * (y + height)},{5e5 + 2 * (x + width)},{5e6 - 2 * y}"


def files(scene):
    """Everything in the folder of the scene."""
    return sorted(path.name for path in scene.parent.iterdir())


def areas_px(path):
    """Areas in pixels, increasing."""
    return sorted((geopandas.read_file(path).area / 4).round(6))


@pytest.mark.parametrize(
    ("scene", "output"),
    [
        ("scene.tif", "scene_segments.gpkg"),
        ("/data/some where/my.scene.tiff", "my.scene_segments.gpkg"),
        ("https://example.org/a/b.tif?token=1/2", "b_segments.gpkg"),
    ],
)
def test_the_default_output_is_named_after_the_scene_in_the_current_folder(scene, output):
    assert str(default_output(scene)) == output


def test_everything_is_segmented_into_the_default_output(tiny, geosam):
    done = geosam("segment", tiny, *EXACT)
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("tiny_segments.gpkg: 4 polygons from 1 tile in ")
    sizes = [width * height for _, _, width, height in RECTANGLES]
    assert areas_px("tiny_segments.gpkg") == sorted([*sizes, 64 * 48 - sum(sizes)])
    assert files(tiny) == ["tiny.tif", "tiny_segments.gpkg"]


def test_quiet_says_nothing_and_json_one_object(tiny, geosam):
    assert geosam("segment", tiny, *EXACT, "--quiet").err == ""
    done = geosam("segment", tiny, *EXACT, "--overwrite", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json | {"seconds": 0} == {
        "output": "tiny_segments.gpkg",
        "count": 4,
        "too_small": 0,
        "tiles": 1,
        "skipped_tiles": 0,
        "resumed_tiles": 0,
        "failed_tiles": [],
        "warnings": [],
        "seconds": 0,
        "exit_code": 0,
    }


@pytest.mark.parametrize("extension", ["gpkg", "geojson", "shp", "parquet", "fgb"])
def test_the_extension_names_the_format(extension, tiny, geosam):
    assert geosam("segment", tiny, *EXACT, "-o", f"out.{extension}").code == 0
    read = geopandas.read_parquet if extension == "parquet" else geopandas.read_file
    assert len(read(f"out.{extension}")) == 4


def test_the_provenance_holds_the_command_line(tiny, geosam):
    geosam("segment", tiny, *EXACT, "-o", "out.geojson", "--min-area", "1")
    stored = json.dumps(json.loads((tiny.parent / "out.geojson").read_text()))
    assert f"geosam segment {tiny} --model threshold -o out.geojson --min-area 1" in stored


def test_points_describe_one_object_and_each_box_its_own(tiny, geosam):
    first, second, third = RECTANGLES
    points = ("--point", centre(first), "--point", centre(second), "--negative", centre(third))
    assert geosam("segment", tiny, *EXACT, "-o", "a.gpkg", *points).code == 0
    assert areas_px("a.gpkg") == [20 * 10 + 25 * 30]
    boxes = ("--box", box(second), "--box", box(third))
    assert geosam("segment", tiny, *EXACT, "-o", "b.gpkg", *points, *boxes, "--json").json["count"] == 3
    table = geopandas.read_file("b.gpkg").set_index("prompt_id")
    assert (table.area / 4).to_dict() == {"1": 950, "2": 750, "3": 270}


def test_points_in_another_crs(tiny, geosam):
    point = geopandas.GeoSeries.from_wkt([f"POINT ({centre(RECTANGLES[0]).replace(',', ' ')})"], crs="EPSG:32633")
    (wgs84,) = point.to_crs("EPSG:4326")
    where = ("--point", f"{wgs84.x:.9f},{wgs84.y:.9f}", "--prompt-crs", "EPSG:4326")
    assert geosam("segment", tiny, *EXACT, "-o", "a.gpkg", *where).code == 0
    assert areas_px("a.gpkg") == [200]


def test_a_prompt_layer_gives_one_object_a_feature_with_its_attributes(tiny, geosam):
    boxes = [[float(v) for v in box(rectangle).split(",")] for rectangle in RECTANGLES[:2]]
    shapes = geopandas.GeoSeries.from_wkt(
        [f"POLYGON (({a} {b}, {c} {b}, {c} {d}, {a} {d}, {a} {b}))" for a, b, c, d in boxes], crs="EPSG:32633"
    )
    layer = geopandas.GeoDataFrame({"name": ["naïve", "文字"]}, geometry=shapes)
    layer.to_file("prompts.gpkg", layer="here")
    layer[:1].to_file("prompts.gpkg", layer="there")
    for polygons in ("box", "mask"):
        args = ("--prompts", "prompts.gpkg", "--layer", "here", "--polygons", polygons)
        assert geosam("segment", tiny, *EXACT, "-o", f"{polygons}.gpkg", *args).code == 0
        table = geopandas.read_file(f"{polygons}.gpkg")
        assert dict(zip(table["name"], table.area / 4, strict=True)) == {"naïve": 200, "文字": 750}
    unclear = geosam("segment", tiny, *EXACT, "-o", "x.gpkg", "--prompts", "prompts.gpkg")
    assert unclear.code == 4
    assert "here, there" in unclear.error()


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["--layer", "here"], 2, "--layer here"),
        (["--encoding", "latin-1"], 2, "--encoding latin-1"),
        (["--prompts", "p.gpkg", "--point", CORNER], 2, "--prompts p.gpkg"),
        (["--prompts", "p.gpkg"], 4, "p.gpkg"),
        (["--negative", CORNER], 4, "--negative"),
        (["--point", "0,0"], 4, "--skip-outside"),
        (["--point", "nan,0"], 4, "not finite"),
        (["--model", "nonsense"], 2, "nonsense"),
        (["--stretch", "loud"], 2, "--stretch"),
        (["--bands", "4"], 2, "--bands"),
        (["--window", "0,0,1,1"], 2, "--window"),
        (["--crs", "EPSG:32634"], 2, "--crs"),
        (["--tile-size", "64", "--overlap", "64"], 2, "--overlap"),
        (["--max-pixels", "100"], 3, "--max-pixels"),
        (["-o", "out.xyz"], 2, "out.xyz"),
        (["-o", "missing/out.gpkg"], 6, "missing"),
        (["-o", "taken.gpkg"], 6, "--overwrite"),
    ],
)
def test_refusals_have_their_code_and_leave_nothing_behind(args, code, told, tiny, geosam):
    (tiny.parent / "taken.gpkg").write_text("the user's")
    before = files(tiny)
    done = geosam("segment", tiny, *EXACT, *args)
    assert (done.code, done.out) == (code, "")
    assert told in done.error()
    assert files(tiny) == before
    assert (tiny.parent / "taken.gpkg").read_text() == "the user's"


@pytest.mark.fault("O28")
def test_the_prompt_layer_is_not_overwritten(tiny, geosam):
    layer = tiny.with_name("prompts.gpkg")
    geosam("segment", tiny, *EXACT, "-o", layer)
    before = layer.read_bytes()
    done = geosam("segment", tiny, *EXACT, "-o", "./prompts.gpkg", "--prompts", layer, "--overwrite")
    assert done.code == 2
    assert "prompts.gpkg" in done.error()
    assert layer.read_bytes() == before


@pytest.mark.fault("P12")
def test_a_warning_is_said_once_and_is_in_the_json(tiny, geosam):
    xmin, ymin, xmax, ymax = box(RECTANGLES[0]).split(",")
    args = ("segment", tiny, *EXACT, "--overwrite", "--box", f"{xmax},{ymin},{xmin},{ymax}")
    done = geosam(*args, "--quiet")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("warning: ")
    assert geosam(*args, "--json").json["warnings"] == [line.removeprefix("warning: ")]


@pytest.mark.fault("P01")
def test_prompts_outside_are_left_out_on_demand(tiny, geosam):
    args = ("--box", box(RECTANGLES[0]), "--box", "0,0,10,10", "--skip-outside")
    done = geosam("segment", tiny, *EXACT, "--json", *args)
    assert (done.code, done.json["count"]) == (0, 1)
    assert len(done.json["warnings"]) == 1


def test_size_filters_layout_and_tiles(tiny, geosam):
    args = ("--tile-size", 32, "--overlap", 8, "--min-area", 900, "--fill-holes", 1e6, "--layout", "planar")
    done = geosam("segment", tiny, *EXACT, "--json", *args)
    assert (done.json["count"], done.json["tiles"], done.json["too_small"]) == (3, 6, 1)
    assert "smaller than --min-area" in geosam("segment", tiny, *EXACT, "--overwrite", *args).err


def test_a_damaged_tile_ends_in_3_or_with_allow_partial_in_7(tiny, geosam):
    damaged = tiny.with_name("damaged.tif")
    with (
        rasterio.open(tiny) as whole,
        rasterio.open(
            damaged, "w", **whole.profile | {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
        ) as copy,
    ):
        copy.write(np.random.default_rng(1).integers(0, 255, (3, 48, 64), np.uint8))
    os.truncate(damaged, damaged.stat().st_size * 3 // 4)
    args = ("segment", damaged, *EXACT, "--tile-size", 32, "--overlap", 8)
    refused = geosam(*args)
    assert refused.code == 3
    assert "damaged.tif" in refused.error()
    assert not (tiny.parent / "damaged_segments.gpkg").exists()
    partial = geosam(*args, "--allow-partial", "--json", "--restart")
    assert partial.code == partial.json["exit_code"] == 7
    assert "damaged_segments.gpkg" in partial.error()
    assert partial.json["failed_tiles"]
    assert partial.json["count"] == len(geopandas.read_file("damaged_segments.gpkg"))


def test_piped_output_has_no_progress(tiny, geosam_process):
    done = geosam_process("segment", tiny, *EXACT, "--tile-size", 16, "--overlap", 4)
    assert (done.code, done.out) == (0, "")
    (line,) = done.err.splitlines()
    assert line.startswith("tiny_segments.gpkg: 4 polygons from 20 tiles in ")


def test_a_terminal_shows_progress(tiny, tmp_path):
    master, slave = os.openpty()
    args = [*GEOSAM, "segment", str(tiny), *EXACT, "--tile-size", "16", "--overlap", "4"]
    process = subprocess.Popen(args, cwd=tmp_path, env=ENVIRONMENT | {"TERM": "xterm"}, stderr=slave)
    os.close(slave)
    shown = b""
    while chunk := _read(master):  # while the process runs: a terminal that nobody reads is full after 4096 bytes
        shown += chunk
    os.close(master)
    assert process.wait(60) == 0
    assert b"20/20" in shown
    assert b"4 polygons" in shown


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # what Linux answers when the other end is closed
        return b""


@pytest.fixture
def long_run(tmp_path):
    """Start `geosam segment` on 121 tiles; `long_run(workers)` gives the process."""
    blocks = np.random.default_rng(7).integers(0, 3, (1, 36, 36), np.uint8) * 100
    profile = {"driver": "GTiff", "width": 720, "height": 720, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "big.tif", "w", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 5e6), **profile) as file:
        file.write(np.kron(blocks, np.ones((1, 20, 20), np.uint8)))

    def start(workers):
        command = [*GEOSAM, "segment", "big.tif", *EXACT, "--tile-size", "96", "--overlap", "32", "--json"]
        return subprocess.Popen(
            [*command, "--workers", str(workers)],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.mark.serial
@pytest.mark.fault("F03", "F04")
@pytest.mark.parametrize(
    ("number", "code", "workers"), [(signal.SIGINT, 130, 1), (signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 2)]
)
def test_a_run_that_is_stopped_resumes(number, code, workers, long_run, tmp_path):
    process = long_run(workers)
    journal = tmp_path / ".big_segments.gpkg.journal-wal"
    while not journal.exists() or journal.stat().st_size < 30_000:
        assert process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    if number == signal.SIGINT:  # a terminal sends it to everybody
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == json.loads(out)["exit_code"] == code
    (line,) = err.splitlines()
    assert "the same command continues" in line
    assert psutil.wait_procs(children, timeout=2)[1] == []
    assert not (tmp_path / "big_segments.gpkg").exists()
    out, err = long_run(workers).communicate(timeout=120)
    assert 0 < json.loads(out)["resumed_tiles"] < json.loads(out)["tiles"] == 121
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.tif", "big_segments.gpkg"]


@pytest.mark.fault("F03")
@pytest.mark.parametrize("wait", [0, 0.1, 0.2, 0.4])
def test_ctrl_c_while_the_workers_start_says_one_line(wait, long_run):
    process = long_run(2)
    while len(psutil.Process(process.pid).children()) < 3:  # two workers and the one that tracks resources
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == json.loads(out)["exit_code"] == 130
    assert len(err.splitlines()) == 1, err


@pytest.mark.fault("O06")
def test_a_scene_without_crs_never_becomes_geojson(tmp_path, geosam):
    done = geosam("segment", REFUSED["no_crs"](tmp_path), *EXACT, "-o", "out.geojson")
    assert done.code == 3
    assert "--crs" in done.error()
    assert not (tmp_path / "out.geojson").exists()
