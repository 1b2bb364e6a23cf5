"""Files that are damaged, missing, or no rasters end in one sentence."""

import os
import shutil
import signal
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_cases import refused, whole
from scenes import NORTH_UP, SCENES, UTM, picture, write_scene

from geosam.errors import MissingCRS, SceneError, UnreadableScene
from geosam.geometry.geobox import Window
from geosam.scene import open_scene


@pytest.mark.fault("R01", "R02")
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}])
def test_a_truncated_file_opens_and_fails_where_it_is_cut(profile, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    path = write_scene(tmp_path / "cut.tif", array, photometric="rgb", **profile)
    os.truncate(path, int(path.stat().st_size * 0.6))
    opened = open_scene(path)
    assert (opened.read(Window(0, 0, 512, 128)).rgb == array[:, :128]).all()
    with refused(UnreadableScene, path, "column 0, row 400", "512 x 112 px", "got ", " bytes, expected ") as caught:
        opened.read(Window(0, 400, 512, 112))
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, OSError)


@pytest.mark.fault("R01")
def test_a_file_that_is_cut_where_the_stretch_looks_is_refused_when_it_is_opened(tmp_path):
    array = np.random.default_rng(0).integers(0, 9999, (1, 512, 512), np.uint16)
    path = write_scene(tmp_path / "cut.tif", array)
    os.truncate(path, path.stat().st_size // 2)
    with refused(UnreadableScene, path, "got ", " bytes, expected "):
        open_scene(path)


@pytest.mark.fault("R63")
def test_a_file_that_is_truncated_while_it_is_open(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    path = write_scene(tmp_path / "a.tif", array, photometric="rgb")
    opened = open_scene(path)
    opened.read(Window(0, 0, 512, 10))
    os.truncate(path, 2000)
    with refused(UnreadableScene, path):
        opened.read(Window(0, 300, 512, 200))
    with refused(UnreadableScene, "changed while reading", path):
        opened.verify_unchanged()


@pytest.mark.fault("R03")
def test_an_empty_file(tmp_path):
    path = tmp_path / "z.tif"
    path.touch()
    with refused(UnreadableScene, "the file is empty", path):
        open_scene(path)


@pytest.mark.fault("R04")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello world", ['starts with "hello world"']),
        (b"<!DOCTYPE html><html><title>Sign in", ["a web page", "login"]),
        (b"\n <html><body>Sign in", ["a web page", "login"]),
        (bytes(range(200, 256)), ["starts with"]),
    ],
)
def test_a_file_that_is_no_raster_is_shown_by_its_first_bytes(content, words, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    for untrusted in (False, True):
        with refused(UnreadableScene, path, *words):
            open_scene(path, untrusted=untrusted)


@pytest.mark.fault("R05")
def test_a_header_without_a_file(tmp_path):
    path = SCENES["north_up"](tmp_path)
    os.truncate(path, 8)
    with refused(UnreadableScene, path, "directory"):
        open_scene(path)


@pytest.mark.fault("R06")
def test_a_png_under_another_name_is_a_raster_without_crs(tmp_path):
    image = Image.fromarray(picture().transpose(1, 2, 0))
    image.save(tmp_path / "a.png")
    path = (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with refused(MissingCRS, "has no CRS", path, "`crs"):
        open_scene(path)
    assert (whole(open_scene(path, assume_pixels=True)).rgb == picture()).all()


@pytest.mark.fault("R07")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", ["empty"]),
        ("-", ["standard input"]),
        ("gone.tif", ["no such file"]),
        (".", ["is a directory"]),
        ("a\0b", []),
    ],
)
def test_nothing_there(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(UnreadableScene, *words):
        open_scene(path)


@pytest.mark.fault("R07")
def test_a_file_is_no_folder(tmp_path):
    with refused(UnreadableScene, "Not a directory"):
        open_scene(SCENES["north_up"](tmp_path) / "a.tif")


@pytest.mark.serial
@pytest.mark.fault("R08")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "p.tif")
    start = time.monotonic()
    for path in (tmp_path / "p.tif", "/dev/zero"):
        with refused(UnreadableScene, "not a regular file", path):
            open_scene(path)
    assert time.monotonic() - start < 1


