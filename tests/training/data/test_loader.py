import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_crops import BLOBS

from geosam.training.data.loader import Batches, CropOptions, load_batches

CROPS = CropOptions(sizes=(96, 128), first_sizes=(64,), first_steps=2, batch_px=4 * 64 * 64)
NOWHERE = replace(BLOBS, instances=np.zeros_like(BLOBS.instances), points=np.zeros((0, 2), np.float32))


@pytest.fixture
def batches():
    return Batches({"blobs": (1.0, [BLOBS])}, CROPS, seed=3, parts=2)


@pytest.fixture
def _own_handler():
    """PyTorch leaves its handler of ended children behind, which hears of those of later tests, too."""
    former = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, former)


def assert_equal(one, other):
    for name, column in vars(one).items():
        torch.testing.assert_close(column, getattr(other, name), rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("socket_enabled", "_own_handler")  # processes send each other tensors over Unix sockets
def test_a_step_gets_the_same_batches_wherever_the_run_began(batches, workers):
    whole = list(load_batches(batches, range(6), 1))
    rest = list(load_batches(batches, range(3, 6), workers))
    assert len(whole) == 6
    for expected, found in zip(whole[3:], rest, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert_equal(one, other)


def test_parts_steps_and_seeds_get_different_batches(batches):
    (first, second), (third, _) = batches[4], batches[5]
    (other, _) = Batches({"blobs": (1.0, [BLOBS])}, CROPS, seed=4, parts=2)[4]
    shown = [one.rgb.numpy().tobytes() for one in (first, second, third, other)]
    assert len(set(shown)) == 4


def test_crops_are_small_at_first_and_a_batch_has_about_as_many_pixels(batches):
    found = [batch.rgb.shape for step in range(40) for batch in batches[step]]
    assert set(found[:4]) == {(4, 3, 64, 64)}
    assert set(found[4:]) == {(1, 3, 96, 96), (1, 3, 128, 128)}


def test_a_batch_without_any_object_is_cut_anew():
    mixed = Batches({"nothing": (0.9, [NOWHERE]), "blobs": (0.1, [BLOBS])}, CROPS, seed=0)
    for step in range(2, 12):  # of one crop each
        (batch,) = mixed[step]
        assert len(batch.picture) == 3
