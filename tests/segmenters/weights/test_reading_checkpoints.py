"""Files of weights that are read, whatever training scripts put around the tensors."""

import argparse
import logging
import pathlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from checkpoint_files import TENSORS, refused, rewritten, same, saved
from safetensors.torch import save_file

from geosam.segmenters.weights.reading import read_state_dict


@pytest.mark.parametrize("name", ["tiny.pth", "tiny.pt", "tiny.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_is_read_exactly(name, zipped, tmp_path):
    found = read_state_dict(saved(tmp_path / name, _use_new_zipfile_serialization=zipped))
    same(found)
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in found.values())


def test_safetensors_are_read_exactly(tmp_path):
    save_file(dict(TENSORS), tmp_path / "tiny.safetensors")
    found = read_state_dict(tmp_path / "tiny.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    (tmp_path / "tiny.safetensors").rename(tmp_path / "model.pth")
    assert set(read_state_dict(tmp_path / "model.pth")) == set(TENSORS)


@pytest.mark.fault("C13")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"model": tensors},
        lambda tensors: {"state_dict": tensors, "epoch": 3, "optimizer": {"state": {}}},
        lambda tensors: {"model": {"state_dict": tensors}},
        lambda tensors: OrderedDict((f"module.{name}", tensor) for name, tensor in tensors.items()),
        lambda tensors: {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}, "lr": 0.1},
    ],
)
def test_wrappers_and_prefixes_are_removed_and_logged(wrap, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "geosam"):
        same(read_state_dict(saved(tmp_path / "tiny.pth", wrap(TENSORS))))
    assert any("took the entry" in text or "removed the prefix" in text for text in caplog.messages)


@pytest.mark.fault("C13")
def test_a_prefix_that_only_some_names_have_belongs_to_them(tmp_path):
    mixed = {"module.a": torch.ones(2), "b": torch.ones(2)}
    assert list(read_state_dict(saved(tmp_path / "tiny.pth", mixed))) == ["module.a", "b"]


@pytest.mark.fault("C14")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_floating_point_types_become_float32(dtype, suffix, tmp_path):
    tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in TENSORS.items()}
    path = tmp_path / f"tiny{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else saved(path, tensors)
    found = read_state_dict(path)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(found[name], tensor.to(found[name].dtype)) for name, tensor in tensors.items())


@pytest.mark.fault("C15")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_that_are_not_finite_are_refused(value, dtype, tmp_path):
    tensor = torch.ones(10, 10, dtype=dtype)
    tensor[3, 4] = value
    path = saved(tmp_path / "tiny.pth", {"fine": torch.ones(2), "bad": tensor})
    refused(path, 'tensor "bad": 1 of 100 values are not finite')


@pytest.mark.fault("C16")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.ones(3), "it holds one Tensor"),
        ([torch.ones(3)], "it holds one list"),
        (3, "it holds one int"),
        ({}, "it is empty"),
        ({"model": {}}, "it is empty"),
        ({"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]}, "entry 'state' is a dict"),
        ({"optimizer": {"state": {}}, "epoch": 3}, "entry 'optimizer' is a dict"),
        ({"weight": torch.ones(3), "epoch": 3}, "entry 'epoch' is a int"),
        ({3: torch.ones(3)}, "entry 3 is a Tensor"),
        ({"weight": torch.ones(3).to_sparse()}, 'tensor "weight" is of an unusual kind'),
        ({"weight": torch.ones(3, dtype=torch.complex64)}, 'tensor "weight" is of an unusual kind'),
        ({"weight": torch.ones(3, device="meta")}, 'tensor "weight" is of an unusual kind'),
    ],
)
def test_what_is_no_state_dictionary_is_refused(content, words, tmp_path):
    refused(saved(tmp_path / "tiny.pth", content), words)


@pytest.mark.fault("C16")
@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(3), "numpy"),
        (np.ones(3), "numpy"),
        (pathlib.PurePosixPath("x"), "pathlib.PurePosixPath"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_other_things_beside_the_tensors_are_named(thing, name, tmp_path):
    path = saved(tmp_path / "tiny.pth", {"model": dict(TENSORS), "args": thing})
    refused(path, "contains code, refused", f"it calls for {name}", "torch.save(model.state_dict(), PATH)")


@pytest.mark.fault("C17")
def test_a_checkpoint_of_a_gpu_is_read_without_one(tmp_path):
    path = saved(tmp_path / "tiny.pth")

    def on_gpu(name, content):
        return (
            content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0") if name.endswith(".pkl") else content
        )

    rewritten(path, on_gpu)
    assert b"cuda:0" in path.read_bytes()
    same(read_state_dict(path))


def test_tied_tensors_and_parameters_are_read(tmp_path):
    weight = torch.nn.Parameter(torch.ones(4))
    found = read_state_dict(saved(tmp_path / "tiny.pth", {"a": weight, "b": weight}))
    assert torch.equal(found["a"], found["b"])
    assert not found["a"].requires_grad
