"""Scenes over HTTP, from a server on this machine that can be told to fail."""

import re
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.shutil import copy
from scenes import UTM, write_scene

from geosam.errors import UnreadableScene
from geosam.geometry.geobox import Window
from geosam.scene import open_scene, preflight, raster


def healthy(*_):
    return False


def answering(status, body=b""):
    def fault(handler, _):
        handler.reply(status, body)
        return True

    return fault


def silent(*_):
    time.sleep(2.5)
    return True


class Server(ThreadingHTTPServer):
    """Serves the bytes of one file; `fault` may answer a request in its own way and says so by returning True."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.path = path
        self.fault = healthy
        self.requests = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/{self.path.name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.requests += 1
        if self.server.fault(self, self.server.requests):
            return
        data = self.server.path.read_bytes()
        first, last, status = 0, len(data) - 1, 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last, status = int(match[1]), min(int(match[2] or last), last), 206
        self.reply(status, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def reply(self, status, body=b"", headers=None, *, length=None):
        self.send_response(status)
        for name, value in {"ETag": f'"{self.server.path.stat().st_mtime_ns}"', **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving(path):
    server = Server(path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    """A cloud-optimised GeoTIFF that is larger than what GDAL fetches at once."""
    folder = tmp_path_factory.mktemp("cog")
    rng = np.random.default_rng(0)
    array = rng.integers(0, 4096, (3, 700, 900)).astype(np.uint16)
    plain = write_scene(folder / "plain.tif", array, photometric="rgb")
    with rasterio.open(plain, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    copy(plain, folder / "cog.tif", driver="COG", blocksize=128, compress="deflate", copy_src_overviews=True)
    return folder / "cog.tif", array


@pytest.fixture
def server(cog, monkeypatch):
    for module in (preflight, raster):
        monkeypatch.setattr(module, "HTTP_PAUSES", (0.05, 0.1))
        monkeypatch.setattr(module, "HTTP_TIMEOUT", 1)
    with serving(cog[0]) as running:
        yield running


@pytest.mark.fault("R31")
def test_a_cog_is_read_over_http_in_parts(server, cog):
    opened = open_scene(server.url, stretch="0,4095")
    local = open_scene(cog[0], stretch="0,4095")
    for window in (Window(0, 0, 100, 100), Window(500, 400, 300, 250)):
        assert (opened.read(window).rgb == local.read(window).rgb).all()
    assert opened.geobox == local.geobox
    assert opened.geobox.crs.to_epsg() == int(UTM.removeprefix("EPSG:"))
    assert opened.describe()["scene"] == server.url


def test_a_remote_scene_has_the_stretch_and_the_levels_of_the_local_one(server, cog):
    opened, local = open_scene(server.url, resolution=2.2), open_scene(cog[0], resolution=2.2)
    assert opened.stretch == local.stretch
    assert opened.reader.raster.overview == local.reader.raster.overview == 1
    window = Window(0, 0, 150, 100)
    assert (opened.read(window).rgb == local.read(window).rgb).all()


@pytest.mark.fault("R62")
def test_a_remote_file_that_changes_is_noticed(server, cog, tmp_path):
    opened = open_scene(server.url, stretch="none")
    opened.verify_unchanged()
    first = opened.fingerprint
    assert open_scene(server.url, stretch="none").fingerprint == first
    server.path = shutil.copyfile(cog[0], tmp_path / "cog.tif")
    with pytest.raises(UnreadableScene, match="changed while reading"):
        opened.verify_unchanged()
    assert open_scene(server.url, stretch="none").fingerprint != first


@pytest.mark.fault("R65", "R66")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answering(404), ["HTTP status 404"]),
        (answering(403), ["HTTP status 403"]),
        (answering(503), ["HTTP status 503"]),
        (
            answering(200, b"<!DOCTYPE html><html>Sign in"),
            ["HTTP status 200", "web page"],
        ),
        (answering(200), ["HTTP status 200", "is empty"]),
        (answering(200, b"II*\0garbage"), []),
        (silent, ["timed out"]),
    ],
    ids=["404", "403", "503", "login", "empty", "garbage", "silent"],
)
def test_a_server_that_fails_is_named_with_its_status(server, fault, words):
    server.fault = fault
    start = time.monotonic()
    with pytest.raises(UnreadableScene) as caught:
        open_scene(server.url)
    assert time.monotonic() - start < 10
    text = str(caught.value)
    assert server.url in text
    assert "\n" not in text
    assert all(word in text for word in words)


@pytest.mark.fault("R65")
def test_nobody_listens(server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(UnreadableScene, match=r"127\.0\.0\.1.*refused"):
        open_scene(url)


@pytest.mark.fault("R65")
def test_a_server_that_fails_now_and_then_is_asked_again(server, cog):
    server.fault = lambda handler, number: number == 1 and (handler.reply(503) or True)
    opened = open_scene(server.url, stretch="0,4095")
    assert server.requests > 1
    server.fault = lambda handler, number: number == server.requests == asked + 1 and (handler.reply(503) or True)
    asked = server.requests
    window = Window(600, 500, 200, 200)
    expected = open_scene(cog[0], stretch="0,4095").read(window).rgb
    assert (opened.read(window).rgb == expected).all()


def cut_body(handler, _):
    """Promise more than is sent, and hang up."""
    handler.reply(206, b"x" * 100, {"Content-Range": "bytes 0-16383/9999999"}, length=16384)
    handler.close_connection = True
    return True


@pytest.mark.fault("R65")
@pytest.mark.parametrize("fault", [cut_body, answering(503), silent])
def test_a_server_that_breaks_off_while_tiles_are_read(server, cog, fault):
    opened = open_scene(server.url, stretch="0,4095")
    window = Window(600, 500, 200, 200)
    server.fault = fault
    start = time.monotonic()
    with pytest.raises(UnreadableScene) as caught:
        opened.read(window)
    assert time.monotonic() - start < 30
    assert server.url in str(caught.value)
    assert "column 600, row 500" in str(caught.value)
    server.fault = healthy
    assert (opened.read(window).rgb == open_scene(cog[0], stretch="0,4095").read(window).rgb).all()


@pytest.mark.fault("R65")
def test_one_body_that_is_cut_is_read_again(server, cog):
    opened = open_scene(server.url, stretch="0,4095")
    asked = server.requests
    server.fault = lambda handler, number: number == asked + 1 and cut_body(handler, number)
    window = Window(600, 500, 200, 200)
    assert (opened.read(window).rgb == open_scene(cog[0], stretch="0,4095").read(window).rgb).all()


def test_a_remote_vrt_is_no_raster(server, tmp_path):
    server.path = tmp_path / "a.vrt"
    server.path.write_text('<VRTDataset rasterXSize="4" rasterYSize="4"></VRTDataset>')
    with pytest.raises(UnreadableScene, match='starts with "<VRTDataset'):
        open_scene(server.url)
