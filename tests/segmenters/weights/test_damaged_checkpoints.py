"""Files that are damaged, incomplete or of another kind: refused in one line that names the file."""

import contextlib
import json
import logging
import pathlib
import random
import struct
import zipfile

import pytest
import torch
from checkpoint_files import TENSORS, refused, rewritten, same, saved
from checkpoint_server import enter
from safetensors.torch import save_file

from geosam.errors import GeosamError
from geosam.segmenters.weights.reading import read_state_dict


@pytest.mark.fault("C06")
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_names_the_bytes(share, suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    save_file(dict(TENSORS), path) if suffix == ".safetensors" else saved(path)
    whole = path.read_bytes()
    some = whole[: int(share * len(whole))]
    path.write_bytes(some)
    text = refused(path)
    if not some:
        assert "it is empty" in text
    else:
        assert f"incomplete download: {len(some)} " in text
        if suffix == ".safetensors" and share > 0.2:
            assert f"of {len(whole)} bytes" in text


@pytest.mark.fault("C06")
def test_the_manifest_knows_how_many_bytes_are_wanted(tmp_path, monkeypatch):
    path = saved(tmp_path / "tiny.pth")
    whole = path.read_bytes()
    enter(monkeypatch, "http://unused.invalid", whole, size=len(whole))
    path.write_bytes(whole[:999])
    refused(path, f"incomplete download: 999 of {len(whole)} bytes", "geosam models download tiny")


@pytest.mark.fault("C07")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a Git LFS pointer"),
        ("<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
    ],
)
def test_text_in_place_of_the_file_is_called_what_it_is(text, words, suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    path.write_text(text)
    refused(path, words)


@pytest.mark.fault("C08")
def test_a_folder_a_missing_file_and_an_unreadable_one_are_named(tmp_path, monkeypatch):
    refused(tmp_path, "is a folder")
    refused(tmp_path / "missing.pth", "No such file")
    path = saved(tmp_path / "tiny.pth")
    monkeypatch.setattr(pathlib.Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    refused(path, "denied")


def flipped(path):
    """Flip a bit in the middle of the first tensor's record."""
    with zipfile.ZipFile(path) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
    content = bytearray(path.read_bytes())
    content[entry.header_offset + len(entry.FileHeader()) + 2000] ^= 1
    path.write_bytes(content)


@pytest.mark.fault("C09")
def test_a_flipped_bit_in_an_official_file_is_found(tmp_path, monkeypatch, caplog):
    path = saved(tmp_path / "tiny.pth")
    enter(monkeypatch, "http://unused.invalid", path.read_bytes())
    with caplog.at_level(logging.WARNING, "geosam"):
        same(read_state_dict(path))
    assert caplog.messages == []
    flipped(path)
    refused(path, "SHA-256", "attested by this test")


@pytest.mark.fault("C09")
def test_a_file_of_the_users_own_is_called_unverified(tmp_path, caplog):
    path = saved(tmp_path / "own.pth")
    with caplog.at_level(logging.WARNING, "geosam"):
        read_state_dict(path)
    assert caplog.messages == [f"the checkpoint is not verified: {path}: no attested hash"]


@pytest.mark.fault("C19")
@pytest.mark.parametrize("later", [10, 10**5])
def test_a_record_shorter_than_its_tensor_is_refused(later, tmp_path):
    """With much behind it, a mapped file would lend bytes of the next record."""
    path = saved(tmp_path / "tiny.pth", {"a": torch.randn(1000), "b": torch.randn(later)})
    rewritten(path, lambda name, content: content[:8] if name.endswith("data/0") else content)
    refused(path, "a tensor has fewer bytes than it declares")


def test_records_that_are_missing_are_refused(tmp_path):
    path = saved(tmp_path / "tiny.pth")
    refused(rewritten(path, lambda name, content: None if name.endswith("data/0") else content), "do not fit together")
    refused(rewritten(path, lambda name, content: None if name.endswith(".pkl") else content), "PyTorch did not write")


def header(path, edit):
    """Rewrite the header of a safetensors file; `edit` gets its text and returns the new one."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    new = edit(content[8 : 8 + length].decode()).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


def edited(change):
    """An edit of the header as a dictionary."""

    def edit(text):
        found = json.loads(text)
        change(found)
        return json.dumps(found)

    return edit


SAFETENSORS = {
    "duplicate key": (lambda text: text.rstrip()[:-1] + "," + text.rstrip()[1:], "occurs twice"),
    "not JSON": (lambda text: text.rstrip()[:-3], "header cannot be read"),
    "a list": (lambda _: "[]", "header cannot be read"),
    "nested deeply": (lambda _: '{"a":' * 100_000, "header cannot be read"),
    "overlap": (edited(lambda h: h["b"].update(data_offsets=[0, 400])), "tensors"),
    "wrong shape": (edited(lambda h: h["b"].update(shape=[7])), "does not fit"),
    "negative": (edited(lambda h: h["b"].update(data_offsets=[-400, 800])), "does not fit"),
    "unknown type": (edited(lambda h: h["b"].update(dtype="F99")), "does not fit"),
    "no offsets": (edited(lambda h: h["b"].pop("data_offsets")), "header cannot be read"),
    "far end": (edited(lambda h: h["b"].update(data_offsets=[400, 10**12])), "incomplete download"),
    "hole": (edited(lambda h: h.pop("a")), "does not fit"),
    "fewer": (edited(lambda h: h.pop("b")), "bytes behind its tensors"),
}


@pytest.mark.fault("C20")
@pytest.mark.parametrize("damage", list(SAFETENSORS))
def test_a_damaged_safetensors_header_is_refused(damage, tmp_path):
    edit, words = SAFETENSORS[damage]
    path = tmp_path / "tiny.safetensors"
    save_file({"a": torch.ones(100), "b": torch.zeros(100)}, path)
    header(path, edit)
    refused(path, words)


@pytest.mark.fault("C20")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"12345", "a header of"),
        (struct.pack("<Q", 2**60) + b"{}", f"a header of {2**60} bytes"),
        (struct.pack("<Q", 2**31) + b"{}", f"a header of {2**31} bytes"),
        (struct.pack("<Q", 100) + b"{}", "incomplete download"),
    ],
)
def test_an_impossible_safetensors_header_is_refused(content, words, tmp_path):
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(content)
    refused(path, words)


@pytest.mark.fault("C20")
def test_trailing_bytes_and_a_renamed_pickle_are_refused(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_file(dict(TENSORS), path)
    path.write_bytes(path.read_bytes() + b"x")
    refused(path, "1 bytes behind its tensors")
    refused(saved(path), "it is a zip archive, expected a safetensors file")
    refused(saved(path, _use_new_zipfile_serialization=False), "it is a Python pickle, expected a safetensors file")


@pytest.mark.fault("C06", "C19", "C20")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".legacy"])
def test_random_damage_never_ends_in_anything_but_a_clean_refusal(suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".safetensors":
        save_file(dict(TENSORS), path)
    else:
        saved(path, _use_new_zipfile_serialization=suffix == ".pth")
    whole = path.read_bytes()
    seeded = random.Random(0)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(seeded.choice([1, 3, 30])):
            content[seeded.randrange(seeded.choice([200, len(content)]))] = seeded.randrange(256)
        path.write_bytes(content[: seeded.choice([len(content), seeded.randrange(len(content))])])
        with contextlib.suppress(GeosamError):
            found = read_state_dict(path)
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
