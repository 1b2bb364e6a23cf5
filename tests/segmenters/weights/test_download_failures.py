"""Downloads that fail: the network, the disk, the folder. Each ends in one clear sentence and leaves no file."""

import errno
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkpoint_server import CONTENT, enter, files, stop_at

from geosam.errors import DiskFull, DownloadFailed
from geosam.segmenters.weights import download
from geosam.segmenters.weights import http as transfer

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.fault("C22")
@pytest.mark.parametrize("known", [True, False])
def test_free_space_is_looked_at_first(known, server, folder, monkeypatch):
    enter(monkeypatch, server.url, size=len(CONTENT) if known else None)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(DiskFull, match=rf"{folder}.*: found 1\.0 MB free, expected 3\.0 MB\. ") as caught:
        download.download("tiny")
    assert caught.value.exit_code == 8
    assert "tiny.pth" not in files(folder)
    assert len(server.asked) == (0 if known else 1)


@pytest.mark.fault("C22")
def test_what_is_there_already_needs_no_space(server, monkeypatch):
    enter(monkeypatch, server.url, size=len(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    assert download.download("tiny").read_bytes() == CONTENT


@pytest.mark.fault("C22")
def test_a_disk_that_fills_up_meanwhile(server, folder, monkeypatch):
    enter(monkeypatch, server.url)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transfer.os, "fsync", full)
        with pytest.raises(DiskFull, match="no space left for the checkpoint of tiny") as caught:
            download.download("tiny")
    assert caught.value.exit_code == 8
    assert not (folder / "tiny.pth").exists()
    assert download.download("tiny").read_bytes() == CONTENT


@pytest.mark.fault("C22")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_write_that_fails_is_no_network_failure(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    monkeypatch.setattr(transfer, "_begin", lambda part, *_: part.symlink_to("/dev/full"))
    with pytest.raises(DiskFull):
        download.download("tiny")
    assert not (folder / "tiny.pth").exists()


def assert_clear(error, url, folder):
    text = str(error)
    assert error.exit_code == 5
    assert "\n" not in text
    assert f"{url}/tiny.pth" in text
    assert f"put the file tiny.pth into {folder} by hand" in text
    assert "tiny.pth" not in files(folder)
    assert not any(word in text for word in ("HTTPConnectionPool", "urllib3", "Errno", "object at"))


def test_a_machine_without_network_gets_one_clear_sentence(folder, monkeypatch):
    def offline(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    url = "https://dl.fbaipublicfiles.invalid"
    enter(monkeypatch, url)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DownloadFailed, match="no connection") as caught:
        download.download("tiny")
    assert_clear(caught.value, url, folder)
    assert files(folder) == []


def test_nobody_listens(server, folder, monkeypatch):
    url = server.url
    server.server_close()
    enter(monkeypatch, url)
    with pytest.raises(DownloadFailed, match="no connection") as caught:
        download.download("tiny")
    assert_clear(caught.value, url, folder)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_http_status_is_named(status, server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    server.fault = lambda handler: handler.answer(status, b"<html>no</html>")
    with pytest.raises(DownloadFailed, match=f"HTTP status {status}") as caught:
        download.download("tiny")
    assert_clear(caught.value, server.url, folder)


@pytest.mark.parametrize("halfway", [False, True])
def test_a_server_that_falls_silent_is_given_up(halfway, server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.5, 0.5))
    if halfway:
        server.gate.clear()
    else:
        server.fault = lambda _: time.sleep(2)
    with pytest.raises(DownloadFailed, match=r"no (answer|connection)") as caught:
        download.download("tiny")
    assert_clear(caught.value, server.url, folder)


def test_an_endless_redirect_is_no_answer(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    server.fault = lambda handler: handler.answer(302, b"", {"Location": "/tiny.pth"})
    with pytest.raises(DownloadFailed, match=r"cannot be understood \(TooManyRedirects\)") as caught:
        download.download("tiny")
    assert_clear(caught.value, server.url, folder)


def test_a_redirect_is_followed_and_resumed(server, monkeypatch):
    enter(monkeypatch, server.url)

    def moved(handler):
        if handler.path == "/tiny.pth":
            handler.answer(302, b"", {"Location": f"{server.url}/elsewhere"})
            return
        server.fault = None
        handler.do_GET()
        server.fault = moved

    server.fault = moved
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    assert download.download("tiny").read_bytes() == CONTENT
    assert server.asked[-1][1] is not None


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    enter(monkeypatch, "http://checkpoints.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    assert download.download("tiny").read_bytes() == CONTENT
    assert server.asked == [("http://checkpoints.invalid/tiny.pth", None)]


def test_a_proxy_that_does_not_answer_is_named(server, folder, monkeypatch):
    proxy = server.url
    server.server_close()
    enter(monkeypatch, "http://checkpoints.invalid")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(DownloadFailed, match="the proxy does not answer") as caught:
        download.download("tiny")
    assert_clear(caught.value, "http://checkpoints.invalid", folder)


@pytest.mark.fault("C26")
def test_a_folder_that_cannot_be_written_is_named(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    folder.write_text("a file")
    with pytest.raises(DownloadFailed, match=rf"cannot be written: {folder}.*GEOSAM_CHECKPOINTS") as caught:
        download.download("tiny")
    assert caught.value.exit_code == 5


@pytest.mark.fault("C26")
def test_a_folder_that_may_only_be_read_serves_what_is_in_it(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(CONTENT)

    def denied(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    monkeypatch.setattr(Path, "write_text", denied)
    assert download.download("tiny") == folder / "tiny.pth"
    assert files(folder) == ["tiny.pth"]
