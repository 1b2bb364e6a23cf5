"""Downloads of several processes and threads at the same time, with locks and without, and signals."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from checkpoint_server import CONTENT, enter, files, part_in

import geosam
from geosam.errors import DownloadFailed
from geosam.segmenters.weights import download

pytestmark = pytest.mark.usefixtures("folder")


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


@pytest.mark.serial
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


@pytest.mark.fault("C21")
def test_where_no_lock_can_be_had_it_goes_on_without(server, monkeypatch, caplog):
    enter(monkeypatch, server.url)

    def lockless(*_args, **_options):
        raise download.sqlite3.OperationalError("locking protocol")

    monkeypatch.setattr(download.sqlite3, "connect", lockless)
    assert download.download("tiny").read_bytes() == CONTENT
    assert "no lock, continuing without" in caplog.text
