import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from geosam.errors import UnknownModel
from geosam.segmenters.weights.manifest import manifest, manifest_path, official

SAM = [f"sam_vit_{size}" for size in "blh"]
SAM2 = [f"{family}_hiera_{size}" for family in ("sam2", "sam2.1") for size in ("tiny", "small", "base_plus", "large")]
HQ = [f"sam_hq_vit_{size}" for size in ("b", "l", "h", "tiny")]


def test_every_model_of_the_sam_family_has_an_entry():
    assert sorted(manifest) == sorted([*SAM, "mobile_sam", *SAM2, *HQ])


@pytest.mark.parametrize("name", list(manifest))
def test_every_entry_is_complete_and_well_formed(name):
    entry = manifest[name]
    assert entry.name == name
    assert entry.family in ("sam", "mobile_sam", "sam2", "sam2.1", "sam_hq")
    assert entry.url.startswith("https://")
    assert re.fullmatch(r"[a-z0-9_.]+\.(pth|pt)", entry.file)
    assert entry.licence == "Apache-2.0"
    assert (entry.sha256 is None) == (entry.attested is None)
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.bytes is None or entry.bytes > 1e7


def test_files_and_hashes_are_all_different():
    hashes = [entry.sha256 for entry in manifest.values() if entry.sha256]
    assert len({entry.file for entry in manifest.values()}) == len(manifest)
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("name", "parameters"), [("sam_vit_b", 93.7e6), ("sam_vit_l", 312.3e6), ("sam_vit_h", 641.1e6)]
)
def test_sizes_fit_the_number_of_float32_parameters(name, parameters):
    assert manifest[name].bytes == pytest.approx(4 * parameters, rel=1e-3)


def test_an_entry_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        manifest["sam_vit_b"].sha256 = "0"


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(UnknownModel, match=r"found 'sam9', expected one of sam_vit_b, .*\. Run"):
        official("sam9")


def test_the_installed_manifest_comes_before_that_of_a_checkout(tmp_path, monkeypatch):
    from geosam.segmenters.weights import manifest as module

    monkeypatch.setattr(module, "__file__", str(tmp_path / "geosam" / "segmenters" / "weights" / "manifest.py"))
    beside = tmp_path / "checkpoints" / "manifest.toml"
    assert manifest_path() == beside
    inside = tmp_path / "geosam" / "checkpoints" / "manifest.toml"
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert manifest_path() == inside


def test_the_manifest_is_read_when_it_is_looked_into_and_without_torch():
    code = (
        "import sys; from geosam.segmenters.weights.manifest import manifest;"
        "before = '_entries' in vars(manifest); len(manifest);"
        "import geosam.segmenters.weights.folder, geosam.segmenters.weights.download;"
        "print(before, '_entries' in vars(manifest), 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False",
        "True",
        "False",
    ]
