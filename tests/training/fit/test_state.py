"""The state of a training on disk, its schedule and its reports."""

import logging
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from geosam.errors import UnreadableCheckpoint, UsageError
from geosam.training.fit import loop
from geosam.training.fit.loop import STATE, Schedule, Trainer, fit, resume, save
from geosam.training.fit.losses import Agreement, Losses
from geosam.training.fit.simulated_user import SimulationResult


class Line(nn.Module):
    """y = a x + b, behind a norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.weight = nn.Parameter(torch.ones(1, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.norm(x) @ self.weight + self.bias


class Points(SimpleNamespace):
    """A batch of x and y."""

    @property
    def rgb(self):
        return self.x

    def to(self, _device):
        return self


def points(seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(16, 1)), dtype=torch.float32)
    return Points(x=x, y=3 * x + 1)


def regression(model, batch, rng):
    """Losses of a line, with a little noise from the generator."""
    noise = torch.tensor(rng.normal(0, 1e-3, batch.y.shape), dtype=torch.float32)
    mask = ((model(batch.x) - batch.y - noise) ** 2).mean()
    zero = mask.new_zeros(())
    boxes = torch.tensor([[0.0, 0, 1, 1], [float("nan")] * 4, [float("nan")] * 4])
    prompts = SimpleNamespace(boxes=boxes, has_prior=torch.tensor([False, False, True]))
    iou = torch.tensor([0.2, 0.4, 0.6])
    return SimulationResult(Losses(mask, zero, zero, zero), Agreement(iou, iou + 0.1, torch.arange(3)), prompts)


def trainer_of(steps=20, seed=0, parts=1, run=None, **changes):
    torch.manual_seed(0)
    schedule = Schedule(steps, **{"rate": 0.05, "warm_up": 2, "cool_down": 5, **changes})
    options = {"seed": seed, "precision": torch.float32, "parts": parts, "run": run or {}}
    return Trainer(Line(), regression, schedule, **options)


def steps_of(count, parts=1):
    return iter([[points(10 * step + part) for part in range(parts)] for step in range(count)])


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 100), st.floats(1e-6, 1))
def test_rates_rise_to_the_rate_and_fall_to_zero(steps, warm_up, cool_down, rate):
    schedule = Schedule(steps, rate=rate, warm_up=warm_up, cool_down=cool_down)
    rates = [schedule.rate_at(step) for step in range(steps)]
    assert all(0 < value <= rate * (1 + 1e-12) for value in rates)
    for step, value in enumerate(rates):
        assert value <= rate * (step + 1) / warm_up * (1 + 1e-12)
        if step + 1 >= warm_up and steps - step >= cool_down:
            assert value == rate
        if cool_down:
            assert value <= rate * (steps - step) / cool_down * (1 + 1e-12)
    assert not cool_down or schedule.rate_at(steps) == 0


def test_a_line_is_learnt():
    trainer = trainer_of(steps=30, rate=0.3)
    first = float(trainer.train_step([points()])[0].result.losses.mask.detach())
    for step in range(29):
        trainer.train_step([points(step)])
    last = float(trainer.train_step([points()])[0].result.losses.mask.detach())
    assert last < 0.3 * first


def test_a_parameter_that_takes_no_part_has_no_gradient_and_stays():
    trainer = trainer_of()
    (part,) = trainer.train_step([points()])
    names = [name for name, _ in trainer.model.named_parameters()]
    assert part.gradients[names.index("unused")] is None
    assert trainer.model.unused.tolist() == [1, 1]


def test_weights_decay_and_biases_and_norms_do_not():
    groups = loop._parameter_groups(Line(), 0.1)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [tuple(p.shape) for p in groups[0]["params"]] == [(1, 1)]
    assert len(groups[1]["params"]) == 4


def test_gradients_are_shortened(monkeypatch):
    monkeypatch.setattr(loop, "_MAX_NORM", 1e-3)
    trainer = trainer_of()
    trainer.train_step([points()])
    total = torch.stack([p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]).norm()
    assert float(total) == pytest.approx(1e-3, rel=1e-3)


def test_copies_share_weights_but_not_statistics():
    trainer = trainer_of(parts=2)
    model, twin = trainer._copies
    assert all(a is b for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert all(a is not b for a, b in zip(model.buffers(), twin.buffers(), strict=True))


def test_statistics_are_averaged_in_place():
    norms = [nn.BatchNorm1d(1), nn.BatchNorm1d(1)]
    norms[0].running_mean[:], norms[1].running_mean[:] = 2, 4
    norms[0].num_batches_tracked += 5
    loop._average_statistics(norms)
    assert [float(norm.running_mean) for norm in norms] == [3, 3]
    assert [int(norm.num_batches_tracked) for norm in norms] == [5, 0], "counts are no averages"


def test_the_average_follows_the_weights_slowly():
    trainer = trainer_of()
    start = trainer.model.weight.item()
    for step in range(10):
        trainer.train_step([points(step)])
    moved, average = trainer.model.weight.item(), trainer.average.module.weight.item()
    assert abs(average - start) < abs(moved - start)
    assert average != start


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_run_continues_wherever_it_was_stopped(parts, stop, tmp_path):
    whole = trainer_of(12, parts=parts)
    fit(whole, steps_of(12, parts), tmp_path / ".." / tmp_path.name)
    batches = list(steps_of(12, parts))
    first = trainer_of(12, parts=parts)
    for step in range(stop):
        first.train_step(batches[step])
    save(first, tmp_path)
    second = trainer_of(12, parts=parts)
    resume(second, tmp_path)
    assert second.step == stop
    fit(second, iter(batches[stop:]), tmp_path)
    for name, value in whole.average.module.state_dict().items():
        assert value.equal(second.average.module.state_dict()[name]), name


def test_no_state_is_no_error(tmp_path):
    trainer = trainer_of()
    resume(trainer, tmp_path)
    assert trainer.step == 0


def test_the_names_in_a_state_are_those_of_states_of_running_trainings(tmp_path):
    """States are read by later versions: their keys are a format."""
    save(trainer_of(run={"begun": None}), tmp_path)
    state = torch.load(tmp_path / STATE, weights_only=True)
    assert state.keys() == {"model", "average", "averaged", "optimizer", "step", "run"}
    names = {"network", "steps", "rate", "warm_up", "cool_down", "weight_decay", "seed", "parts", "begun"}
    assert state["run"].keys() == names
    assert state["run"]["network"] == "Line"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 21}, "steps"),
        ({"seed": 1}, "seed"),
        ({"parts": 2}, "parts"),
        ({"rate": 0.1}, "rate"),
        ({"run": {"without": ["trees"]}}, "without"),
    ],
)
def test_a_state_of_another_run_is_refused_with_what_differs(changes, name, tmp_path):
    save(trainer_of(), tmp_path)
    other = trainer_of(**changes)
    with pytest.raises(UsageError) as refused:
        resume(other, tmp_path)
    assert refused.value.code == "state-of-another-run"
    assert refused.value.values["differing"].keys() == {name}
    assert f"{name}: found " in str(refused.value)
    assert other.step == 0


def test_a_damaged_state_is_refused(tmp_path):
    (tmp_path / STATE).write_bytes(b"no state")
    with pytest.raises(UnreadableCheckpoint, match=STATE):
        resume(trainer_of(), tmp_path)


def test_a_state_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    save(trainer_of(), tmp_path)
    before = (tmp_path / STATE).read_bytes()

    def fail(_state, path):
        path.write_bytes(b"half")
        raise OSError("full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="full"):
        save(trainer_of(), tmp_path)
    assert (tmp_path / STATE).read_bytes() == before


def test_a_state_is_saved_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SAVE", 4)
    trainer, kept = trainer_of(10), []
    monkeypatch.setattr(loop, "save", lambda one, _folder: kept.append(one.step))
    fit(trainer, steps_of(10), tmp_path)
    assert kept == [4, 8, 10]


def test_a_report_names_the_means_since_the_one_before(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop, "_REPORT", 5)
    with caplog.at_level(logging.INFO):
        fit(trainer_of(10), steps_of(10), tmp_path)
    reports = [record.message for record in caplog.records if record.message.startswith("step ")]
    assert [report.split(",")[0] for report in reports] == ["step 5", "step 10"]
    assert all("iou.box 0.200" in report and "iou.click.best 0.500" in report for report in reports)
    losses = [float(report.split("loss.mask ")[1].split()[0]) for report in reports]
    again = trainer_of(10)
    each = [float(again.train_step(batches)[0].result.losses.mask.detach()) for batches in steps_of(10)]
    assert losses == pytest.approx([np.mean(each[:5]), np.mean(each[5:])], abs=6e-4)


def test_answers_are_recorded_by_their_prompts():
    means = defaultdict(list)
    loop._record(means, regression(Line(), points(), np.random.default_rng(0)))
    assert means["iou.box"] == pytest.approx([0.2])
    assert means["iou.click"] == pytest.approx([0.4])
    assert means["iou.more"] == pytest.approx([0.6])
    assert means["iou.more.best"] == pytest.approx([0.7])


def test_time_ends_a_training_before_its_last_step(tmp_path):
    trainer = trainer_of(10)
    fit(trainer, steps_of(10), tmp_path, until=0.0)
    assert trainer.step == 0
    assert (tmp_path / STATE).exists()
