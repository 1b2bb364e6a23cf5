import subprocess
import sys

import pytest

from geosam import segmenters
from geosam.errors import CheckpointNotFound, DeviceUnavailable, UnknownModel, UsageError
from geosam.segmenters.family import ComputeRequest
from geosam.segmenters.registry import Registry, load_segmenter, registry
from geosam.segmenters.segmenter import Segmenter
from geosam.segmenters.weights.manifest import manifest

#: Models without weights, which load at once.
PLAIN = ["regions", "threshold"]
NETWORKS = list(manifest)


@pytest.fixture(autouse=True)
def _no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_models_without_weights_load_under_their_own_names(name, device):
    segmenter = load_segmenter(name, device)
    assert isinstance(segmenter, Segmenter)
    assert segmenter.spec.name == name


def test_the_models_are_our_own_then_those_without_weights_then_those_of_the_manifest():
    assert list(registry) == ["geosam_lite", *PLAIN, *manifest]
    assert all(info.description for info in registry.values())
    assert {info.devices for info in registry.values()} == {("cpu",), ("cpu", "cuda")}
    assert load_segmenter("regions").spec.fingerprint != load_segmenter("threshold").spec.fingerprint


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_without_its_checkpoint_is_refused_with_the_command_that_gets_it(name):
    with pytest.raises(CheckpointNotFound, match=rf"Run `geosam models download {name}`") as caught:
        load_segmenter(name, "cpu")
    assert caught.value.exit_code == 5


def test_an_unknown_model_is_refused_with_the_names_there_are():
    names = r"unknown model: found 'sam9', expected one of geosam_lite, regions, threshold, sam_vit_b, "
    with pytest.raises(UnknownModel, match=names) as caught:
        load_segmenter("sam9")
    assert caught.value.exit_code == 2
    assert "or a file (.pth, .pt, .safetensors). Run" in str(caught.value)


@pytest.mark.parametrize("name", PLAIN)
def test_a_device_the_model_cannot_use_is_refused_with_the_remedy(name):
    with pytest.raises(DeviceUnavailable, match=rf"{name} .*: found 'cuda', expected cpu\. Leave `device`") as caught:
        load_segmenter(name, "cuda")
    assert caught.value.exit_code == 5
    assert caught.value.code == "device-not-supported"
    assert caught.value.values == {"model": name, "device": "cuda", "devices": ["cpu"]}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("parameter", "value"), [("precision", "bf16"), ("backend", "torch")])
def test_options_of_networks_are_refused_for_other_models(name, parameter, value):
    with pytest.raises(UsageError, match=rf"the model {name} is no network: `{parameter}`: ") as caught:
        load_segmenter(name, **{parameter: value})
    assert caught.value.exit_code == 2
    assert caught.value.code == "model-is-no-network"


def test_a_folder_beside_the_others_adds_a_family_without_a_change_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "bright").mkdir()
    (tmp_path / "bright" / "__init__.py").write_text("")
    (tmp_path / "bright" / "family.py").write_text(
        "from geosam.segmenters.family import Family, ModelInfo\n"
        "def load(name, request): return name, request.device\n"
        "FAMILY = Family('bright', {'bright': ModelInfo('bright areas')}, load)\n"
    )
    monkeypatch.setattr(segmenters, "__path__", [*segmenters.__path__, str(tmp_path)])
    extended = Registry()
    assert list(extended) == [*registry, "bright"]
    assert extended["bright"].description == "bright areas"
    family = extended.family_of("bright")
    assert family.load("bright", ComputeRequest("cpu")) == ("bright", "cpu")
    assert family.recognise(None) is None
    assert family.load_file is None


def test_every_family_is_listed_once_and_its_names_belong_to_it():
    names = [name for family in registry.families for name in family.models]
    assert names == list(registry)
    assert all(registry.family_of(name).models[name] is registry[name] for name in registry)
    with pytest.raises(KeyError):
        registry.family_of("sam9")


def test_facts_about_checkpoints_are_those_of_the_manifest():
    for name, checkpoint in manifest.items():
        assert (registry[name].licence, registry[name].size_bytes) == (checkpoint.licence, checkpoint.bytes)
        assert registry[name].backends == ("torch", "openvino")
    assert registry["geosam_lite"].licence == "Apache-2.0"
    assert all(registry[name].backends == () for name in PLAIN)


def test_listing_the_models_imports_none_of_them():
    code = (
        "import sys, geosam.segmenters.registry as r; list(r.registry);"
        "print([m for m in ('higra', 'skimage', 'torch', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
