"""Kinds of files by their first bytes."""

import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from geosam.segmenters.weights.file_kind import Kind, kind_of


def safetensors(path):
    save_file({"a": np.zeros(3, np.float32)}, path)


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")


def tar(path):
    with tarfile.open(path, "w") as file:
        file.add(__file__, "a")


WRITERS = [
    (archive, Kind.ZIP),
    (tar, Kind.TAR),
    (safetensors, Kind.SAFETENSORS),
    (lambda path: torch.save({}, path), Kind.ZIP),
    (lambda path: torch.save({}, path, _use_new_zipfile_serialization=False), Kind.PICKLE),
    *[(lambda path, p=p: path.write_bytes(pickle.dumps({}, p)), Kind.PICKLE) for p in (2, 3, 4, 5)],
    (lambda path: path.write_bytes(b""), Kind.EMPTY),
    (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), Kind.LFS_POINTER),
    (lambda path: path.write_bytes(b"\xef\xbb\xbf \r\n<!DocType HTML>"), Kind.WEB_PAGE),
    (lambda path: path.write_bytes(b"<Error><Code>AccessDenied"), Kind.WEB_PAGE),
    (lambda path: path.write_bytes(b"weights"), Kind.OTHER),
]


@pytest.mark.parametrize(("write", "kind"), WRITERS)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a"])
def test_the_kind_follows_from_the_bytes_and_not_from_the_name(write, kind, name, tmp_path):
    write(tmp_path / name)
    assert kind_of(tmp_path / name) is kind


@given(st.integers(1, 2**32 - 1), st.binary(max_size=600))
def test_a_header_of_any_length_below_4_gib_is_one_of_safetensors(tmp_path_factory, length, rest):
    path = tmp_path_factory.mktemp("kind") / "a"
    path.write_bytes(struct.pack("<Q", length) + b"{" + rest)
    assert kind_of(path) is Kind.SAFETENSORS


@given(st.binary(max_size=700))
def test_any_bytes_have_a_kind(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("kind") / "a"
    path.write_bytes(content)
    kind = kind_of(path)
    assert kind in Kind
    assert (kind is Kind.EMPTY) == (not content)


def test_a_file_that_cannot_be_read_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        kind_of(tmp_path / "nowhere")
