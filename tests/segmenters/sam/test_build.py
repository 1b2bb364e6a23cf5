"""Every network against the authors' classes: names and shapes of its tensors, and what becomes of a checkpoint."""

import functools

import numpy as np
import pytest
import references
import segment_anything
import segment_anything_hq
import torch
from random_weights import randomise, shapes
from sam2.build_sam import build_sam2

from geosam.errors import CheckpointMismatch
from geosam.segmenters.compute import Compute
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import registry
from geosam.segmenters.sam.build import VARIANTS, build, canonical, load
from geosam.segmenters.sam.memory import Memory, StillImage
from geosam.segmenters.sam.model import normalised
from geosam.segmenters.sam.segmenter import SamSegmenter
from geosam.segmenters.segmenter import ModelSpec
from geosam.segmenters.weights.manifest import manifest

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")
SIDE = 1024
HIERA_FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def authors_network(name):
    """The network of that name in its authors' classes."""
    family, _, size = name.partition("_hiera_")
    if size:
        return build_sam2(f"configs/{family}/{family}_hiera_{HIERA_FILES[size]}.yaml", None, device=None)
    if name == "mobile_sam":
        return references.mobile_sam()
    if name.startswith("sam_hq"):
        return segment_anything_hq.sam_model_registry[name.removeprefix("sam_hq_")]()
    return segment_anything.sam_model_registry[name.removeprefix("sam_")]()


@functools.cache
def official(name):
    """The authors' tensors by name, without their values."""
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        # depths of stochastic depth are read as numbers, which a device without numbers cannot give
        patch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
        patch.setattr(references, "randomise", lambda model, _: model)
        patch.setattr(references, "contrasting", lambda model: model)
        return authors_network(name).state_dict()


def weightless(network):
    """An official checkpoint that takes no memory."""
    return {name: torch.zeros((), dtype=like.dtype).expand(like.shape) for name, like in official(network).items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_tensors_have_the_names_and_shapes_of_the_authors(name):
    expected = {canonical(theirs): tuple(tensor.shape) for theirs, tensor in official(name).items()}
    assert len(expected) == len(official(name))
    with torch.device("meta"):
        assert shapes(build(VARIANTS[name])) == expected


@pytest.mark.parametrize("name", VARIANTS)
def test_a_loaded_network_is_made_of_the_checkpoint_s_tensors_alone(name):
    state = weightless(name)
    model = load(VARIANTS[name], state, "memory")
    assert not model.training
    found = model.state_dict()
    for theirs, tensor in state.items():
        assert found[canonical(theirs)].data_ptr() == tensor.data_ptr()
    for module in model.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False), *vars(module).values()]
        assert not [tensor for tensor in own if isinstance(tensor, torch.Tensor) and tensor.is_meta]


def test_every_official_checkpoint_has_a_network_and_a_name_for_the_command_line():
    assert set(VARIANTS) == set(manifest)
    assert set(VARIANTS) < set(registry)


@pytest.mark.fault("C12")
@pytest.mark.parametrize("name", ["sam_vit_b", "sam2.1_hiera_tiny", "sam_hq_vit_tiny"])
def test_a_missing_tensor_is_named_and_the_others_counted(name):
    state = weightless(name)
    first = next(name for name in state if "mask_decoder" in name)
    del state[first]
    with pytest.raises(CheckpointMismatch, match=rf"file\.pth: {canonical(first)} is missing\. Use the official file"):
        load(VARIANTS[name], state, "file.pth")
    del state[next(name for name in state if "prompt_encoder" in name)]
    with pytest.raises(CheckpointMismatch, match=r" is missing and 1 more\. ") as refused:
        load(VARIANTS[name], state, "file.pth")
    assert refused.value.exit_code == 5


@pytest.mark.fault("C12")
@pytest.mark.parametrize("extra", ["image_encoder.extra.weight", "extra"])
def test_a_tensor_too_many_is_named(extra):
    state = weightless("mobile_sam") | {extra: torch.zeros(2, 3)}
    with pytest.raises(CheckpointMismatch, match=rf"file\.pt: \S*{extra} \(2, 3\) is unknown\. ") as refused:
        load(VARIANTS["mobile_sam"], state, "file.pt")
    assert "more" not in str(refused.value)


@pytest.mark.fault("C12")
def test_a_tensor_of_another_shape_is_named_with_both():
    state = weightless("sam_vit_b") | {"mask_decoder.iou_token.weight": torch.zeros(1, 7)}
    with pytest.raises(CheckpointMismatch, match=r"iou_token\.weight: found \(1, 7\), expected \(1, 256\)\. "):
        load(VARIANTS["sam_vit_b"], state, "file.pth")


