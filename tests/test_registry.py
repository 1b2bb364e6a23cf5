import subprocess
import sys

import pytest

from geosam.errors import DeviceUnavailable, UnknownModel
from geosam.models.registry import load_segmenter, registry
from geosam.segmenter import Segmenter


@pytest.mark.parametrize("name", list(registry))
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_every_model_loads_under_its_own_name(name, device):
    segmenter = load_segmenter(name, device)
    assert isinstance(segmenter, Segmenter)
    assert segmenter.spec.name == name


def test_the_models_have_descriptions_and_fingerprints_of_their_own():
    assert {"threshold", "regions"} <= set(registry)
    assert len({load_segmenter(name).spec.fingerprint for name in registry}) == len(registry)
    assert len({info.description for info in registry.values()}) == len(registry)


def test_an_unknown_model_is_refused_with_the_names_there_are():
    with pytest.raises(UnknownModel, match=r"unknown model: 'sam9', one of regions, threshold wanted") as caught:
        load_segmenter("sam9")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["threshold", "regions"])
def test_a_device_the_model_cannot_use_is_refused_with_the_remedy(name):
    with pytest.raises(DeviceUnavailable, match=rf"{name} .*'cuda', cpu wanted\. Use --device cpu") as caught:
        load_segmenter(name, "cuda")
    assert caught.value.exit_code == 5


def test_listing_the_models_imports_none_of_them():
    code = (
        "import sys, geosam.models.registry as r; list(r.registry);"
        "print([m for m in ('higra', 'skimage', 'torch', 'scipy', 'geosam.testing') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
