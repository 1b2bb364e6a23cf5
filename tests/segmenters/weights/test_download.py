"""Downloads from a server on this machine that can be told to fail."""

import contextlib
import errno
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkpoint_server import CONTENT, archive, enter, serving

import geosam
from geosam.errors import DiskFull, DownloadFailed, UnknownModel, UnreadableCheckpoint
from geosam.segmenters.weights import download
from geosam.segmenters.weights import folder as checkpoints
from geosam.segmenters.weights import http as transfer


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of checkpoints, and an environment without proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


@pytest.fixture
def server():
    with serving() as started:
        yield started


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def part_in(folder):
    """What an interrupted download has left."""
    (part,) = folder.rglob("*.part")
    return part


def stop_at(share):
    """A progress that presses Ctrl-C when so much has come."""

    def progress(done, total):
        if done >= share * total:
            raise KeyboardInterrupt

    return progress


def test_a_checkpoint_arrives_under_its_official_name_and_is_not_fetched_again(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    seen = []
    path = download.download("tiny", lambda done, total: seen.append((done, total)))
    assert path == folder / "tiny.pth"
    assert path.read_bytes() == CONTENT
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    monkeypatch.setattr(checkpoints, "sha256_of", lambda _: pytest.fail("hashed again"))
    assert download.download("tiny") == checkpoints.checkpoint_path("tiny") == path
    assert len(server.asked) == 1


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_can_be_named(server, folder, tmp_path, monkeypatch):
    enter(monkeypatch, server.url)
    assert download.download("tiny", folder=tmp_path / "a" / "b") == tmp_path / "a" / "b" / "tiny.pth"
    assert files(tmp_path / "a" / "b") == ["tiny.pth"]
    assert not folder.exists()


def test_an_unknown_model_is_refused_before_anything_is_asked(folder):
    with pytest.raises(UnknownModel):
        download.download("regions")
    assert not folder.exists()


def test_nothing_is_printed(server, monkeypatch, capfd):
    enter(monkeypatch, server.url)
    download.download("tiny")
    assert capfd.readouterr() == ("", "")


@pytest.mark.fault("F03")
def test_an_interrupted_download_goes_on_where_it_stopped(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    assert not (folder / "tiny.pth").exists()
    arrived = part_in(folder).stat().st_size
    assert 0 < arrived < len(CONTENT)
    assert download.download("tiny").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={arrived}-"]
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]


def test_a_whole_part_is_not_asked_for_again(server, monkeypatch):
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(1))
    assert download.download("tiny").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_connection_that_breaks_is_taken_up_again(server, monkeypatch):
    server.cut_after = 1_300_000
    enter(monkeypatch, server.url)
    assert download.download("tiny").read_bytes() == CONTENT
    starts = [int((wanted or "bytes=0-")[6:-1]) for _, wanted in server.asked]
    assert len(starts) > 2
    assert starts == sorted(set(starts))