# rasterio fails to decode what GDAL says about some damaged tags, where nobody can catch it.
@pytest.mark.fault("R10")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("compress", ["none", "lzw", "deflate", "packbits", "zstd"])
def test_damaged_bytes_never_raise_anything_but_our_own_errors(compress, tmp_path):
    rng = np.random.default_rng(len(compress))
    good = write_scene(tmp_path / "good.tif", picture(), compress=compress, nodata=3, photometric="rgb").read_bytes()
    path = tmp_path / "bad.tif"
    opened = 0
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            place = rng.integers(len(data)) if rng.random() < 0.7 else rng.integers(min(600, len(data)))
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data))] if rng.random() < 0.2 else data)
        with suppress(SceneError):
            scene = open_scene(path, stretch="p2,p98", max_pixels=1e6)
            whole(scene)
            scene.is_empty(scene.geobox.window)
            opened += 1
    assert opened, "some damage goes unnoticed; otherwise this tests nothing"


@pytest.mark.fault("R09")
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits"])
def test_one_damaged_byte_is_noticed_by_the_codec_or_cannot_be(compress, tmp_path):
    good = write_scene(tmp_path / "good.tif", picture(), compress=compress, photometric="rgb", tiled=True)
    data, path, rng = good.read_bytes(), tmp_path / "bad.tif", np.random.default_rng(9)
    for place in rng.integers(len(data) // 2, len(data), 20):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with suppress(UnreadableScene):
            assert whole(open_scene(path)).rgb.shape == (3, 70, 90)


@pytest.mark.fault("R70")
def test_thousands_of_siblings_do_not_matter(tmp_path):
    for number in range(5000):
        (tmp_path / f"{number}.tif.txt").touch()
    assert whole(open_scene(SCENES["north_up"](tmp_path))).valid.all()


@pytest.mark.fault("R60")
def test_a_file_that_may_not_be_read():
    # In a folder of its own: the folders of pytest are closed to other users.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = SCENES["north_up"](folder)
        path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with refused(UnreadableScene, "permission denied", path):
                open_scene(path)
        finally:
            os.seteuid(user)
    finally:
        shutil.rmtree(folder)


@pytest.mark.fault("R61")
def test_a_raster_in_a_folder_that_cannot_be_written(tmp_path):
    path = SCENES["four_band_uint16"](tmp_path)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert whole(open_scene(path)).valid.all()
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.serial
@pytest.mark.fault("R71")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_an_interrupt_ends_one_large_read_soon(tmp_path):
    path = tmp_path / "large.tif"
    shape = {"width": 12_000, "height": 12_000, "count": 3, "dtype": "uint8", "tiled": True, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **shape, sparse_ok=True, crs=UTM, transform=NORTH_UP):
        pass
    opened = open_scene(path)

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            opened.read(Window(0, 0, 12_000, 12_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - start < 2


@pytest.mark.fault("R10")
def test_whatever_escapes_from_the_library_becomes_our_error(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    path = SCENES["north_up"](tmp_path)
    opened = open_scene(path)
    monkeypatch.setattr("geosam.scene.raster.rasterio.open", broken)
    with refused(UnreadableScene, path, "invalid start byte"):
        open_scene(path)
    with refused(UnreadableScene, path):
        opened.close()
        opened.read(Window(0, 0, 5, 5))


def test_memory_errors_are_left_to_the_caller(tmp_path, monkeypatch):
    def greedy(*_, **__):
        raise MemoryError

    monkeypatch.setattr("geosam.scene.raster._bands", greedy)
    with pytest.raises(MemoryError):
        whole(open_scene(SCENES["north_up"](tmp_path)))
