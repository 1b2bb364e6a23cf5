"""geosam_lite in the list of models: its files are recognised, and loaded by name or by path."""

import pytest
import torch
from safetensors.torch import save_file
from small_lite import small_file

from geosam.segmenters.family import ComputeRequest
from geosam.segmenters.lite import weights
from geosam.segmenters.lite.family import FAMILY
from geosam.segmenters.lite.segmenter import KEEP
from geosam.segmenters.segmenter import Prompted, Proposes
from geosam.segmenters.weights.tensor_file import TensorFile

CPU = ComputeRequest("cpu", "fp32", "torch")


@pytest.fixture
def path(tmp_path):
    return small_file(tmp_path / "tuned.safetensors")


def test_its_own_files_are_recognised_and_no_others(path, tmp_path):
    assert FAMILY.recognise(TensorFile(path)) == "geosam_lite"
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, other, {"geosam": '{"name": "another"}'})
    assert FAMILY.recognise(TensorFile(other)) is None


def test_a_file_is_loaded_with_the_capabilities_and_thresholds_of_the_model(path):
    segmenter = FAMILY.load_file(TensorFile(path), CPU)
    assert isinstance(segmenter, Prompted)
    assert isinstance(segmenter, Proposes)
    assert segmenter.spec.keep == KEEP
    assert segmenter.spec.input_size is None


def test_the_name_loads_the_weights_of_the_package(path, monkeypatch):
    monkeypatch.setattr(weights, "manifest_path", lambda: path.with_name("manifest.toml"))
    path.rename(path.with_name("geosam_lite.safetensors"))
    assert FAMILY.load("geosam_lite", CPU).spec.name == "geosam_lite"
    assert list(FAMILY.models) == [weights.NAME]
    assert FAMILY.models[weights.NAME].licence == weights.LICENCE