def test_a_connection_that_brings_nothing_is_given_up(server, monkeypatch):
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    server.cut_after = 0
    with pytest.raises(DownloadFailed, match="no connection, or one that broke"):
        download.download("tiny")
    server.cut_after = None
    assert download.download("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("date", [None, "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(date, server, monkeypatch):
    enter(monkeypatch, server.url)
    server.tag, server.date = ("", date) if date else (None, None)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    server.content = archive(1)
    server.date = date and "Thu, 22 Oct 2015 07:28:00 GMT"
    enter(monkeypatch, server.url, server.content)
    assert download.download("tiny").read_bytes() == server.content
    assert server.asked[-1][1] is not None


@pytest.mark.parametrize(
    ("tag", "date", "resumes"), [('W/"weak"', None, False), ("", None, False), ("", "today", True)]
)
def test_only_a_server_that_names_the_version_is_asked_for_the_rest(tag, date, resumes, server, monkeypatch):
    server.tag, server.date = tag, date
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    assert download.download("tiny").read_bytes() == CONTENT
    assert (server.asked[-1][1] is not None) == resumes


def test_a_server_without_ranges_sends_everything_again(server, monkeypatch):
    server.knows_ranges = False
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    assert download.download("tiny").read_bytes() == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [206, 416])
def test_a_server_that_sends_another_range_is_asked_for_everything(status, server, monkeypatch):
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))

    def confused(handler):
        if handler.headers.get("Range"):
            handler.answer(status, CONTENT[:10], {"Content-Range": f"bytes 0-9/{len(CONTENT)}"})
        else:
            handler.answer(200, CONTENT)

    server.fault = confused
    assert download.download("tiny").read_bytes() == CONTENT
    assert len(server.asked) == 3


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}', b'{"url": "URL", "validator": "v", "total": "t"}'])
def test_a_part_whose_origin_is_not_known_is_not_gone_on_with(note, server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    with pytest.raises(KeyboardInterrupt):
        download.download("tiny", stop_at(0.5))
    part = part_in(folder)
    part.with_name(f"{part.name}.json").write_bytes(note.replace(b"URL", f"{server.url}/tiny.pth".encode()))
    assert download.download("tiny").read_bytes() == CONTENT
    assert server.asked[-1][1] is None


@pytest.mark.fault("C10")
def test_a_wrong_hash_is_kept_as_corrupt_and_the_previous_file_stays(server, folder, monkeypatch):
    enter(monkeypatch, server.url, sha256="0" * 64)
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(b"PKprevious")
    with pytest.raises(UnreadableCheckpoint) as caught:
        download.download("tiny")
    assert caught.value.exit_code == 5
    for words in (
        f"{server.url}/tiny.pth: SHA-256",
        "0" * 64,
        "attested by this test",
        str(folder / "tiny.pth.corrupt"),
    ):
        assert words in str(caught.value)
    assert (folder / "tiny.pth").read_bytes() == b"PKprevious"
    assert (folder / "tiny.pth.corrupt").read_bytes() == CONTENT
    assert files(folder) == ["tiny.pth", "tiny.pth.corrupt"]


@pytest.mark.fault("C10")
def test_a_damaged_file_is_replaced_and_kept_as_corrupt(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(b"PKprevious")
    assert download.download("tiny").read_bytes() == CONTENT
    assert (folder / "tiny.pth.corrupt").read_bytes() == b"PKprevious"
    assert files(folder) == [".tiny.pth.verified", "tiny.pth", "tiny.pth.corrupt"]


@pytest.mark.fault("F03")
@pytest.mark.parametrize("there", [None, b"PKprevious"], ids=["nothing there", "a damaged file there"])
@pytest.mark.parametrize("step", ["sha256_of", "replace"])
def test_what_has_arrived_whole_is_not_fetched_again(step, there, server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    if there is not None:
        folder.mkdir()
        (folder / "tiny.pth").write_bytes(there)
    places = {"sha256_of": checkpoints, "replace": Path}
    original = getattr(places[step], step)

    def interrupted(path, *to):
        if path.suffix == ".part" and (not to or to[0] == folder / "tiny.pth"):
            raise KeyboardInterrupt
        return original(path, *to)

    with monkeypatch.context() as here:
        here.setattr(places[step], step, interrupted)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                download.download("tiny")
    assert len(server.asked) == 1
    assert len(list(folder.rglob("*.part"))) == 1
    assert download.download("tiny").read_bytes() == CONTENT
    assert len(server.asked) == 1
    if there is not None:
        assert (folder / "tiny.pth.corrupt").read_bytes() == there


@pytest.mark.fault("C07")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<!DOCTYPE html><html>Sign in to the hotel's network", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a Git LFS pointer"),
        (b"", "it is empty"),
    ],
)
@pytest.mark.parametrize("sha256", [None, False], ids=["hash", "no hash"])
def test_text_in_place_of_the_file_is_called_what_it_is(text, words, sha256, server, monkeypatch):
    enter(monkeypatch, server.url, sha256=sha256)
    server.content = text
    with pytest.raises(UnreadableCheckpoint, match=words):
        download.download("tiny")
    assert not (checkpoints.checkpoint_folder() / "tiny.pth").exists()
    server.content = CONTENT
    assert download.download("tiny").read_bytes() == CONTENT


@pytest.mark.fault("C22")
@pytest.mark.parametrize("known", [True, False])
def test_free_space_is_looked_at_first(known, server, folder, monkeypatch):
    enter(monkeypatch, server.url, size=len(CONTENT) if known else None)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(DiskFull, match=rf"{folder}.*: 1\.0 MB free, 3\.0 MB wanted") as caught:
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


#: Downloads the checkpoint `tiny` from the URL in argv; argv: URL, SHA-256.
PROGRAM = """
import sys
from geosam.segmenters.weights.manifest import Checkpoint, manifest
manifest._entries["tiny"] = Checkpoint(
    name="tiny", family="sam", url=sys.argv[1] + "/tiny.pth", licence="none", sha256=sys.argv[2], attested="test"
)
from geosam.apps.cli.main import main
sys.argv[1:] = ["models", "download", "tiny"]
main()
"""


@pytest.fixture
def start(server, monkeypatch):
    """Start the command in a process of its own."""
    checkpoint = enter(monkeypatch, server.url)
    environment = {**os.environ, "PYTHONPATH": str(Path(geosam.__file__).parents[1])}
    started = []

    def command():
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, server.url, checkpoint.sha256],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.fault("C21")
def test_three_processes_at_once_end_with_one_good_file(start, server, folder):
    server.gate.clear()
    processes = [start() for _ in range(3)]
    assert server.halfway.wait(20)
    time.sleep(1)  # the others are waiting by now, or about to
    server.gate.set()
    outcomes = [(*process.communicate(timeout=30), process.returncode) for process in processes]
    assert [code for *_, code in outcomes] == [0, 0, 0]
    assert {out for out, *_ in outcomes} == {f"{folder}/tiny.pth\n"}
    assert (folder / "tiny.pth").read_bytes() == CONTENT
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]
    assert len(server.asked) == 1


