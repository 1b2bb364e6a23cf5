"""The memory of SAM 2 against the authors' modules with the same random weights, and every tensor's name and shape."""

import warnings
from unittest.mock import patch

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch

from geosam.segmenters.sam.hiera import HIERA_BASE_PLUS, HIERA_LARGE, HIERA_SMALL, HIERA_TINY, HieraEncoder
from geosam.segmenters.sam.memory import SAM2_0, SAM2_1, Memory
from geosam.segmenters.sam.neck import sine_positions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sam2.build_sam import build_sam2

MEMORIES = {"sam2/sam2": SAM2_0, "sam2.1/sam2.1": SAM2_1}
TRUNKS = {"t": HIERA_TINY, "s": HIERA_SMALL, "b+": HIERA_BASE_PLUS, "l": HIERA_LARGE}
#: Tokens along a side; at 1024 pixels 64.
GRID = 8
TOLERANCE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module", params=MEMORIES.values(), ids=MEMORIES)
def models(request):
    """The authors' whole model, tiny, and our memory with the same weights."""
    torch.manual_seed(0)
    family = next(name for name, config in MEMORIES.items() if config is request.param)
    official = build_sam2(f"configs/{family}_hiera_t.yaml", device="cpu")
    parts = [official.memory_attention, official.memory_encoder]
    for parameter in (parameter for part in parts for parameter in part.parameters()):
        parameter.data += torch.randn_like(parameter) * 0.1
    own = Memory(request.param).eval()
    own.load_state_dict({name: tensor for name, tensor in official.state_dict().items() if name in own.state_dict()})
    return official, own


def in_rows(maps):
    """(B, C, H, W) -> (H W, B, C), the order of the authors' tokens."""
    return maps.flatten(2).permute(2, 0, 1)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("family", MEMORIES)
def test_every_tensor_of_the_authors_has_its_place(family, trunk):
    linspace = torch.linspace
    with torch.device("meta"), patch("torch.linspace", lambda *args: linspace(*args, device="cpu")):
        official = build_sam2(f"configs/{family}_hiera_{trunk}.yaml", device="meta").state_dict()
        own = {f"image_encoder.{name}": tensor for name, tensor in HieraEncoder(TRUNKS[trunk]).state_dict().items()}
        own |= Memory(MEMORIES[family]).state_dict()
    shapes = {name: tensor.shape for name, tensor in official.items() if not name.startswith("sam_")}
    assert {name: tensor.shape for name, tensor in own.items()} == shapes
    assert {name.split(".")[0] for name in official} - {name.split(".")[0] for name in own} == {
        "sam_prompt_encoder",
        "sam_mask_decoder",
    }


@pytest.mark.parametrize("pointers", [0, 4])
@pytest.mark.parametrize("frames", [1, 3])
def test_memory_attention_equals_the_authors(models, frames, pointers):
    official, own = models
    image = torch.randn(2, 256, GRID, GRID)
    memory = torch.randn(2, frames * GRID * GRID + pointers, 64)
    positions = torch.randn(2, frames * GRID * GRID + pointers, 64)
    with torch.inference_mode():
        expected = official.memory_attention(
            in_rows(image),
            memory.transpose(0, 1),
            in_rows(sine_positions(256, GRID, GRID).expand(2, -1, -1, -1)),
            positions.transpose(0, 1),
            num_obj_ptr_tokens=pointers,
        )
        got = own.memory_attention(image, memory, positions, pointers)
    torch.testing.assert_close(in_rows(got), expected, **TOLERANCE)


def test_memory_encoder_equals_the_authors(models):
    official, own = models
    image, masks = torch.randn(2, 256, GRID, GRID), torch.randn(2, 1, 16 * GRID, 16 * GRID) * 10
    with torch.inference_mode():
        expected = official.memory_encoder(image, masks, skip_mask_sigmoid=True)
        got = own.memory_encoder(image, masks)
    torch.testing.assert_close(got, expected["vision_features"], **TOLERANCE)
    torch.testing.assert_close(
        sine_positions(64, GRID, GRID).expand(2, -1, -1, -1), expected["vision_pos_enc"][0], **TOLERANCE
    )


@pytest.mark.parametrize("binary", [False, True])
def test_what_is_remembered_equals_the_authors(models, binary):
    official, own = models
    image, logits = torch.randn(2, 256, GRID, GRID), torch.randn(2, 1, 16 * GRID, 16 * GRID) * 5
    scores = torch.tensor([[3.0], [-2.0]])
    with torch.inference_mode(), patch.object(official, "binarize_mask_from_pts_for_mem_enc", new=True):
        expected, _ = official._encode_new_memory(
            [in_rows(image)], [(GRID, GRID)], logits, scores, is_mask_from_pts=binary
        )
        got = own.remember(image, logits, scores > 0, binary=binary)
    torch.testing.assert_close(got, expected, **TOLERANCE)