def test_a_tensor_of_whole_numbers_is_not_taken_for_another():
    state = weightless("mobile_sam") | {"mask_decoder.iou_token.weight": torch.zeros(1, 256, dtype=torch.int64)}
    with pytest.raises(CheckpointMismatch, match=r"iou_token\.weight: found whole numbers, expected floating point\. "):
        load(VARIANTS["mobile_sam"], state, "file.pth")


@pytest.mark.fault("C11")
def test_the_tensors_of_one_network_do_not_make_another():
    state = weightless("sam_vit_b")
    with pytest.raises(CheckpointMismatch, match=r": found \(\S.*\), expected \(\S.*\) and \d+ more\. ") as refused:
        load(VARIANTS["sam_vit_l"], state, "file.pth")
    assert len(str(refused.value)) < 300


def test_the_image_half_of_sam_2_computes_what_the_whole_does():
    whole = references.sam2_tiny().state_dict()
    half = {name: value for name, value in whole.items() if name.startswith(("image_", "sam_", "no_mem_embed"))}
    one, two = (load(VARIANTS["sam2.1_hiera_tiny"], state, "memory") for state in (whole, half))
    assert isinstance(one.memory, Memory)
    assert type(two.memory) is StillImage
    coarse = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(one.memory.without_memory(coarse), two.memory.without_memory(coarse))
    assert not torch.equal(two.memory.without_memory(coarse), coarse)


def test_invalid_pixels_are_shown_as_the_mean_colour():
    rgb = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    shown = normalised(rgb, torch.tensor([[[True, False], [False, True]]]), torch.float32)
    expected = segment_anything.modeling.Sam.preprocess  # (x - mean) / std, then padded with 0
    sam = references.mobile_sam()
    assert torch.allclose(shown[..., 0, 0], expected(sam, rgb.float())[..., 0, 0])
    assert (shown[..., 0, 1] == 0).all()


@pytest.fixture(scope="module")
def hq():
    """(the authors' predictor of HQ-SAM over TinyViT with a picture set, our segmenter, its embedding)."""
    network = references.contrasting(randomise(segment_anything_hq.sam_model_registry["vit_tiny"](), 5))
    for value in network.mask_decoder.hf_mlp.layers[-1].parameters():
        value.mul_(30)
    rng = np.random.default_rng(3)
    picture = np.kron(rng.integers(0, 256, (3, 6, 8)), np.ones((1, 128, 128))).astype(np.uint8)
    predictor = segment_anything_hq.SamPredictor(network)
    with torch.inference_mode():
        predictor.set_image(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    model = load(VARIANTS["sam_hq_vit_tiny"], network.state_dict(), "memory")
    segmenter = SamSegmenter(model, Compute(), ModelSpec("hq", "hq-1", SIDE))
    valid = np.zeros((1, SIDE, SIDE), bool)
    valid[:, : picture.shape[1]] = True
    padded = np.pad(picture, ((0, 0), (0, SIDE - picture.shape[1]), (0, 0)))
    return predictor, segmenter, segmenter.embed(padded[None], valid)[0]


def asked(points, box):
    missing = np.full((1, 4), np.nan)
    return PixelPrompts(
        (np.array(points, np.float64).reshape(-1, 2) + 0.5,),
        (np.ones(len(points), np.int8),),
        missing if box is None else np.array([box]) + 0.5,
        (None,),
    )


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize(("points", "box"), [([(400, 300)], None), ([], (100, 150, 420, 600))], ids=["point", "box"])
def test_hq_sam_masks_are_those_of_the_authors(hq, points, box, multimask):
    predictor, segmenter, embedding = hq
    with torch.inference_mode():
        shown, iou, low = predictor.predict(
            np.array(points) if points else None,
            np.ones(len(points), int) if points else None,
            box=None if box is None else np.array(box),
            multimask_output=multimask,
            return_logits=True,
            hq_token_only=False,
        )
    found = segmenter.decode(embedding, asked(points, box), multimask=multimask, keep=None)
    assert len(found) == (3 if multimask else 1)
    best = int(np.argmax(found.predicted_iou))  # the only one that the authors show
    error = np.abs(found.logits[best] - low[0]).max()
    assert error <= 1e-4 * np.abs(low).max()
    assert found.predicted_iou[best] == pytest.approx(iou[0], abs=1e-4)
    height, width = shown[0].shape
    differs = found.full(best)[:height, :width] != (shown[0] > 0)
    assert not (differs & (np.abs(shown[0]) > 10 * error)).any()
    assert 0 < np.count_nonzero(shown[0] > 0) < shown[0].size
