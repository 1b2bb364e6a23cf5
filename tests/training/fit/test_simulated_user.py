"""The simulated user: first prompts, corrections and their shares, with a network that answers from a script."""

import numpy as np
import pytest
import torch
from small_lite import small_lite
from small_samples import sample

from geosam.segmenters.lite.decoder import RegionMasks
from geosam.training.data.batch import STRIDE, make_batch
from geosam.training.fit import simulated_user as module
from geosam.training.fit.simulated_user import (
    add_corrections,
    corrected_prompts,
    first_prompts,
    simulate_user,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch_of(crops=4, seed=0):
    samples = [sample(rectangles=[(8, 8, 40, 40), (44, 8, 60, 60)]) for _ in range(crops)]
    return make_batch(samples, rng(seed))


def answers_with(logits, best=0):
    """A network whose mask `best` has the highest expected IoU."""
    iou = torch.full((len(logits), 3), 0.1)
    iou[:, best] = 0.9
    return RegionMasks(logits, iou)


class Scripted:
    """A network that answers nothing anywhere, and remembers the prompts."""

    def __init__(self, batch):
        self.batch = batch
        self.prompts = []

    def __call__(self, crops, prompts):
        self.prompts.append((crops, prompts))
        side = self.batch.target.shape[-1]
        return answers_with(torch.full((len(crops), 3, side, side), -5.0))


def test_first_prompts_are_those_of_the_batch_without_a_former_answer():
    batch = batch_of()
    prompts = first_prompts(batch)
    assert prompts.points.equal(batch.points)
    assert prompts.labels.equal(batch.labels)
    assert not prompts.has_prior.any()
    assert not prompts.prior.any()
    assert prompts.prior.shape == (len(batch.picture), 1, 16, 16)


def test_corrections_leave_the_batch_as_it_is():
    batch = batch_of()
    before = batch.points.clone(), batch.labels.clone()
    corrected_prompts(Scripted(batch), batch, rng())
    assert batch.points.equal(before[0])
    assert batch.labels.equal(before[1])


def test_two_fifths_of_the_prompts_are_corrected_and_two_fifths_of_these_again():
    batch = batch_of(crops=12)
    network = Scripted(batch)
    prompts = corrected_prompts(network, batch, rng())
    counts = [len(crops) for crops, _ in network.prompts]
    assert len(batch.picture) == 36
    assert counts == [14, 5, 2]
    assert int(prompts.has_prior.sum()) == 14
    added = (prompts.labels >= 0).sum(dim=1) - (batch.labels >= 0).sum(dim=1)
    assert sorted(added.tolist(), reverse=True)[:14] == [3, 3, 2, 2, 2, *[1] * 9]


def test_a_correction_is_asked_for_with_the_answer_before():
    batch = batch_of(crops=12)
    network = Scripted(batch)
    corrected_prompts(network, batch, rng())
    first, second, third = (prompts for _, prompts in network.prompts)
    assert not first.has_prior.any()
    assert second.has_prior.all()
    assert third.has_prior.all()
    assert bool((second.prior == -5).all())


def test_objects_known_by_their_boxes_are_not_corrected():
    batch = make_batch([sample(rectangles=(), boxes=[(8, 8, 40, 48)], complete=False)] * 4, rng(3))
    network = Scripted(batch)
    prompts = corrected_prompts(network, batch, rng())
    assert network.prompts == []
    assert not prompts.has_prior.any()


def test_the_user_follows_the_generator():
    batch = batch_of(crops=6)
    same = [corrected_prompts(Scripted(batch), batch, rng(seed)) for seed in (1, 1, 2)]
    assert same[0].points.equal(same[1].points)
    assert not same[0].points.equal(same[2].points)


def test_corrections_carry_no_gradients():
    batch = batch_of()
    weight = torch.ones(1, requires_grad=True)

    def network(crops, _prompts):
        return answers_with(weight * torch.ones(len(crops), 3, 16, 16))

    prompts = corrected_prompts(network, batch, rng())
    assert not prompts.prior.requires_grad


@pytest.mark.parametrize(("value", "label"), [(-5.0, 1), (5.0, 0)], ids=["nothing found", "everything found"])
def test_a_click_includes_what_is_missed_and_excludes_what_is_too_much(value, label):
    batch = batch_of(crops=1)
    prompts = first_prompts(batch)
    row = np.array([1])
    free = int((batch.labels[1] >= 0).sum())
    add_corrections(prompts, row, answers_with(torch.full((1, 3, 16, 16), value)), batch, rng())
    assert int(prompts.labels[1, free]) == label
    x, y = (prompts.points[1, free] // STRIDE).long().tolist()
    assert bool(batch.target[1, y, x] > 0.5) == bool(label)


def test_the_mask_of_highest_expected_iou_is_corrected():
    batch = batch_of(crops=1)
    logits = torch.stack([torch.full((3, 16, 16), -5.0)])
    logits[0, 2] = 20 * (2 * batch.target[0] - 1)
    prompts = first_prompts(batch)
    before = prompts.labels.clone()
    add_corrections(prompts, np.array([0]), answers_with(logits, best=2), batch, rng())
    assert prompts.labels.equal(before), "a right answer gets no click"
    assert prompts.has_prior[0]
    assert float(prompts.prior[0].max()) == 16, "logits are limited"
    assert float(prompts.prior[0].min()) == -16


def test_a_prompt_that_is_full_gets_no_further_click():
    batch = batch_of(crops=1)
    batch.labels[:] = 1
    prompts = first_prompts(batch)
    add_corrections(prompts, np.array([0]), answers_with(torch.full((1, 3, 16, 16), -5.0)), batch, rng())
    assert prompts.labels.equal(batch.labels)
    assert prompts.points.equal(batch.points)


def test_without_a_generator_the_innermost_place_is_clicked():
    batch = batch_of(crops=1)
    clicks = []
    for _ in range(2):
        prompts = first_prompts(batch)
        add_corrections(prompts, np.array([0]), answers_with(torch.full((1, 3, 16, 16), -5.0)), batch, None)
        clicks.append(prompts.points.clone())
    assert clicks[0].equal(clicks[1])
    free = int((batch.labels[0] >= 0).sum())
    assert (clicks[0][0, free] % STRIDE).tolist() == [STRIDE / 2] * 2, "the middle of a cell"


def test_a_simulated_batch_has_losses_with_gradients_and_leaves_the_statistics_of_answers_out():
    model, batch = small_lite().train(), batch_of()
    seen = {name: int(value) for name, value in model.decoder.named_buffers() if name.endswith("batches_tracked")}
    result = simulate_user(model, batch, rng())
    assert model.decoder.training
    result.losses.total.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.encoder.parameters())
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.decoder.parameters())
    counted = {name: int(value) for name, value in model.decoder.named_buffers() if name.endswith("batches_tracked")}
    assert {counted[name] - seen[name] for name in seen} <= {0, 1}, "answers that are corrected do not count"
    assert len(result.agreement.rows) == len(batch.picture)
    assert result.prompts.has_prior.any()


def test_unused_columns_of_clicks_make_no_difference():
    model, batch = small_lite().eval(), batch_of(crops=1)
    prompts = first_prompts(batch)
    with torch.no_grad():
        pyramid = model.encoder(module.normalised(batch.rgb, batch.valid))
        features = module._features_of(model.decoder.prepare(pyramid), batch.picture)
        place, answer = module.decode_prompts(model, features, prompts)
        few = prompts._replace(points=prompts.points[:, :2], labels=prompts.labels[:, :2])
        again, other = module.decode_prompts(model, features, few)
    assert place.equal(again)
    assert answer.logits.equal(other.logits)
    assert place.shape == (3, 1, 4, 4)
    assert answer.logits.shape == (3, 3, 16, 16)
