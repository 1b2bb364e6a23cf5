"""Downloads that succeed: whole, resumed, and replaced."""

import logging
import os
from pathlib import Path

import pytest
from checkpoint_server import CONTENT, archive, enter, files, part_in, stop_at

from geosam.errors import DownloadFailed, UnknownModel, UnreadableCheckpoint
from geosam.segmenters.weights import download
from geosam.segmenters.weights import folder as checkpoints

pytestmark = pytest.mark.usefixtures("folder")


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
        f"{server.url}/tiny.pth: found SHA-256",
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
