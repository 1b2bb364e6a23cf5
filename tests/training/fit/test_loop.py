import numpy as np
import pytest
import torch
from small_samples import sample

from geosam.segmenters.lite.encoder import EncoderShape
from geosam.segmenters.lite.model import LiteModel
from geosam.training.data.batch import make_batch
from geosam.training.fit.loop import STATE, Schedule, Trainer, fit, resume
from geosam.training.fit.simulated_user import add_corrections, decode_prompts, first_prompts, simulate_user

#: Of no fewer channels than 16: with 8, oneDNN's backward pass of strided 1 x 1 convolutions writes beyond its memory.
TINY = EncoderShape(stem=16, stages=(16, 16, 16, 16), blocks=(1, 1, 1, 1), pyramid=(16, 16, 16))


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums of several threads come out in another order each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def batch():
    samples = [sample(rectangles=[(8, 8, 40, 40), (44, 8, 60, 60)]), sample(rectangles=[(20, 4, 60, 30)]), sample()]
    return make_batch(samples, np.random.default_rng(0))


@pytest.fixture
def other_batch():
    return make_batch([sample(rectangles=[(4, 30, 34, 60)]), sample(rectangles=[(30, 6, 58, 22)])] * 2,
                      np.random.default_rng(1))  # fmt: skip


def trainer(steps=40, parts=1, **changes):
    torch.manual_seed(0)
    schedule = Schedule(steps, **{"rate": 3e-3, "warm_up": 5, "cool_down": 10, **changes})
    return Trainer(LiteModel(TINY), simulate_user, schedule, seed=0, precision=torch.float32, parts=parts)


def test_the_rate_rises_stays_and_falls_to_zero():
    schedule = Schedule(100, rate=1.0, warm_up=10, cool_down=20)
    rates = [schedule.rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0.0


def test_a_rate_that_does_not_cool_down_stays():
    schedule = Schedule(100, rate=1.0, warm_up=10, cool_down=0)
    assert [schedule.rate_at(step) for step in (0, 9, 99)] == [pytest.approx(0.1), 1.0, 1.0]


def test_a_network_learns_the_objects_it_is_shown(batch):
    training = trainer()
    first = training.train_step([batch])[0].result.losses
    for _ in range(38):
        training.train_step([batch])
    last = training.train_step([batch])[0].result
    assert last.losses.mask < 0.7 * first.mask
    assert last.losses.dense < first.dense
    assert last.agreement.best.mean() > 0.5


@pytest.mark.parametrize("parts", [1, 2])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(batch, other_batch, parts, tmp_path):
    step = [batch, other_batch][:parts]
    fit(trainer(6, parts), iter([step] * 6), tmp_path)
    expected = torch.load(tmp_path / STATE, weights_only=True)

    first = trainer(6, parts)
    for _ in range(3):
        first.train_step(step)
    fit(first, iter(()), tmp_path, until=0.0)
    again = trainer(6, parts)
    resume(again, tmp_path)
    assert again.step == 3
    fit(again, iter([step] * 3), tmp_path)
    found = torch.load(tmp_path / STATE, weights_only=True)
    assert found["step"] == 6
    for name, value in expected["average"].items():
        torch.testing.assert_close(found["average"][name], value, rtol=0, atol=0)


def test_a_step_follows_the_mean_of_what_its_batches_teach(batch, other_batch):
    both, alone = trainer(parts=2), trainer()
    parts_of_step = both.train_step([batch, other_batch])
    first = alone._gradients_of(0, alone.model, batch)
    assert parts_of_step[0].result.losses.total == first.result.losses.total
    fresh = trainer()
    second = fresh._gradients_of(1, fresh.model, other_batch)
    assert parts_of_step[1].result.losses.total == second.result.losses.total
    mean = [
        a if b is None else b if a is None else (a + b) / 2
        for a, b in zip(first.gradients, second.gradients, strict=True)
    ]
    length = torch.stack([one.norm() for one in mean if one is not None]).norm()
    for parameter, one in zip(both.model.parameters(), mean, strict=True):
        if one is not None:
            torch.testing.assert_close(parameter.grad, one * min(1.0, 2.0 / float(length)), rtol=1e-4, atol=1e-7)


def test_norms_remember_what_every_part_has_seen(batch, other_batch):
    both, one, other = trainer(parts=2), trainer(), trainer()
    both.train_step([batch, other_batch])
    one.train_step([batch])
    other._gradients_of(1, other.model, other_batch)
    name = "encoder.stem.norm.running_mean"
    mean = (one.model.get_buffer(name) + other.model.get_buffer(name)) / 2
    torch.testing.assert_close(both.model.get_buffer(name), mean)
    assert both.average.module.get_buffer(name).equal(both.model.get_buffer(name))


def test_a_corrected_prompt_has_the_answer_and_a_click_where_it_is_wrong(batch):
    model = trainer().model.eval()
    prompts = first_prompts(batch)
    before = (prompts.labels >= 0).sum(dim=1)
    with torch.no_grad():
        known = tuple(level.of(batch.picture) for level in model.decoder.prepare(pyramid(model, batch)))
        _, answer = decode_prompts(model, known, prompts)
        rows = np.array([1, 4])
        few = answer._replace(logits=answer.logits[rows], iou=answer.iou[rows])
    add_corrections(prompts, rows, few, batch, None)
    assert prompts.has_prior.nonzero()[:, 0].tolist() == [1, 4]
    for number, row in enumerate(rows):
        shown = answer.logits[row, answer.iou[row].argmax()]
        torch.testing.assert_close(prompts.prior[row, 0], shown.clamp(-16, 16))
        added = int(before[row])
        x, y = (prompts.points[row, added] / 4).int().tolist()
        expected = batch.target[row, y, x] > 0.5
        assert prompts.labels[row, added] == int(expected)
        assert bool(shown[y, x] > 0) != bool(expected), number


def pyramid(model, batch):
    from geosam.segmenters.lite.encoder import normalised

    return model.encoder(normalised(batch.rgb, batch.valid))
