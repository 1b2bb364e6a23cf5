"""The image encoder of MobileSAM against the copy of its authors' code in segment_anything_hq."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torchvision_shim  # noqa: F401 - makes the references importable
from random_weights import largest_error, randomise, rms_error, shapes
from segment_anything_hq.modeling.tiny_vit_sam import TinyViT as Reference

from geosam.segmenters.sam.tiny_vit import TINY_VIT, TinyViT, TinyViTConfig

#: The reference shrinks its map before the last stage unless this is 320 wide, which MobileSAM relies on.
SMALL = TinyViTConfig(widths=(16, 32, 48, 320), depths=(1, 2, 2, 1), heads=(2, 3, 5), windows=(7, 14, 7))


def reference(config, image_size):
    return Reference(
        img_size=image_size,
        embed_dims=config.widths,
        depths=config.depths,
        num_heads=(1, *config.heads),
        window_sizes=(7, *config.windows),
        drop_path_rate=0.0,
    )


def pair(config, image_size):
    """The reference and ours with the same weights."""
    theirs = randomise(reference(config, image_size))
    theirs.train().eval()  # it keeps a copy of its biases, made when it enters evaluation
    ours = TinyViT(config).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.requires_grad_(requires_grad=False)


def embed(theirs, x):
    """What the reference's forward does, which knows pictures of 1024 pixels only: embedding and early features."""
    x = theirs.layers[0](theirs.patch_embed(x))
    early = x = theirs.layers[1](x)
    for stage in theirs.layers[2:]:
        x = stage(x)

    def as_map(tokens):
        side = round(tokens.shape[1] ** 0.5)
        return tokens.unflatten(1, (side, side)).permute(0, 3, 1, 2)

    return theirs.neck(as_map(x)), as_map(early)


def pictures(image_size, batch=1):
    return torch.randn(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("gradients", [False, True], ids=["inference", "gradients"])
@pytest.mark.parametrize("image_size", [256, 224, 208], ids=["overhang", "one window", "window larger than the map"])
def test_the_embedding_is_that_of_the_reference(image_size, gradients):
    theirs, ours = pair(SMALL, image_size)
    x = pictures(image_size, batch=2)
    with torch.inference_mode(mode=not gradients), torch.set_grad_enabled(gradients):
        features = ours(x)
        assert largest_error(features.image, embed(theirs, x)[0]) < 1e-5
    assert features.early == features.high_res == ()


def test_the_early_features_of_hq_sam_are_those_of_the_first_stage_of_attention():
    theirs, ours = pair(replace(SMALL, keep_early=True), 256)
    with torch.inference_mode():
        image, early = embed(theirs, pictures(256, batch=2))
        features = ours(pictures(256, batch=2))
    assert largest_error(features.image, image) < 1e-5
    assert len(features.early) == 1
    assert largest_error(features.early[0], early) < 1e-5


def test_bytes_do_not_depend_on_the_batch():
    _, ours = pair(replace(SMALL, keep_early=True), 256)
    x = pictures(256, batch=3)
    with torch.inference_mode():
        together = ours(x)
        for index in range(3):
            alone = ours(x[index : index + 1])
            assert torch.equal(together.image[index], alone.image[0])
            assert torch.equal(together.early[0][index], alone.early[0][0])


@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.015), (torch.float16, 0.002)], ids=str)
def test_lower_precision_is_close(dtype, limit):
    theirs, ours = pair(SMALL, 256)
    x = pictures(256)
    with torch.inference_mode():
        assert rms_error(ours.to(dtype)(x.to(dtype)).image, embed(theirs, x)[0]) < limit


def test_names_and_shapes_are_official():
    with torch.device("meta"):
        ours = TinyViT(TINY_VIT)
    assert shapes(ours) == shapes(reference(TINY_VIT, 1024))


def test_nothing_derived_is_kept_when_weights_change():
    _, ours = pair(SMALL, 256)
    theirs, other = pair(SMALL, 256)
    randomise(theirs, seed=5).train().eval()
    other.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        ours(pictures(256))
        ours.load_state_dict(theirs.state_dict())
        assert torch.equal(ours(pictures(256)).image, other(pictures(256)).image)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_tracing_meets_no_operator_of_onednn():
    _, ours = pair(SMALL, 256)
    x = pictures(256)
    with torch.inference_mode():
        traced = torch.jit.trace(ours, x, check_trace=False, strict=False)
        assert "mkldnn" not in str(traced.inlined_graph)
        assert largest_error(traced(x)[0], ours(x).image) < 1e-5


@pytest.mark.slow
def test_a_full_size_embedding_is_that_of_the_reference():
    theirs, ours = pair(replace(TINY_VIT, keep_early=True), 1024)
    with torch.inference_mode():
        image, (early,) = theirs(pictures(1024))
        features = ours(pictures(1024))
    assert largest_error(features.image, image) < 1e-4
    assert largest_error(features.early[0], early.permute(0, 3, 1, 2)) < 1e-4
