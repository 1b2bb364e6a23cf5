"""The training step of fine-tuning, with a decoder that answers from a script."""

import numpy as np
import pytest
import torch
from finetune_cases import rng
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.geometry.geobox import Window
from geosam.segmenters.segmenter import Embedding
from geosam.training.data.batch import STRIDE
from geosam.training.data.target_objects import TargetObject
from geosam.training.finetune import training_step as module
from geosam.training.finetune.trainable_decoder import MaskCandidates
from geosam.training.finetune.training_step import accumulate_gradients
from geosam.training.fit.losses import IOU_WEIGHT, PLACE_WEIGHT, best_mask_loss, mask_loss, place_loss, soft_iou

TILE = Window(100, 200, 64, 64)
EMBEDDING = Embedding({}, (64, 64), "fake")
FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def target_of(col=110, row=210, width=24, height=16):
    return TargetObject(Window(col, row, width, height), np.ones((height, width), bool))


#: An object whose edges lie between cells.
ON_CELLS = target_of(108, 208)


class ScriptedDecoder:
    """Offers constant masks, whose logit is its one parameter; remembers what it was prompted with."""

    def __init__(self, *, masks=3, silent=False):
        self.value = torch.nn.Parameter(torch.tensor(-1.0))
        self.parameters = {"value": self.value}
        self.masks = masks
        self.silent = silent
        self.calls = []

    def candidates(self, embedding, prompts, bounds_xyxy, *, multimask):
        assert embedding is EMBEDDING
        self.calls.append((prompts, bounds_xyxy, multimask))
        if self.silent:
            return []
        count = self.masks if multimask else 1
        logits = self.value * torch.ones(count, 16, 16)
        whole = (slice(None), slice(None))
        return [MaskCandidates(row, logits, torch.linspace(0.9, 0.1, count), whole) for row in range(len(prompts))]


def never(monkeypatch, **values):
    for name, value in {"_CORRECTED": 0.0, **values}.items():
        monkeypatch.setattr(module, name, value)


def test_an_object_is_prompted_by_a_click_or_a_box_in_pixels_of_the_tile(monkeypatch):
    never(monkeypatch)
    kinds = set()
    for seed in range(30):
        decoder = ScriptedDecoder()
        accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng(seed))
        prompts, bounds, multimask = decoder.calls[0]
        assert bounds.tolist() == [[10, 10, 34, 26]]
        boxed = bool(np.isfinite(prompts.boxes_xyxy).all())
        kinds.add(boxed)
        assert multimask == (not boxed)
        assert prompts.logits == ()
        if boxed:
            x0, y0, x1, y1 = prompts.boxes_xyxy[0]
            assert -1 < x0 < 22 < x1 < 45
            assert 0 < y0 < 18 < y1 < 36
        else:
            ((x, y),) = prompts.points[0]
            assert 10 <= x < 34
            assert 10 <= y < 26
            assert prompts.labels[0].tolist() == [1]
    assert kinds == {True, False}


def test_two_fifths_of_the_first_prompts_are_boxes(monkeypatch):
    never(monkeypatch)
    boxed = []
    for seed in range(40):
        decoder = ScriptedDecoder()
        accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()] * 4, rng(seed))
        boxed += [np.isfinite(prompts.boxes_xyxy).all(axis=1).sum() for prompts, _, _ in decoder.calls]
    assert sum(boxed) / 160 == pytest.approx(0.4, abs=0.12)


def test_prompts_that_are_ambiguous_and_others_are_decoded_apart(monkeypatch):
    never(monkeypatch)
    for seed in range(10):
        decoder = ScriptedDecoder()
        accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()] * 4, rng(seed))
        clicks = [prompts for prompts, _, multimask in decoder.calls if multimask]
        others = [prompts for prompts, _, multimask in decoder.calls if not multimask]
        assert [multimask for _, _, multimask in decoder.calls] in ([False], [True, False])
        assert all(np.isnan(prompts.boxes_xyxy).all() for prompts in clicks)
        assert sum(len(prompts) for prompts in others) == 4, "a lone click is answered again with its logits"


