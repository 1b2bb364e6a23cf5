"""Epochs, optimizer steps and early stopping, with a decoder of one number."""

import pytest
import torch
from finetune_cases import rng, script_scores, square
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.objects.windows import WindowRule
from geosam.training.finetune import training_loop as module
from geosam.training.finetune.scores import Scores
from geosam.training.finetune.split import draw_held_out, training_tiles
from geosam.training.finetune.training_loop import FineTuneOptions, TrainingLoop

REGION = Window(0, 0, 2000, 1500)
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=30, deadline=None)


class OneNumber:
    """A decoder whose one parameter can be seen to move."""

    learning_rate = 0.1

    def __init__(self):
        self.parameters = {"number": torch.nn.Parameter(torch.zeros(1))}

    def training_embedding(self, embedding):
        return embedding

    @property
    def number(self):
        return float(self.parameters["number"].detach())


class Windows:
    """Embeddings of a scene, by window; remembers the windows."""

    def __init__(self, missing=()):
        self.rule = WindowRule(REGION)
        self.seen = []
        self.missing = missing

    def __call__(self, window):
        self.seen.append(window)
        return None if window in self.missing else ("embedding", window)


@pytest.fixture
def steps(monkeypatch):
    """The objects of every call of the training step, which adds a gradient of 1 for each object."""
    calls = []

    def scripted(decoder, embedding, tile, targets, _rng):
        assert embedding == ("embedding", tile)
        calls.append((tile, list(targets)))
        parameter = decoder.parameters["number"]
        gradient = torch.full_like(parameter, float(len(targets)))
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return 1.0

    monkeypatch.setattr(module, "accumulate_gradients", scripted)
    return calls


def places(count, seed=0):
    return [square(*place) for place in rng(seed).integers(0, (1980, 1480), (count, 2)).tolist()]


def loop_of(objects=20, progress=None, windows=None, **options):
    values = {"epochs": 5, "minutes": 5.0, **options}
    windows = windows or Windows()
    return TrainingLoop(OneNumber(), windows, places(objects), [], FineTuneOptions(**values), rng(), progress)


def train(loop, monkeypatch, means):
    gains = []
    script_scores(monkeypatch, means)
    best, epochs = loop.train(Scores(0.5, 0.5), lambda scores, epoch: gains.append((scores.mean, epoch)))
    return best.mean, epochs, gains


def test_an_epoch_shows_every_object_once_in_a_tile_that_shows_it_whole(steps, monkeypatch):
    loop = loop_of(epochs=1)
    train(loop, monkeypatch, [0.6])
    seen = [target for _, targets in steps for target in targets]
    assert len(seen) == 20
    assert {id(target) for target in seen} == {id(target) for target in loop.training_objects}
    assert all(tile.contains(target.window) for tile, targets in steps for target in targets)


def test_objects_are_decoded_a_few_at_a_time(steps, monkeypatch):
    train(loop_of(epochs=1), monkeypatch, [0.6])
    assert max(len(targets) for _, targets in steps) <= module.OBJECTS


def test_every_epoch_draws_another_order(steps, monkeypatch):
    train(loop_of(epochs=2), monkeypatch, [0.6, 0.7])
    order = [id(target) for _, targets in steps for target in targets]
    assert order[:20] != order[20:]
    assert sorted(order[:20]) == sorted(order[20:])


def test_only_tiles_with_objects_are_embedded():
    windows = Windows()
    loop = loop_of(objects=1, windows=windows)
    loop.embed()
    assert len(windows.seen) == len(loop.tiles) < len(list(loop.grid))
    assert all(window.contains(loop.training_objects[0].window) for window in windows.seen)


def test_a_tile_without_an_embedding_trains_nothing(steps, monkeypatch):
    grid = TileGrid.over(REGION)
    train(loop_of(windows=Windows(missing=set(grid)), epochs=1), monkeypatch, [0.6])
    assert steps == []


def test_progress_counts_the_embeddings_and_every_epoch(steps, monkeypatch):
    reports = []
    loop = loop_of(progress=lambda done, total: reports.append((done, total)), epochs=2)
    loop.embed()
    train(loop, monkeypatch, [0.6, 0.7])
    tiles = len(loop.tiles)
    assert steps
    assert reports == [(done, 3 * tiles) for done in range(1, 3 * tiles + 1)]


def test_gains_are_reported_and_the_best_state_stays(steps, monkeypatch):
    loop = loop_of(epochs=3)
    states = []

    def scripted(self):
        states.append(self.decoder.number)
        return Scores(*[(0.6, 0.8, 0.7)[len(states) - 1]] * 2)

    monkeypatch.setattr(TrainingLoop, "evaluate", scripted)
    best, epochs = loop.train(Scores(0.5, 0.5), lambda *_: None)
    assert (best.mean, epochs) == (0.8, 3)
    assert loop.decoder.number == states[1] != states[2]
    assert len(set(states)) == 3
    assert steps


@pytest.mark.parametrize(
    ("means", "epochs", "gains"),
    [
        ([0.6] + [0.6] * 9, 7, [1]),
        ([0.5] * 10, 6, []),
        ([0.5, 0.5, 0.6, *[0.6] * 9], 9, [3]),
        ([0.5, 0.5, 0.5, 0.6, *[0.6] * 9], 7, [4]),
        ([0.5005] * 10, 6, []),
        ([0.5011] + [0.5] * 9, 7, [1]),
    ],
    ids=["at once", "never", "third", "after a fall", "too little", "just enough"],
)
def test_training_stops_after_two_times_three_epochs_without_a_gain(means, epochs, gains, steps, monkeypatch):
    _, count, reported = train(loop_of(epochs=40), monkeypatch, means)
    assert count == epochs
    assert [epoch for _, epoch in reported] == gains
    assert steps


