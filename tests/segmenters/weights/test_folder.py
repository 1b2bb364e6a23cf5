import json
import os
from pathlib import Path

import pytest
from checkpoint_server import CONTENT, enter

from geosam.errors import CheckpointNotFound, UnknownModel, UnreadableCheckpoint
from geosam.segmenters.weights import folder as checkpoints
from geosam.segmenters.weights.folder import checkpoint_folder, checkpoint_path, is_attested, verify


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny(folder, monkeypatch):
    """A checkpoint that somebody put into the folder by hand."""
    checkpoint = enter(monkeypatch, "http://unused.invalid", size=len(CONTENT))
    (folder / checkpoint.file).write_bytes(CONTENT)
    return checkpoint


@pytest.fixture
def hashed(monkeypatch):
    """Which files have been hashed."""
    files, real = [], checkpoints.sha256_of
    monkeypatch.setattr(checkpoints, "sha256_of", lambda path: files.append(path) or real(path))
    return files


def test_the_folder_is_in_the_users_cache_unless_the_environment_names_one(monkeypatch, tmp_path):
    monkeypatch.delenv("GEOSAM_CHECKPOINTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert checkpoint_folder().parts[-2:] == ("geosam", "checkpoints")
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", "~/here")
    assert checkpoint_folder() == Path("~/here").expanduser()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", "relative")
    assert checkpoint_folder() == tmp_path / "relative"


@pytest.mark.usefixtures("tiny")
def test_a_file_put_there_by_hand_is_found_and_hashed_once(folder, hashed):
    for _ in range(3):
        assert checkpoint_path("tiny") == folder / "tiny.pth"
    assert len(hashed) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(CONTENT),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.with_name("copy").write_bytes(CONTENT) and path.with_name("copy").replace(path),
    ],
    ids=["written again", "other time", "another file in its place"],
)
@pytest.mark.usefixtures("tiny")
def test_a_file_that_changed_is_hashed_again(change, folder, hashed):
    checkpoint_path("tiny")
    change(folder / "tiny.pth")
    checkpoint_path("tiny")
    assert len(hashed) == 2


@pytest.mark.parametrize("memo", [b"", b"{", b"null", b"[1]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_memo_that_cannot_be_understood_is_not_trusted(memo, tiny, folder, hashed):
    (folder / ".tiny.pth.verified").write_bytes(memo)
    checkpoint_path("tiny")
    checkpoint_path("tiny")
    assert len(hashed) == 1
    assert json.loads((folder / ".tiny.pth.verified").read_bytes())["sha256"] == tiny.sha256


@pytest.mark.usefixtures("tiny")
def test_a_memo_that_cannot_be_written_means_hashing_every_time(folder, hashed):
    (folder / ".tiny.pth.verified").mkdir()
    checkpoint_path("tiny")
    checkpoint_path("tiny")
    assert len(hashed) == 2
    assert sorted(path.name for path in folder.iterdir()) == [".tiny.pth.verified", "tiny.pth"]


@pytest.mark.usefixtures("tiny")
def test_a_memo_of_another_hash_is_not_trusted(monkeypatch):
    checkpoint_path("tiny")
    enter(monkeypatch, "http://unused.invalid", sha256="0" * 64)
    with pytest.raises(UnreadableCheckpoint, match="SHA-256"):
        checkpoint_path("tiny")


@pytest.mark.fault("C09")
@pytest.mark.usefixtures("tiny")
def test_a_bit_that_flips_in_place_is_found_by_a_fresh_look(folder):
    path = folder / "tiny.pth"
    checkpoint_path("tiny")
    facts = path.stat()
    with path.open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)[0]
        file.seek(1_000_000)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    checkpoint_path("tiny")
    with pytest.raises(UnreadableCheckpoint, match=r": found SHA-256 \w+, expected \w+ \(attested by this test\)"):
        checkpoint_path("tiny", afresh=True)


@pytest.mark.usefixtures("folder")
def test_outside_the_folder_nothing_is_left_beside_a_file(tiny, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tiny.pth"
    elsewhere.write_bytes(CONTENT)
    assert verify(elsewhere, tiny)
    assert list(elsewhere.parent.iterdir()) == [elsewhere]


@pytest.mark.fault("C08")
def test_a_missing_file_is_named_with_both_remedies(folder, monkeypatch):
    enter(monkeypatch, "http://unused.invalid")
    with pytest.raises(CheckpointNotFound) as caught:
        checkpoint_path("tiny")
    assert caught.value.exit_code == 5
    assert str(caught.value) == (
        f"the checkpoint of tiny is missing: {folder}/tiny.pth. "
        f"Run `geosam models download tiny`, or put the file tiny.pth into {folder}."
    )


@pytest.mark.fault("C08")
def test_a_folder_of_that_name_is_refused(folder, monkeypatch):
    enter(monkeypatch, "http://unused.invalid")
    (folder / "tiny.pth").mkdir()
    with pytest.raises(UnreadableCheckpoint, match=r"is a folder: .*tiny\.pth"):
        checkpoint_path("tiny")


@pytest.mark.fault("C08")
@pytest.mark.usefixtures("tiny")
def test_an_unreadable_file_is_refused(monkeypatch):
    def denied(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UnreadableCheckpoint, match=r"tiny\.pth: Permission denied"):
        checkpoint_path("tiny")


@pytest.mark.fault("C06")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.usefixtures("tiny")
def test_a_truncated_file_names_the_bytes(share, folder):
    some = CONTENT[: int(share * len(CONTENT))]
    (folder / "tiny.pth").write_bytes(some)
    with pytest.raises(UnreadableCheckpoint, match=rf"incomplete download: {len(some)} of {len(CONTENT)} bytes"):
        checkpoint_path("tiny")


@pytest.mark.fault("C07")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>Sign in", "it is a web page"),
        (b"<html><head>", "it is a web page"),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "it is a web page"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_text_in_place_of_the_file_is_called_what_it_is(text, words, folder):
    (folder / "tiny.pth").write_bytes(text)
    with pytest.raises(UnreadableCheckpoint, match=words):
        checkpoint_path("tiny")


def test_a_file_without_attested_hash_is_taken_but_not_called_verified(folder, monkeypatch):
    checkpoint = enter(monkeypatch, "http://unused.invalid", sha256=False)
    (folder / "tiny.pth").write_bytes(b"\x80\x02whatever")
    assert checkpoint_path("tiny") == folder / "tiny.pth"
    assert verify(folder / "tiny.pth", checkpoint) is False
    (folder / "tiny.pth").write_bytes(CONTENT[:-9])
    with pytest.raises(UnreadableCheckpoint, match=r"incomplete download: \d+ bytes, and the end is missing"):
        checkpoint_path("tiny")


@pytest.mark.usefixtures("folder")
def test_an_unknown_model_has_no_checkpoint():
    with pytest.raises(UnknownModel):
        checkpoint_path("regions")


@pytest.mark.usefixtures("tiny")
def test_a_file_is_attested_by_its_official_name_and_hash_wherever_it_lies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "tiny.pth").write_bytes(CONTENT)
    (folder / "own.pth").write_bytes(CONTENT)
    assert is_attested(folder / "tiny.pth")
    assert not is_attested(folder / "own.pth")
    (folder / "tiny.pth").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UnreadableCheckpoint, match="if the file is your own, give it another name"):
        is_attested(folder / "tiny.pth")
