"""Several threads may use one segmenter at the same time, and get what they get one after the other."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import references
import torch
from known_answers import flat_scene
from small_lite import small_file

from geosam.errors import OutOfMemory
from geosam.segmenters.compute import computing
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.segmenter import Embedding, Proposes
from geosam.segmenters.torch_arrays import DecoderCache, TileBatches

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")
THREADS = 4


@pytest.fixture(params=["threshold", "regions", "lite", "sam"])
def segmenter(request, tmp_path):
    """Each of geosam's segmenters; networks with random weights."""
    if request.param == "lite":
        return load_segmenter(str(small_file(tmp_path / "small.safetensors")), "cpu", "fp32")
    if request.param == "sam":
        path = tmp_path / "mobile.pth"
        torch.save(references.mobile_sam().state_dict(), path)
        return load_segmenter(str(path), "cpu", "fp32")
    return load_segmenter(request.param)


def one_point(x, y):
    return PixelPrompts((np.array([[x, y]], float),), (np.ones(1, np.int8),), np.full((1, 4), np.nan), (None,))


def answer(segmenter, seed):
    """Bytes of everything that a segmenter says about a picture."""
    side = segmenter.spec.input_size or 96
    rgb = flat_scene(np.random.default_rng(seed), side, side, 12)
    (embedding,) = segmenter.embed(rgb[None], np.ones((1, side, side), bool))
    arrays = b"".join(embedding.arrays[name].tobytes() for name in sorted(embedding.arrays))
    prompts = [one_point(side / 2, side / 2), one_point(side / 4, side / 3)]
    masks = [segmenter.decode(embedding, prompt, multimask=True, keep=None).to_bytes() for prompt in prompts]
    if isinstance(segmenter, Proposes):
        masks.append(segmenter.propose(embedding, segmenter.spec.keep).to_bytes())
    return arrays, *masks


def at_once(function, *columns):
    """Call a function in several threads that begin together."""
    start = threading.Barrier(THREADS)

    def call(*args):
        start.wait(60)
        return function(*args)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, *columns))


def test_threads_that_share_a_segmenter_get_the_bytes_that_they_get_alone(segmenter):
    torch.set_num_threads(1)
    expected = [answer(segmenter, seed) for seed in range(THREADS)]
    assert len(set(expected)) == THREADS
    assert at_once(answer, [segmenter] * THREADS, range(THREADS)) == expected


def test_threads_that_share_an_embedding_get_the_masks_of_it(segmenter):
    torch.set_num_threads(1)
    side = segmenter.spec.input_size or 96
    rgb = flat_scene(np.random.default_rng(9), side, side, 12)
    (embedding,) = segmenter.embed(rgb[None], np.ones((1, side, side), bool))
    points = [one_point(side * share, side * share) for share in np.linspace(0.2, 0.8, THREADS)]

    def decode(prompts):
        return segmenter.decode(embedding, prompts, multimask=True, keep=None).to_bytes()

    assert at_once(decode, points) == [decode(prompts) for prompts in points]


def test_exact_arithmetic_lasts_until_the_last_thread_is_done():
    before = torch.backends.cudnn.allow_tf32
    first_is_done, seen = threading.Event(), []

    def long():
        with computing("model", "cpu"):
            inside.wait(60)
            first_is_done.wait(60)
            seen.append(torch.backends.cudnn.allow_tf32)

    inside = threading.Barrier(2)
    thread = threading.Thread(target=long)
    with computing("model", "cpu"):
        thread.start()
        inside.wait(60)
    first_is_done.set()
    thread.join(60)
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 is before


def test_threads_that_run_out_of_memory_together_still_embed_every_tile():
    """Two threads that both halve a batch of two must not make one of none."""
    both_failed = threading.Barrier(2)
    failed = threading.local()
    batches = TileBatches(2)

    def encode(rgb, valid, size):
        assert size > 0
        if size == 2 and not getattr(failed, "once", False):
            failed.once = True
            both_failed.wait(60)
            raise OutOfMemory("full")
        return [
            Embedding({"value": picture[:1, :1, :1]}, mask.shape, "x") for picture, mask in zip(rgb, valid, strict=True)
        ]

    rgb = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    valid = np.ones((5, 4, 4), bool)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: batches.embed(encode, rgb, valid), range(2)))
    for embeddings in results:
        assert [int(embedding.arrays["value"][0, 0, 0]) for embedding in embeddings] == [0, 1, 2, 3, 4]


def test_threads_that_share_a_cache_never_get_the_state_of_another_embedding():
    cache = DecoderCache("x")
    embeddings = [Embedding({}, (number, number), "x") for number in range(5)]

    def look_up(seed):
        order = np.random.default_rng(seed).integers(0, len(embeddings), 300)
        return all(cache.of(embeddings[i], lambda one: one.input_hw[0]) == i for i in order)

    assert at_once(look_up, range(THREADS)) == [True] * THREADS
