import json
import struct
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_lite import SHAPE, small_file, small_lite

from geosam.errors import CheckpointMismatch, CheckpointNotFound, DeviceUnavailable, UnreadableCheckpoint
from geosam.segmenters import registry as registered
from geosam.segmenters.compute import Compute
from geosam.segmenters.lite import weights
from geosam.segmenters.lite.layers import fold_norms
from geosam.segmenters.lite.model import LiteModel
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam.loader import SamLoader


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a file of weights."""
    return small_file(tmp_path_factory.mktemp("weights") / "small.safetensors").read_bytes()


@pytest.fixture
def path(tmp_path, content):
    """Such a file."""
    path = tmp_path / "tuned.safetensors"
    path.write_bytes(content)
    return path


def rewritten(path, **facts):
    """The file with other words about itself, as somebody else might write it."""
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known = json.loads(file.metadata()["geosam"])
    save_file(state, path, {"geosam": json.dumps({**known, **facts})})
    return path


def test_weights_come_back_as_the_nearest_halves_and_everything_else_as_it_was(path):
    expected, found = small_lite().state_dict(), weights.load(path).state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        kept = value.half().float() if value.ndim > 1 else value
        assert torch.equal(found[name], kept), name
        assert found[name].dtype == value.dtype


def test_a_loaded_network_can_be_saved_again_without_any_change(path, tmp_path, content):
    weights.save(weights.load(path), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == content


def test_the_file_says_what_it_is(path):
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["geosam"])
    assert (facts["name"], facts["format"], facts["licence"]) == ("geosam_lite", 1, "Apache-2.0")
    assert facts["shape"] == json.loads(json.dumps(asdict(SHAPE)))
    assert weights.facts_of(path) == facts


def test_the_writers_own_metadata_stand_in_the_file_but_not_in_place_of_ours(tmp_path):
    path = tmp_path / "told.safetensors"
    weights.save(small_lite(), path, {"trained on": "fields"})
    assert weights.facts_of(path)["trained on"] == "fields"
    with pytest.raises(ValueError, match="found the reserved name 'name'"):
        weights.save(small_lite(), path, {"name": "mine"})


def test_the_default_network_takes_less_than_20_mb(tmp_path):
    weights.save(LiteModel(), tmp_path / "default.safetensors")
    assert (tmp_path / "default.safetensors").stat().st_size < 20e6


def test_a_network_whose_norms_are_folded_and_weights_no_half_can_hold_are_not_written(tmp_path):
    path = tmp_path / "old.safetensors"
    path.write_bytes(b"old")
    folded = small_lite()
    fold_norms(folded)
    with pytest.raises(ValueError, match="norms are folded"):
        weights.save(folded, path)
    large = small_lite()
    with torch.no_grad():
        large.decoder.masks.weight.fill_(1e5)
    with pytest.raises(ValueError, match=r"in decoder\.masks\.weight"):
        weights.save(large, path)
    assert [found.name for found in tmp_path.iterdir()] == ["old.safetensors"]
    assert path.read_bytes() == b"old"


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(OSError, match="taken"):
        weights.save(small_lite(), tmp_path / "taken.safetensors")
    assert [found.name for found in tmp_path.iterdir()] == ["taken.safetensors"]


@pytest.mark.fault("C20")
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(path, content, share):
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableCheckpoint, match=r"tuned\.safetensors: ") as refused:
        load_segmenter(str(path), "cpu")
    assert refused.value.exit_code == 5


@pytest.mark.fault("C09")
@pytest.mark.parametrize("place", [0.3, 0.7, 1.0])
def test_one_flipped_bit_in_a_tensor_is_noticed(path, content, place):
    (header,) = struct.unpack("<Q", content[:8])
    at = 8 + header + int(place * (len(content) - 9 - header))
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(UnreadableCheckpoint, match=r"is damaged: .* its tensors are not those that were written"):
        weights.load(path)


@pytest.mark.parametrize("shape", ["", [], 7, {"stem": "x"}, {"width": 3}, {"stages": [4]}, {"stem": -1}])
def test_metadata_that_describe_no_network_are_refused(path, shape):
    with pytest.raises(UnreadableCheckpoint, match="no shape of an encoder"):
        weights.load(rewritten(path, shape=shape))


@pytest.mark.fault("C12")
def test_tensors_that_do_not_fit_the_shape_are_refused_by_name(path):
    shape = {**asdict(SHAPE), "stem": 4}
    with pytest.raises(
        CheckpointMismatch, match=r"encoder\.stem\.conv\.weight: found \(8, 4, 3, 3\), expected \(4, 4, 3, 3\)"
    ):
        weights.load(rewritten(path, shape=shape))


def test_a_file_of_a_later_version_is_refused_with_the_remedy(path):
    with pytest.raises(CheckpointMismatch, match=r"found format 2, expected 1\. Update geosam"):
        weights.load(rewritten(path, format=2))


@pytest.mark.fault("C11")
def test_files_of_other_networks_are_called_by_their_names(path, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(3, 3)}, other)
    with pytest.raises(CheckpointMismatch, match=r"other\.safetensors: expected geosam_lite\."):
        weights.load(other)
    with pytest.raises(CheckpointMismatch, match=r"found an unknown network, expected sam_vit_b\. "):
        SamLoader(Compute(), "sam_vit_b", path)()
    with pytest.raises(CheckpointMismatch, match=r"found an unknown network, expected one of geosam_lite, sam_vit_b, "):
        load_segmenter(str(other), "cpu")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(CheckpointNotFound, match=r"nowhere\.safetensors"):
        weights.load(tmp_path / "nowhere.safetensors")


def test_loading_draws_no_random_numbers(path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    weights.load(path)
    assert torch.equal(torch.rand(3), expected)


def test_the_shipped_weights_lie_beside_the_manifest_and_are_asked_for_by_name(tmp_path, monkeypatch, content):
    monkeypatch.setattr(weights, "manifest_path", lambda: tmp_path / "manifest.toml")
    with pytest.raises(CheckpointNotFound, match=r"geosam_lite\.safetensors: they come with the package") as missing:
        load_segmenter("geosam_lite", "cpu")
    assert missing.value.exit_code == 5
    (tmp_path / "geosam_lite.safetensors").write_bytes(content)
    assert load_segmenter("geosam_lite", "cpu").spec.name == "geosam_lite"
    assert registered.registry["geosam_lite"].devices == ("cpu", "cuda")


def test_a_file_is_named_and_fingerprinted_by_what_it_holds(path, tmp_path, caplog):
    one = load_segmenter(str(path), "cpu", "fp32").spec
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(path.read_bytes())
    other = small_file(tmp_path / "other.safetensors", seed=1)
    assert one.name == "geosam_lite/tuned"
    assert one.input_size is None
    assert load_segmenter(str(copy), "cpu", "fp32").spec.fingerprint == one.fingerprint
    prints = {one.fingerprint}
    prints.add(load_segmenter(str(copy), "cpu", "bf16").spec.fingerprint)
    prints.add(load_segmenter(str(other), "cpu", "fp32").spec.fingerprint)
    assert len(prints) == 3
    assert caplog.text == "", "a file that says itself whether it is whole needs no attested hash"


def test_openvino_is_refused(path):
    pytest.importorskip("openvino")
    with pytest.raises(DeviceUnavailable, match="geosam_lite does not run on OpenVINO: `backend`: found 'openvino'"):
        load_segmenter(str(path), "cpu", "fp32", "openvino")


def test_weights_that_change_during_a_run_are_noticed(path):
    segmenter = load_segmenter(str(path), "cpu", "fp32")
    loader, arguments = segmenter.__reduce__()
    assert loader(*arguments).spec == segmenter.spec
    small_file(path, seed=1)
    with pytest.raises(CheckpointMismatch, match="has changed during the run"):
        loader(*arguments)
