"""Files of weights that are read no further than needed."""

import hashlib
import json
import logging
import subprocess
import sys

import pytest
import torch
from checkpoint_files import TENSORS, same, saved
from safetensors.torch import save_file

from geosam.errors import UnreadableCheckpoint
from geosam.segmenters.weights import reading
from geosam.segmenters.weights.tensor_file import TensorFile


@pytest.fixture
def path(tmp_path):
    save_file(dict(TENSORS), tmp_path / "tiny.safetensors", {"name": "tiny", "level": "3"})
    return tmp_path / "tiny.safetensors"


def test_metadata_of_a_safetensors_file_are_read_without_torch(path):
    code = (
        "import json, pathlib, sys; from geosam.segmenters.weights.tensor_file import TensorFile;"
        "print(json.dumps(TensorFile(pathlib.Path(sys.argv[1])).metadata), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    metadata, _, torch_is_loaded = done.stdout.strip().rpartition(" ")
    assert json.loads(metadata) == {"name": "tiny", "level": "3"}
    assert torch_is_loaded == "False"


def test_other_files_have_no_metadata(tmp_path):
    assert TensorFile(saved(tmp_path / "tiny.pth")).metadata == {}
    save_file(dict(TENSORS), tmp_path / "plain.safetensors")
    assert TensorFile(tmp_path / "plain.safetensors").metadata == {}


def test_tensors_and_shapes_are_those_of_the_file_whatever_wraps_them(path, tmp_path):
    wrapped = saved(tmp_path / "tiny.pth", {"model": {f"module.{name}": value for name, value in TENSORS.items()}})
    for place in (path, wrapped):
        file = TensorFile(place)
        same({name: file.tensors[name] for name in TENSORS})
        assert file.shapes == {name: tuple(value.shape) for name, value in TENSORS.items()}


def test_tensors_are_read_once(path, monkeypatch):
    calls = []
    read = reading.read_state_dict
    monkeypatch.setattr(
        reading, "read_state_dict", lambda *args, **options: calls.append(args) or read(*args, **options)
    )
    file = TensorFile(path)
    assert file.shapes.keys() == file.tensors.keys()
    assert file.tensors is file.tensors
    assert len(calls) == 1


def test_the_hash_is_that_of_the_bytes(path):
    assert TensorFile(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("again", "warnings"), [(False, 1), (True, 0)])
def test_a_file_that_was_read_before_is_not_called_unverified_again(path, again, warnings, caplog):
    with caplog.at_level(logging.WARNING, "geosam"):
        assert TensorFile(path, again=again).tensors
    assert len(caplog.messages) == warnings


@pytest.mark.parametrize("content", [None, b"", b"<html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_certainly_holds_no_weights_is_refused_when_it_is_opened(content, tmp_path):
    path = tmp_path / "tiny.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint, match=r"tiny\.pth"):
        TensorFile(path)


def test_a_damaged_header_is_refused_when_the_metadata_are_read(path):
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"{!" + content[10:])
    with pytest.raises(UnreadableCheckpoint, match="its header cannot be read"):
        _ = TensorFile(path).metadata


def test_metadata_that_are_no_object_are_none(tmp_path):
    header = b'{"__metadata__":3,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert TensorFile(path).metadata == {}


def test_half_precision_becomes_single_precision(tmp_path):
    file = TensorFile(saved(tmp_path / "half.pth", {"a": torch.ones(3, dtype=torch.float16)}))
    assert file.tensors["a"].dtype == torch.float32