@pytest.mark.fault("C21")
def test_without_working_locks_a_download_under_way_may_be_taken_over(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    monkeypatch.setattr(download, "_only_one", lambda _: contextlib.nullcontext())
    server.gate.clear()
    errors = []

    def run():
        try:
            download.download("tiny")
        except DownloadFailed as error:
            errors.append(error)

    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    assert server.halfway.wait(20)
    while not any(part.stat().st_size for part in folder.rglob("*.part")):
        time.sleep(0.01)
    second.start()
    while len(server.asked) < 2:
        time.sleep(0.01)
    assert server.asked[1][1] is not None
    server.gate.set()
    first.join()
    second.join()
    assert len(errors) < 2
    assert (folder / "tiny.pth").read_bytes() == CONTENT


@pytest.mark.fault("C21")
def test_a_download_that_fails_leaves_what_another_one_has_nearly_ready(tmp_path):
    work = tmp_path / ".tiny.pth.download"
    work.mkdir()
    (work / "lock").touch()
    ready = work / "other.part"
    ready.write_bytes(CONTENT)
    with pytest.raises(FileNotFoundError), download._swept(work):
        raise FileNotFoundError
    assert ready.read_bytes() == CONTENT
    ready.unlink()
    with pytest.raises(FileNotFoundError), download._swept(work):
        raise FileNotFoundError
    assert not work.exists()


@pytest.mark.fault("C21")
def test_without_working_locks_two_at_once_still_end_with_one_good_file(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    monkeypatch.setattr(download, "_only_one", lambda _: contextlib.nullcontext())
    server.gate.clear()
    errors = []

    def run():
        try:
            assert download.download("tiny").read_bytes() == CONTENT
        except DownloadFailed as error:  # the folder of its parts may be swept before the other file is in place
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(server.asked) < 2:
        time.sleep(0.01)
    server.gate.set()
    for thread in threads:
        thread.join()
    assert len(errors) < 2
    assert (folder / "tiny.pth").read_bytes() == CONTENT
    assert download.download("tiny").read_bytes() == CONTENT


@pytest.mark.fault("C21")
def test_without_working_locks_what_another_one_has_finished_meanwhile_stays(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    fetch = download.fetch

    def overtaken(url, part, **options):
        fetch(url, part, **options)
        part.replace(folder / "tiny.pth")
        shutil.rmtree(folder / ".tiny.pth.download")

    monkeypatch.setattr(download, "fetch", overtaken)
    assert download.download("tiny").read_bytes() == CONTENT
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]


@pytest.mark.fault("C21")
def test_without_working_locks_a_second_good_file_does_not_turn_the_first_one_into_a_corrupt_one(
    server, folder, monkeypatch
):
    enter(monkeypatch, server.url)
    fetch = download.fetch

    def beaten(url, part, **options):
        fetch(url, part, **options)
        shutil.copy(part, folder / "tiny.pth")

    monkeypatch.setattr(download, "fetch", beaten)
    assert download.download("tiny").read_bytes() == CONTENT
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]


@pytest.mark.fault("C21")
def test_without_working_locks_a_download_taken_over_says_so_and_leaves_what_was_there(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(b"old")
    fetch = download.fetch

    def taken(url, part, **options):
        fetch(url, part, **options)
        part.rename(part.with_name("other.part"))

    monkeypatch.setattr(download, "fetch", taken)
    with pytest.raises(DownloadFailed, match="another process has taken over") as failed:
        download.download("tiny")
    assert str(folder / ".tiny.pth.download") in str(failed.value)
    assert (folder / "tiny.pth").read_bytes() == b"old"
    assert (folder / ".tiny.pth.download" / "other.part").read_bytes() == CONTENT


@pytest.mark.fault("C21")
def test_what_somebody_puts_there_during_the_download_is_kept(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    fetch = download.fetch

    def meanwhile(url, part, **options):
        fetch(url, part, **options)
        (folder / "tiny.pth").write_bytes(b"mine")

    monkeypatch.setattr(download, "fetch", meanwhile)
    assert download.download("tiny").read_bytes() == CONTENT
    assert (folder / "tiny.pth.corrupt").read_bytes() == b"mine"


@pytest.mark.fault("F03")
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (9, -9)], ids=["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_leaves_a_part_that_the_same_command_goes_on_with(number, code, start, server, folder):
    server.gate.clear()
    process = start()
    assert server.halfway.wait(20)
    while not any(part.stat().st_size for part in folder.rglob("*.part")):
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert not (folder / "tiny.pth").exists()
    arrived = part_in(folder).stat().st_size
    server.gate.set()
    again = start()
    out, err = again.communicate(timeout=30)
    assert (again.returncode, out) == (0, f"{folder}/tiny.pth\n")
    assert server.asked[-1][1] == f"bytes={arrived}-"
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]


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


@pytest.mark.fault("C21")
def test_where_no_lock_can_be_had_it_goes_on_without(server, monkeypatch, caplog):
    enter(monkeypatch, server.url)

    def lockless(*_args, **_options):
        raise download.sqlite3.OperationalError("locking protocol")

    monkeypatch.setattr(download.sqlite3, "connect", lockless)
    assert download.download("tiny").read_bytes() == CONTENT
    assert "no lock, going on without" in caplog.text


def test_what_cannot_be_verified_is_fetched_with_a_warning(server, folder, monkeypatch, caplog):
    enter(monkeypatch, server.url, sha256=False)
    with caplog.at_level(logging.WARNING, "geosam"):
        assert download.download("tiny").read_bytes() == CONTENT
    assert caplog.messages == [f"not verified: no attested hash: {folder}/tiny.pth"]
    assert files(folder) == ["tiny.pth"]


def test_a_body_that_ends_early_without_saying_so_is_not_taken_for_whole(server, folder, monkeypatch):
    enter(monkeypatch, server.url, sha256=False)
    server.cut_after, server.knows_ranges = 1_500_000, False
    with pytest.raises(DownloadFailed):
        download.download("tiny")
    assert not (folder / "tiny.pth").exists()


@pytest.mark.fault("F05")
def test_what_a_killed_run_left_is_swept_with_the_next_success(server, folder, monkeypatch):
    enter(monkeypatch, server.url)
    work = folder / ".tiny.pth.download"
    work.mkdir(parents=True)
    (work / "tmpabcdef").touch()
    (work / "left.part").write_bytes(CONTENT[:100])
    (work / "more.part").write_bytes(CONTENT[:200])
    download.download("tiny")
    assert files(folder) == [".tiny.pth.verified", "tiny.pth"]
