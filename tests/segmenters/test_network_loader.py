"""From a file to a segmenter: which files are taken for what, and what tells two models apart."""

import logging
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import references
import torch
from safetensors.torch import save_file

from geosam.errors import CheckpointMismatch, CheckpointNotFound, DeviceUnavailable, UnknownModel, UnreadableCheckpoint
from geosam.segmenters import network_loader
from geosam.segmenters.compute import Compute
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam.loader import SamLoader
from geosam.segmenters.weights.folder import FOLDER_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")
SIDE = 1024


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of checkpoints."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def mobile():
    """A checkpoint of MobileSAM with random weights, in memory."""
    return references.mobile_sam().state_dict()


@pytest.fixture(scope="module")
def tiny():
    """Likewise of SAM 2.1 tiny."""
    return references.sam2_tiny().state_dict()


def written(path, state):
    """A file with (a copy of) the tensors."""
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def load(path):
    return load_segmenter(str(path), "cpu", "fp32", "torch")


def weights(segmenter):
    return segmenter._model.state_dict()


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.fault("C13")
def test_wrappers_prefixes_and_containers_make_no_difference(mobile, tmp_path):
    plain = load(written(tmp_path / "plain.pth", mobile))
    assert plain.spec.name == "mobile_sam/plain"
    assert plain.spec.input_size == SIDE
    forms = {
        "model.pt": {"model": mobile},
        "state.pth": {"state_dict": mobile, "epoch": 3},
        "parallel.pth": {f"module.{name}": value for name, value in mobile.items()},
        "both.pth": {"model": {f"module.{name}": value for name, value in mobile.items()}},
        "plain.safetensors": mobile,
    }
    for name, state in forms.items():
        other = load(written(tmp_path / name, state))
        assert same(weights(other), weights(plain)), name
        assert other.spec.name == f"mobile_sam/{name.partition('.')[0]}"


@pytest.mark.fault("C14")
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_checkpoint_in_half_precision_computes_in_the_precision_asked_for(mobile, tmp_path, half):
    rounded = {name: value.to(half) if value.is_floating_point() else value for name, value in mobile.items()}
    segmenter = load(written(tmp_path / "half.pth", rounded))
    found = weights(segmenter)
    assert {value.dtype for value in found.values() if value.is_floating_point()} == {torch.float32}
    token = "mask_decoder.iou_token.weight"  # noqa: S105 - no secret
    assert torch.equal(found[token], rounded[token].float())


@pytest.mark.fault("C15")
def test_weights_that_are_not_finite_are_refused(mobile, tmp_path):
    broken = mobile["mask_decoder.iou_token.weight"].clone()
    broken[0, 7] = np.nan
    path = written(tmp_path / "nan.pth", mobile | {"mask_decoder.iou_token.weight": broken})
    with pytest.raises(UnreadableCheckpoint, match=r'nan\.pth: tensor "mask_decoder\.iou_token\.weight": 1 of 256'):
        load(path)


@pytest.mark.fault("C11")
def test_a_file_of_another_network_is_called_by_its_name(mobile, tmp_path):
    path = written(tmp_path / "mine.pth", mobile)
    with pytest.raises(CheckpointMismatch, match=r"mine\.pth: found mobile_sam, expected sam_vit_l\. ") as refused:
        SamLoader(Compute(), "sam_vit_l", path)()
    assert refused.value.exit_code == 5
    path = written(tmp_path / "classifier.pth", {"fc.weight": torch.zeros(3, 3)})
    with pytest.raises(
        CheckpointMismatch, match=r"classifier\.pth: found an unknown network, expected one of geosam_lite, "
    ):
        load(path)


@pytest.mark.fault("C12")
def test_a_file_with_a_tensor_too_few_is_refused_by_name(mobile, tmp_path):
    state = {name: value for name, value in mobile.items() if name != "prompt_encoder.no_mask_embed.weight"}
    with pytest.raises(CheckpointMismatch, match=r"less\.pth: prompt_encoder\.no_mask_embed\.weight is missing\. "):
        load(written(tmp_path / "less.pth", state))


def test_a_missing_official_checkpoint_comes_with_the_command_that_gets_it(folder):
    with pytest.raises(CheckpointNotFound, match=r"Run `geosam models download sam2\.1_hiera_tiny`") as refused:
        load_segmenter("sam2.1_hiera_tiny", "cpu")
    assert str(folder) in str(refused.value)
    assert refused.value.exit_code == 5


@pytest.mark.fault("C08")
def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    with pytest.raises(UnreadableCheckpoint, match=r"nowhere\.pth: No such file"):
        load(tmp_path / "nowhere.pth")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(UnreadableCheckpoint, match=r"folder\.pt: expected a file"):
        load(tmp_path / "folder.pt")
    with pytest.raises(UnknownModel, match=r"notes\.txt"):
        load(tmp_path / "notes.txt")