def test_an_image_without_memory_equals_the_authors(models):
    official, own = models
    image = torch.randn(2, 256, GRID, GRID)
    with torch.inference_mode():
        expected = conditioned(official, image, first=True)
    torch.testing.assert_close(own.without_memory(image), expected, rtol=0, atol=0)


def conditioned(official, image, *, first, frame=0, outputs=None):
    return official._prepare_memory_conditioned_features(
        frame_idx=frame,
        is_init_cond_frame=first,
        current_vision_feats=[in_rows(image)],
        current_vision_pos_embeds=[in_rows(sine_positions(256, GRID, GRID).expand(len(image), -1, -1, -1))],
        feat_sizes=[(GRID, GRID)],
        output_dict=outputs,
        num_frames=30,
    )


def test_an_image_with_memory_equals_the_authors(models):
    official, own = models
    image = torch.randn(2, 256, GRID, GRID)
    maps = {frame: torch.randn(2, 64, GRID, GRID) for frame in (0, 18, 19)}
    pointers = {frame: torch.randn(2, 256) for frame in maps}
    encoding = [sine_positions(64, GRID, GRID).expand(2, -1, -1, -1)]
    frames = {
        frame: {"maskmem_features": maps[frame], "maskmem_pos_enc": encoding, "obj_ptr": pointers[frame]}
        for frame in maps
    }
    outputs = {"cond_frame_outputs": {0: frames.pop(0)}, "non_cond_frame_outputs": frames}
    with torch.inference_mode():
        expected = conditioned(official, image, first=False, frame=20, outputs=outputs)
        got = own.with_memory(
            image,
            [(6, maps[0]), (1, maps[18]), (0, maps[19])],
            torch.stack([pointers[frame] for frame in (0, 19, 18)]),
            torch.tensor([20.0, 1.0, 2.0]) / 15,
        )
    torch.testing.assert_close(got, expected, **TOLERANCE)


def test_memory_without_pointers_is_read(models):
    _, own = models
    image, remembered = torch.randn(1, 256, GRID, GRID), torch.randn(1, 64, GRID, GRID)
    with torch.inference_mode():
        got = own.with_memory(image, [(6, remembered)], torch.zeros(0, 1, 256), torch.zeros(0))
        positions = (sine_positions(64, GRID, GRID) + own.maskmem_tpos_enc[6, :, 0, :, None, None]).flatten(2)
        expected = own.memory_attention(image, remembered.flatten(2).mT, positions.mT)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


class TokensOnly(torch.nn.Module):
    """Stands in for the authors' mask decoder: the same tokens and object scores whatever it is asked."""

    def __init__(self, tokens, scores):
        super().__init__()
        self.tokens, self.scores = tokens, scores

    def forward(self, **_):
        masks = torch.zeros(len(self.tokens), 1, 4, 4)
        return masks, torch.zeros(len(self.tokens), 1), self.tokens[:, None], self.scores


def test_pointers_equal_the_authors(models):
    official, own = models
    tokens, scores = torch.randn(2, 256), torch.tensor([[3.0], [-2.0]])
    with torch.inference_mode(), patch.dict(official._modules, sam_mask_decoder=TokensOnly(tokens, scores)):
        expected = official._forward_sam_heads(torch.zeros(2, 256, 64, 64))[5]
        got = own.pointer(tokens, scores > 0)
    torch.testing.assert_close(got, expected, **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_runs_through(dtype):
    torch.manual_seed(0)
    own = Memory(SAM2_1).eval()
    image, logits = torch.randn(2, 256, GRID, GRID), torch.randn(2, 1, 16 * GRID, 16 * GRID)
    present, reach = torch.tensor([[True], [False]]), torch.tensor([0.2])

    def follow(dtype):
        remembered = own.to(dtype).remember(image.to(dtype), logits.to(dtype), present)
        pointer = own.pointer(torch.ones(2, 256, dtype=dtype), present)
        return own.with_memory(image.to(dtype), [(0, remembered)], pointer[None], reach)

    with torch.inference_mode():
        expected, got = follow(torch.float32), follow(dtype)
    assert got.dtype == dtype
    assert (got.float() - expected).norm() < 0.02 * expected.norm()
