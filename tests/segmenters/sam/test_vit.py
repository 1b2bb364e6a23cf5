"""The image encoder of SAM against its authors' code with the same random weights."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision_shim  # noqa: F401 - makes the references importable
from random_weights import largest_error, randomise, rms_error, shapes
from segment_anything.modeling import ImageEncoderViT
from segment_anything_hq.modeling import ImageEncoderViT as ImageEncoderViTOfHQ
from torch import nn

from geosam.segmenters.sam.vit import VIT_B, VIT_H, VIT_L, ViT, ViTConfig

SMALL = ViTConfig(width=48, depth=4, heads=3, global_blocks=(1, 3), image_size=256, window=6, out_channels=16)
FULL = pytest.mark.parametrize("config", [VIT_B, VIT_L, VIT_H], ids=["vit_b", "vit_l", "vit_h"])


def reference(config, encoder=ImageEncoderViT):
    return encoder(
        img_size=config.image_size,
        patch_size=config.patch,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window,
        out_chans=config.out_channels,
        global_attn_indexes=config.global_blocks,
    )


def pair(config, encoder=ImageEncoderViT):
    """The reference and ours with the same weights."""
    theirs = randomise(reference(config, encoder))
    ours = ViT(config).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.requires_grad_(requires_grad=False)


def pictures(config, batch=1):
    return torch.randn(batch, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("gradients", [False, True], ids=["inference", "gradients"])
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, window=8),
        replace(SMALL, window=5),
        replace(SMALL, image_size=160, window=14),
        replace(SMALL, image_size=288, window=14, heads=2),
    ],
    ids=["overhang", "exact", "by one", "window larger than the map", "more rows than a chunk"],
)
def test_the_embedding_is_that_of_the_reference(config, gradients):
    theirs, ours = pair(config)
    x = pictures(config, batch=2)
    with torch.inference_mode(mode=not gradients), torch.set_grad_enabled(gradients):
        features = ours(x)
        assert largest_error(features.image, theirs(x)) < 1e-5
    assert features.early == features.high_res == ()


def test_the_early_features_of_hq_sam_are_those_of_the_first_global_block():
    config = replace(SMALL, keep_early=True)
    theirs, ours = pair(config, ImageEncoderViTOfHQ)
    with torch.inference_mode():
        image, (first, _) = theirs(pictures(config, batch=2))
        features = ours(pictures(config, batch=2))
    assert largest_error(features.image, image) < 1e-5
    assert len(features.early) == 1
    assert largest_error(features.early[0], first.permute(0, 3, 1, 2)) < 1e-5


def test_bytes_do_not_depend_on_the_batch():
    _, ours = pair(replace(SMALL, keep_early=True))
    x = pictures(SMALL, batch=3)
    with torch.inference_mode():
        together = ours(x)
        for index in range(3):
            alone = ours(x[index : index + 1])
            assert torch.equal(together.image[index], alone.image[0])
            assert torch.equal(together.early[0][index], alone.early[0][0])


@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.012), (torch.float16, 0.0015)], ids=str)
def test_lower_precision_is_close_and_closer_than_the_reference_in_it(dtype, limit):
    theirs, ours = pair(SMALL)
    x = pictures(SMALL)
    with torch.inference_mode():
        exact = theirs(x)
        error = rms_error(ours.to(dtype)(x.to(dtype)).image, exact)
        assert error < limit
        assert error < rms_error(theirs.to(dtype)(x.to(dtype)), exact)


@FULL
@pytest.mark.parametrize("encoder", [ImageEncoderViT, ImageEncoderViTOfHQ], ids=["sam", "hq"])
def test_names_and_shapes_are_official(config, encoder):
    with torch.device("meta"):
        assert shapes(ViT(config)) == shapes(reference(config, encoder))


def test_a_network_built_without_memory_works_once_it_has_weights():
    theirs, ours = pair(SMALL)
    with torch.device("meta"):
        bare = ViT(SMALL)
    bare.load_state_dict(theirs.state_dict(), assign=True)
    with torch.inference_mode():
        assert torch.equal(bare(pictures(SMALL)).image, ours(pictures(SMALL)).image)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_tracing_meets_no_operator_of_onednn():
    _, ours = pair(SMALL)
    x = pictures(SMALL)
    with torch.inference_mode():
        traced = torch.jit.trace(ours, x, check_trace=False, strict=False)
        assert "mkldnn" not in str(traced.inlined_graph)
        assert largest_error(traced(x)[0], ours(x).image) < 1e-5


@pytest.mark.slow
@FULL
def test_a_full_size_embedding_is_that_of_the_reference(config):
    theirs, ours = pair(config)
    with torch.inference_mode():
        assert largest_error(ours(pictures(config)).image, theirs(pictures(config))) < 1e-4


PEAK = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
from test_vit import ViT, ViTConfig, reference

def kilobytes(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))

config = ViTConfig(width=1280, depth=2, heads=16, global_blocks=(1,))
encoder = {"ours": ViT, "theirs": reference}[sys.argv[1]](config).eval()
x = torch.randn(1, 3, 1024, 1024)
before = kilobytes("VmRSS")
with torch.inference_mode():
    encoder(x)
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.slow
def test_a_third_of_the_memory_is_enough():
    """Blocks come one after the other: one of each kind needs as much as all 32 of ViT-H."""
    here = Path(__file__).parents[2]

    def peak(whose):
        command = [sys.executable, "-c", PEAK, whose, str(here)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak("ours") < peak("theirs") / 3