def test_fingerprints_tell_weights_networks_and_arithmetic_apart(mobile, tmp_path):
    path = written(tmp_path / "one.pth", mobile)
    other = {name: value * 2 if value.is_floating_point() else value for name, value in mobile.items()}
    ways = [("cpu", "fp32", "torch"), ("cpu", "bf16", "torch")]
    found = [load_segmenter(str(path), *way).spec.fingerprint for way in ways]
    found.append(load(written(tmp_path / "two.pth", other)).spec.fingerprint)
    assert len(set(found)) == len(found)
    assert load(path.rename(tmp_path / "renamed.pth")).spec.fingerprint == found[0]
    ways = [Compute(), Compute("cuda"), Compute(precision="bf16"), Compute("cuda", "fp16"), Compute(backend="openvino")]
    assert len(set(map(str, ways))) == len(ways)


def test_a_new_revision_of_the_arithmetic_has_another_fingerprint(mobile, tmp_path, monkeypatch):
    path = written(tmp_path / "one.pth", mobile)
    before = load(path).spec.fingerprint
    monkeypatch.setattr(network_loader, "REVISION", network_loader.REVISION + 1)
    assert load(path).spec.fingerprint != before


def test_another_process_gets_the_same_network_and_little_is_sent(mobile, tmp_path):
    segmenter = load(written(tmp_path / "one.pth", mobile))
    sent = pickle.dumps(segmenter)
    assert len(sent) < 2000
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).spec)"
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(segmenter.spec)


def test_another_process_refuses_a_checkpoint_that_has_changed_meanwhile(mobile, tmp_path, caplog):
    path = written(tmp_path / "one.pth", mobile)
    sent = pickle.dumps(load(path))
    caplog.clear()
    pickle.loads(sent)  # noqa: S301 - made here
    assert caplog.records == []  # what was to be said has been said
    written(path, mobile | {"mask_decoder.iou_token.weight": mobile["mask_decoder.iou_token.weight"] + 1})
    with pytest.raises(CheckpointMismatch, match=r"has changed during the run: .*one\.pth"):
        pickle.loads(sent)  # noqa: S301 - made here


def test_what_was_made_in_memory_cannot_go_to_another_process(mobile, tmp_path):
    loaded = load(written(tmp_path / "one.pth", mobile))
    made = type(loaded)(loaded._model, loaded._compute, loaded.spec)
    with pytest.raises(TypeError, match="mobile_sam/one was made in memory"):
        pickle.dumps(made)


@pytest.mark.fault("C09")
def test_a_file_of_the_user_is_called_unverified(mobile, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "geosam"):
        load(written(tmp_path / "one.pth", mobile))
    assert [record.getMessage() for record in caplog.records] == [
        f"the checkpoint is not verified: {tmp_path / 'one.pth'}: no attested hash"
    ]


def test_half_precision_on_a_cpu_is_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(DeviceUnavailable, match="`precision`: found 'fp16'"):
        load_segmenter(str(tmp_path / "nowhere.pth"), "cpu", "fp16")


def test_sam_2_comes_out_of_the_authors_wrapper_with_its_memory(tiny, tmp_path):
    segmenter = load(written(tmp_path / "tiny.pt", {"model": tiny}))
    found = weights(segmenter)
    assert len(found) == len(tiny)
    assert torch.equal(found["memory.maskmem_tpos_enc"], tiny["maskmem_tpos_enc"])


@pytest.mark.parametrize("whole", [True, False], ids=["video", "image"])
def test_a_model_saved_by_transformers_is_the_same_network(whole, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    config = transformers.Sam2VideoConfig() if whole else transformers.Sam2Config()
    theirs = (transformers.Sam2VideoModel if whole else transformers.Sam2Model)(config).eval()
    state = theirs.state_dict()
    with torch.inference_mode():  # one matrix under two names, which a new model does not keep equal
        state["shared_image_embedding.positional_embedding"].copy_(
            state["prompt_encoder.shared_embedding.positional_embedding"]
        )
    segmenter = load(written(tmp_path / "model.safetensors", state))
    assert segmenter.spec.name == "sam2.1_hiera_tiny/model"
    found = weights(segmenter)
    assert torch.equal(found["memory.no_mem_embed"], state["no_memory_embedding"])
    assert ("memory.maskmem_tpos_enc" in found) is whole
    (embedding,) = segmenter.embed(np.full((1, 3, SIDE, SIDE), 90, np.uint8), np.ones((1, SIDE, SIDE), bool))
    assert np.isfinite(embedding.arrays["image"]).all()