def expected_loss(shares, value, masks):
    logits = torch.full((1, masks, 16, 16), value)
    target = torch.from_numpy(shares)[None, None]
    iou = torch.linspace(0.9, 0.1, masks)
    error = ((iou - soft_iou(logits, target)[0]) ** 2).mean()
    return float(best_mask_loss(mask_loss(logits, target))[0] + IOU_WEIGHT * error)


def shares_of(target):
    whole = np.zeros((64, 64), np.float32)
    whole[target.window.relative_to(TILE).slices_rc] = target.mask
    return whole.reshape(16, 4, 16, 4).mean(axis=(1, 3))


@pytest.mark.parametrize("box", [0.0, 1.0], ids=["click", "box"])
def test_the_loss_is_that_of_the_masks_and_of_their_expected_iou(box, monkeypatch):
    never(monkeypatch, _BOX=box)
    decoder, targets = ScriptedDecoder(), [target_of(), target_of(120, 230, 10, 12)]
    total = accumulate_gradients(decoder, EMBEDDING, TILE, targets, rng())
    answers = (1,) if box else (3, 1)
    expected = sum(expected_loss(shares_of(target), -1.0, masks) for target in targets for masks in answers)
    assert total == pytest.approx(expected, rel=1e-5)


def test_gradients_add_up_over_calls(monkeypatch):
    never(monkeypatch, _BOX=1.0)
    decoder = ScriptedDecoder()
    accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng())
    once = float(decoder.value.grad)
    accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng())
    assert once != 0
    assert float(decoder.value.grad) == pytest.approx(2 * once)


def test_gradients_are_those_of_the_loss(monkeypatch):
    never(monkeypatch, _BOX=1.0)
    decoder = ScriptedDecoder()
    accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng())
    shares, step = shares_of(target_of()).astype(float), 1e-5

    def loss(value, size):
        p = 1 / (1 + np.exp(-value))
        wrong = -(shares * np.log(p) + (1 - shares) * np.log(1 - p)).sum()
        return 2 * wrong / size + 1 - (2 * p * shares.sum() + 1) / (p * shares.size + shares.sum() + 1)

    size = shares.sum() + shares.size / (1 + np.e) + 48  # a constant for the gradient
    numeric = (loss(-1 + step, size) - loss(-1 - step, size)) / (2 * step)
    assert float(decoder.value.grad) == pytest.approx(numeric, rel=1e-3)


def test_coarse_places_count_where_a_network_has_them(monkeypatch):
    never(monkeypatch, _BOX=1.0)
    place = torch.full((4, 4), 0.5)

    class Placing(ScriptedDecoder):
        def candidates(self, *args, **options):
            return [masks._replace(place=place) for masks in super().candidates(*args, **options)]

    without, with_places = (
        accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng())
        for decoder in (ScriptedDecoder(), Placing())
    )
    target = torch.from_numpy(shares_of(target_of()))[None, None]
    expected = PLACE_WEIGHT * float(place_loss(place[None, None], target))
    assert with_places - without == pytest.approx(expected, rel=1e-5)


def test_a_corrected_prompt_has_the_logits_of_the_answer_and_a_click_more(monkeypatch):
    never(monkeypatch, _CORRECTED=1.1, _BOX=0.0)
    decoder = ScriptedDecoder()
    accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng())
    assert [len(prompts.points[0]) for prompts, _, _ in decoder.calls] == [1, 1, 2, 3]
    assert [multimask for _, _, multimask in decoder.calls] == [True, False, False, False]
    first, again, second, third = (prompts for prompts, _, _ in decoder.calls)
    assert first.logits == ()
    assert (again.logits[0] == -1).all()
    assert (second.logits[0] == -1).all()
    assert (third.logits[0] == -1).all()
    x, y = second.points[0][1]
    assert 10 <= x < 34, "nothing was found: the click includes the object"
    assert 10 <= y < 26
    assert second.labels[0].tolist() == [1, 1]