def test_without_any_gain_the_decoder_is_as_it_was(steps, monkeypatch):
    loop = loop_of(epochs=40)
    train(loop, monkeypatch, [0.4] * 10)
    assert loop.decoder.number == 0
    assert steps


def test_the_learning_rate_falls_to_three_tenths_when_nothing_is_gained(steps, monkeypatch):
    loop, rates = loop_of(epochs=40), []
    optimizer = TrainingLoop._optimizer
    monkeypatch.setattr(TrainingLoop, "_optimizer", lambda self, rate: rates.append(rate) or optimizer(self, rate))
    train(loop, monkeypatch, [0.5] * 10)
    assert rates == pytest.approx([0.1, 0.03, 0.009])
    assert steps


def test_a_limit_of_epochs_ends_the_training(steps, monkeypatch):
    assert train(loop_of(epochs=2), monkeypatch, [0.6, 0.7, 0.8])[1] == 2
    assert steps


def test_when_time_is_up_the_tile_in_work_is_finished_and_scored(steps, monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 1
        return now[0]

    monkeypatch.setattr(module.time, "monotonic", clock)
    loop = loop_of(minutes=2 / 60)
    best, epochs, gains = train(loop, monkeypatch, [0.6])
    assert (best, epochs, len(gains)) == (0.6, 1, 1)
    assert 0 < sum(len(targets) for _, targets in steps) < 20


def test_a_step_follows_the_mean_gradient_after_a_warm_up(monkeypatch):
    monkeypatch.setattr(module, "_MAX_NORM", 1e9)
    loop = loop_of()
    optimizer, parameter = loop._optimizer(0.1), loop.decoder.parameters["number"]
    rates = []
    for _ in range(25):
        parameter.grad = torch.full((1,), 8.0)
        loop._step(optimizer, 4)
        rates.append(optimizer.param_groups[0]["lr"])
        assert parameter.grad is None
    assert rates[:20] == pytest.approx([0.1 * (k + 1) / 20 for k in range(20)])
    assert rates[20:] == [0.1] * 5
    moments = optimizer.state[parameter]["exp_avg"]
    assert float(moments) == pytest.approx(2.0, rel=0.1)


def test_gradients_of_a_step_are_shortened():
    loop = loop_of()
    optimizer, parameter = loop._optimizer(0.1), loop.decoder.parameters["number"]
    parameter.grad = torch.full((1,), 800.0)
    loop._step(optimizer, 8)
    assert float(optimizer.state[parameter]["exp_avg"]) == pytest.approx(0.1, rel=1e-3)


def test_a_few_objects_make_a_shorter_step_than_many(steps, monkeypatch):
    counts = []
    monkeypatch.setattr(TrainingLoop, "_step", lambda _self, _optimizer, objects: counts.append(objects))
    train(loop_of(objects=3, epochs=1), monkeypatch, [0.6])
    assert counts == [module._BATCH]
    counts.clear()
    train(loop_of(objects=20, epochs=1), monkeypatch, [0.6])
    assert all(count >= module._BATCH for count in counts)
    assert steps


def test_a_state_is_a_copy():
    loop = loop_of()
    state = loop._state()
    with torch.no_grad():
        loop.decoder.parameters["number"].add_(5)
    assert float(state["number"]) == 0
    loop._restore(state)
    assert loop.decoder.number == 0
    assert loop.decoder.parameters["number"].requires_grad


@FEW
@given(SEEDS, st.integers(9, 120))
def test_a_split_keeps_blocks_whole_and_both_sides_have_objects(seed, count):
    draws = rng(seed)
    targets = [square(*place) for place in draws.integers(0, 5000, (count, 2)).tolist()]
    is_held_out = draw_held_out(targets, draws)
    assert is_held_out.shape == (count,)
    assert 0 < is_held_out.sum() < count
    assert is_held_out.mean() <= 0.6


@FEW
@given(SEEDS, st.integers(5, 400))
def test_every_object_has_a_tile_that_shows_its_middle(seed, side):
    grid = TileGrid.over(REGION)
    targets = [square(*place, side) for place in rng(seed).integers(0, 1500 - side, (5, 2)).tolist()]
    for target, tiles in zip(targets, training_tiles(targets, grid), strict=True):
        assert tiles
        x, y = target.window.col_off + side // 2, target.window.row_off + side // 2
        assert all(grid.window(tile).contains(Window(x, y, 1, 1)) for tile in tiles)


def test_the_same_seed_trains_on_the_same_objects_in_the_same_order(steps, monkeypatch):
    train(loop_of(epochs=1), monkeypatch, [0.6])
    first = [(tile, [target.window for target in targets]) for tile, targets in steps]
    steps.clear()
    train(loop_of(epochs=1), monkeypatch, [0.6])
    assert first == [(tile, [target.window for target in targets]) for tile, targets in steps]


def test_defaults_are_forty_epochs_and_twenty_minutes():
    options = FineTuneOptions()
    assert (options.epochs, options.minutes, options.seed, options.overwrite) == (40, 20.0, 0, False)
