"""The commands that train, on the real sets, for as few steps as show that everything fits together."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from geosam.models.registry import load_segmenter
from geosam.training.corpus import SETS
from geosam.training.mixture import WEIGHTS, mixture

ROOT = Path(__file__).parents[2]
LITE = [sys.executable, "-m", "geosam.training"]
REFERENCE = [sys.executable, str(ROOT / "benchmarks" / "training" / "reference.py")]


def run(command, data, folder, *options):
    return subprocess.run(
        [*command, str(data), "-o", str(folder), "--synthetic", "1", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stderr


def test_every_set_that_teaches_has_a_weight_and_those_left_out_are_not_drawn(data_dir, tmp_path):
    found = mixture(data_dir, tmp_path, synthetic=2, seed=1, without=["fields_naip", "dsb2018_nuclei"])
    teaching = {one.name for one in SETS if one.split == "train"} | {"synthetic"}
    assert found.keys() == teaching - {"fields_naip", "dsb2018_nuclei"}
    assert {name: weight for name, (weight, _) in found.items()} == {name: WEIGHTS[name] for name in found}
    assert len(found["synthetic"][1]) == 2
    without_rendered = mixture(data_dir, tmp_path, synthetic=2, seed=1, without=["synthetic"])
    assert without_rendered.keys() == teaching - {"synthetic"}


def test_a_command_that_was_stopped_at_once_goes_on_and_ends_with_the_weights_of_one_that_was_not(data_dir, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(LITE, data_dir, whole, "--steps", "2")
    run(LITE, data_dir, parts, "--steps", "2", "--minutes", "0")
    assert "goes on at step 0" in run(LITE, data_dir, parts, "--steps", "2")
    expected, found = (load_file(folder / "geosam_lite.safetensors") for folder in (whole, parts))
    assert all(found[name].equal(values) for name, values in expected.items())
    segmenter = load_segmenter(str(parts / "geosam_lite.safetensors"))
    assert segmenter.spec.name == "geosam_lite/geosam_lite"  # the model and the file


def test_an_unknown_set_cannot_be_left_out(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(LITE, tmp_path, tmp_path, "--without", "fields")
    assert "'fields'" in refused.value.stderr
    assert "fields_naip" in refused.value.stderr


def test_the_reference_architecture_learns_from_the_same_crops_and_loads_as_mobile_sam(data_dir, tmp_path):
    run(REFERENCE, data_dir, tmp_path, "--steps", "1")
    segmenter = load_segmenter(str(tmp_path / "reference.pt"))
    (embedding,) = segmenter.embed(np.zeros((1, 3, 1024, 1024), np.uint8), np.ones((1, 1024, 1024), bool))
    assert embedding.input_hw == (1024, 1024)
