"""The two-way transformer against the authors' one, and the identities on which its order of work rests."""

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from random_weights import largest_error, randomise
from sam2.modeling.sam.transformer import TwoWayTransformer as OfficialTransformer
from torch import nn

from geosam.segmenters.sam.transformer import Attention, Projected, TwoWayTransformer

WIDTH, HEADS, INNER, MLP = 32, 4, 16, 48
HEIGHT, COLUMNS = 5, 6
PIXELS = HEIGHT * COLUMNS


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[1, 2, 3], ids="depth {}".format)
def pair(request):
    official = OfficialTransformer(request.param, WIDTH, HEADS, MLP, activation=nn.ReLU, attention_downsample_rate=2)
    official = randomise(official)
    ours = TwoWayTransformer(WIDTH, request.param, HEADS, INNER, MLP).eval()
    ours.load_state_dict(official.state_dict())
    return official, ours


def run(ours, tokens, image, positions, extra=None):
    whole = image if extra is None else image + extra
    projected = (ours.project(whole, positions), *ours.place(positions))
    with torch.inference_mode():
        return ours(tokens, image, projected, extra)


def official_run(official, tokens, image, positions):
    """The authors take an image (B, C, h, w) for each row of tokens."""
    maps = [
        part.transpose(1, 2).unflatten(2, (HEIGHT, COLUMNS)).expand(len(tokens), -1, -1, -1)
        for part in (image, positions[None])
    ]
    with torch.inference_mode():
        return official(*maps, tokens)


@pytest.mark.parametrize("count", [1, 3])
def test_tokens_and_image_are_those_of_the_authors(pair, count):
    official, ours = pair
    tokens, image, positions = noise(count, 7, WIDTH), noise(1, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    for found, expected in zip(
        run(ours, tokens, image, positions), official_run(official, tokens, image, positions), strict=True
    ):
        assert largest_error(found, expected) < 2e-5


def test_images_of_their_own_give_what_each_gives_alone(pair):
    _, ours = pair
    tokens, images, positions = noise(3, 5, WIDTH), noise(3, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    together = run(ours, tokens, images, positions)
    for row in range(3):
        alone = run(ours, tokens[row : row + 1], images[row : row + 1], positions)
        for found, expected in zip(together, alone, strict=True):
            assert largest_error(found[row : row + 1], expected) < 1e-5


def test_a_vector_for_all_pixels_may_be_added_late(pair):
    _, ours = pair
    tokens, image, positions = noise(2, 6, WIDTH), noise(1, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    extra = noise(WIDTH, seed=3)
    early, late = run(ours, tokens, image + extra, positions), run(ours, tokens, image, positions, extra)
    for found, expected in zip(late, early, strict=True):
        assert largest_error(found, expected) < 2e-5


@pytest.fixture
def attention():
    return randomise(Attention(WIDTH, HEADS, INNER))


@torch.inference_mode()
def test_moving_the_projection_to_the_tokens_changes_no_reading(attention):
    tokens, image, positions = noise(2, 5, WIDTH), noise(2, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    placed = image + positions
    projected_image = Projected(attention.keys(placed), values=attention.values(image))
    projected_positions = Projected(attention.keys(positions[None]))
    found = attention.read(tokens, image, projected_positions)
    assert largest_error(found, attention.read(tokens, image, projected_image)) < 1e-5
    assert largest_error(found, attention(tokens, placed, image)) < 1e-5


@torch.inference_mode()
def test_writing_is_attention_of_the_image_to_the_tokens(attention):
    tokens, image, positions = noise(2, 5, WIDTH), noise(2, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    kinds = noise(2, 5, WIDTH, seed=3)
    placed, extra = image + positions, noise(WIDTH, seed=4)
    expected = image + attention(placed, tokens + kinds, tokens)
    positions_only = Projected(attention.keys(positions[None]), attention.queries(positions[None]))
    whole = Projected(attention.keys(placed), attention.queries(placed), attention.values(image))
    for projected in (positions_only, whole):
        found = attention.write(tokens + kinds, tokens, image, projected)
        assert largest_error(found, expected) < 1e-5
        added = attention.write(tokens + kinds, tokens, image, projected, extra)
        assert largest_error(added, expected + extra) < 1e-5


@torch.inference_mode()
def test_neither_reading_nor_writing_changes_the_image(attention):
    tokens, image, positions = noise(1, 5, WIDTH), noise(1, PIXELS, WIDTH, seed=1), noise(PIXELS, WIDTH, seed=2)
    before = image.clone()
    projected = Projected(attention.keys(positions[None]), attention.queries(positions[None]))
    attention.read(tokens, image, projected)
    attention.write(tokens, tokens, image, projected)
    assert torch.equal(image, before)
