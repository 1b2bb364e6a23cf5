"""Handles of a file: threads, processes, the block cache, and calls that return soon."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import rasterio
from raster_cases import copied, noise, whole
from scenes import NORTH_UP, SCENES, UTM, picture, write_scene

from geosam.geometry.geobox import Window
from geosam.scene import open_scene, raster


@pytest.mark.parametrize("name", ["nodata", "south_up", "four_band_uint16"])
def test_pickling_drops_the_handle_and_keeps_the_pixels(name, tmp_path):
    opened = open_scene(SCENES[name](tmp_path), resolution=0.7)
    other = copied(opened)
    assert (whole(other).rgb == whole(opened).rgb).all()
    assert other.geobox == opened.geobox
    assert other.fingerprint == opened.fingerprint


@pytest.mark.fault("R67")
def test_eight_threads_read_what_one_reads(tmp_path):
    array = noise(640, 640)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    opened = open_scene(write_scene(tmp_path / "a.tif", array, **profile))
    windows = [Window(col, row, 64, 64) for row in range(0, 640, 64) for col in range(0, 640, 64)] * 6
    handles = set()

    def right(window):
        with opened.reader.raster.handle() as handle:
            handles.add((threading.get_ident(), id(handle)))
        return (opened.read(window).rgb == array[:, *window.slices_rc]).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, windows))
    assert len({thread for thread, _ in handles}) == len({handle for _, handle in handles}) == len(handles)


@pytest.mark.fault("R68")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_opens_its_own_handle(tmp_path):
    array = noise(256, 256)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    opened = open_scene(write_scene(tmp_path / "a.tif", array, **profile))
    opened.read(Window(0, 0, 10, 10))
    children = []
    for _ in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons dislike forks of threaded processes
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if all((whole(opened).rgb == array).all() for _ in range(5)) else 1
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]


def test_closing_closes_the_handles_of_all_threads_and_reading_opens_again(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    with opened.reader.raster.handle() as handle:
        pass
    opened.close()
    assert handle.closed
    assert (whole(opened).rgb == picture()).all()


def test_handles_of_finished_threads_are_released(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    for _ in range(5):
        thread = threading.Thread(target=whole, args=(opened,))
        thread.start()
        thread.join()
    assert len(opened.reader.raster._open) <= 2


@pytest.mark.fault("R61")
def test_nothing_is_written_beside_the_raster(tmp_path):
    for name in ("four_band_uint16", "mask_band", "nodata"):
        path = SCENES[name](tmp_path)
        before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        opened = open_scene(path, resolution=1.1)
        whole(opened)
        opened.close()
        assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


@pytest.mark.fault("R69")
def test_the_block_cache_is_sized_for_strips_and_bounded(tmp_path, monkeypatch):
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    monkeypatch.setattr(raster, "_cache_bytes", 0)
    sizes = []
    monkeypatch.setattr(raster, "set_gdal_config", lambda name, value: sizes.append((name, value)))
    open_scene(SCENES["north_up"](tmp_path))
    strips = {"width": 40_000, "height": 4000, "count": 3, "dtype": "uint8", "blockysize": 1, "sparse_ok": True}
    for number, dtype in enumerate(["uint8", "float64"]):
        path = tmp_path / f"{number}.tif"
        shape = {**strips, "dtype": dtype, "interleave": "pixel", "bigtiff": "yes"}
        with rasterio.open(path, "w", driver="GTiff", **shape, crs=UTM, transform=NORTH_UP):
            pass
        opened = open_scene(path, stretch="0,255")
    assert sizes == [
        ("GDAL_CACHEMAX", 64 * 2**20),
        ("GDAL_CACHEMAX", 1025 * 40_000 * 3 * 5 // 4),
        ("GDAL_CACHEMAX", 768 * 2**20),
    ]
    assert "a tiled copy is read much faster" in opened.warnings[0]
    monkeypatch.setenv("GDAL_CACHEMAX", "100")
    monkeypatch.setattr(raster, "_cache_bytes", 0)
    open_scene(path, stretch="0,255")
    assert len(sizes) == 3, "the user's own setting is left alone"
    monkeypatch.delenv("GDAL_CACHEMAX")
    copied(opened).read(Window(0, 0, 1, 1))
    assert sizes[3:] == sizes[2:3], "a process that gets the scene sizes its own cache"


@pytest.mark.fault("R71")
def test_a_large_window_is_read_in_calls_that_return_soon(tmp_path, monkeypatch):
    array = noise(120, 90)
    monkeypatch.setattr(raster, "_MAX_CALL_PX", 1000)
    calls = []
    original = raster._bands

    def spied(ds, indexes, window):
        calls.append(window.width * window.height)
        return original(ds, indexes, window)

    monkeypatch.setattr(raster, "_bands", spied)
    opened = open_scene(write_scene(tmp_path / "a.tif", array))
    assert (whole(opened).rgb == array).all()
    assert len(calls) >= 10
    assert max(calls) <= 1000