def test_half_of_the_answers_are_corrected_and_twice_at_most(monkeypatch):
    monkeypatch.setattr(module, "_BOX", 1.0)
    counts = []
    for seed in range(80):
        decoder = ScriptedDecoder()
        accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng(seed))
        counts.append(len(decoder.calls))
    assert set(counts) == {1, 2, 3}
    assert np.mean(np.array(counts) > 1) == pytest.approx(0.5, abs=0.15)
    assert np.mean(np.array(counts) > 2) == pytest.approx(0.25, abs=0.13)


def test_a_right_answer_is_not_corrected(monkeypatch):
    never(monkeypatch, _CORRECTED=1.1, _BOX=1.0)

    class Right(ScriptedDecoder):
        def candidates(self, *args, **options):
            right = torch.from_numpy(40 * shares_of(ON_CELLS) - 20)
            answers = super().candidates(*args, **options)
            return [masks._replace(logits=right + 0 * masks.logits) for masks in answers]

    decoder = Right()
    accumulate_gradients(decoder, EMBEDDING, TILE, [ON_CELLS], rng())
    assert len(decoder.calls) == 1


def test_a_network_without_an_answer_costs_nothing_and_is_not_corrected(monkeypatch):
    never(monkeypatch, _CORRECTED=1.1)
    decoder = ScriptedDecoder(silent=True)
    assert accumulate_gradients(decoder, EMBEDDING, TILE, [target_of()], rng()) == 0
    assert len(decoder.calls) == 1
    assert decoder.value.grad is None


@FEW
@given(SEEDS, st.integers(60, 160), st.integers(160, 260))
def test_a_target_that_hangs_over_its_tile_is_cut_there(seed, col, row):
    target = target_of(col, row, 30, 30)
    if target.window.intersection(TILE) is None:
        return
    prompted = module._first_prompt(target, TILE, (64, 64), rng(seed))
    part = target.window.intersection(TILE)
    assert prompted.shares.sum() * STRIDE**2 == pytest.approx(part.width * part.height)
    assert prompted.bounds_xyxy == (part.col_off - 100, part.row_off - 200, part.col_end - 100, part.row_end - 200)


@pytest.mark.parametrize("input_hw", [(64, 64), (61, 63), (1024, 1024)])
def test_cells_cover_the_padded_tile(input_hw):
    prompted = module._first_prompt(target_of(), TILE, input_hw, rng())
    assert prompted.shares.shape == tuple(-(-side // STRIDE) for side in input_hw)
    assert prompted.shares.sum() * STRIDE**2 == 24 * 16


def test_logits_of_cells_that_an_answer_does_not_show_are_low():
    prompted = module._first_prompt(target_of(), TILE, (64, 64), rng())
    logits = torch.stack([torch.full((4, 5), value) for value in (3.0, 99.0)])
    masks = MaskCandidates(0, logits, torch.tensor([0.2, 0.7]), (slice(2, 6), slice(3, 8)))
    module._keep_logits(prompted, masks)
    assert (prompted.logits[2:6, 3:8] == 16).all(), "the best mask, limited"
    prompted.logits[2:6, 3:8] = -16
    assert (prompted.logits == -16).all()


@pytest.mark.parametrize(
    ("changes", "ambiguous"),
    [
        ({}, True),
        ({"points": [(1.0, 1.0), (2.0, 2.0)]}, False),
        ({"box": np.array([0.0, 0, 4, 4])}, False),
        ({"logits": np.zeros((16, 16), np.float32)}, False),
        ({"points": []}, False),
    ],
    ids=["one click", "two clicks", "click and box", "corrected", "nothing"],
)
def test_only_a_lone_first_click_is_ambiguous(changes, ambiguous):
    values = {"points": [(1.0, 1.0)], "labels": [1], **changes}
    prompted = module._PromptedObject(np.zeros((16, 16), np.float32), (0, 0, 4, 4), **values)
    assert prompted.is_ambiguous == ambiguous
