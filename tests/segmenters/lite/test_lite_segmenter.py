import pickle

import numpy as np
import pytest
import torch
from small_lite import small_file, small_lite

from geosam.errors import ModelError
from geosam.segmenters.compute import Compute
from geosam.segmenters.lite.segmenter import LiteSegmenter
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec, Segmenter

HW = (150, 170)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """With random weights."""
    return load_segmenter(str(small_file(tmp_path_factory.mktemp("weights") / "small.safetensors")), "cpu", "fp32")


@pytest.fixture(scope="module")
def picture():
    """(3, 150, 170) blocks of colour with noise."""
    rng = np.random.default_rng(3)
    blocks = np.kron(rng.integers(0, 256, (3, 5, 5)), np.ones((1, 30, 34)))
    return np.clip(blocks + rng.normal(0, 12, blocks.shape), 0, 255).astype(np.uint8)


def valid_of(hw=HW):
    return np.ones(hw, bool)


def embed(segmenter, picture, valid=None):
    (embedding,) = segmenter.embed(picture[None], (valid_of(picture.shape[1:]) if valid is None else valid)[None])
    return embedding


def prompts(*given, logits=()):
    """Each a list of (x, y, label), or a box (x0, y0, x1, y1)."""
    clicks = [np.array(one if isinstance(one, list) else [], float).reshape(-1, 3) for one in given]
    boxes = [[np.nan] * 4 if isinstance(one, list) else one for one in given]
    points, labels = tuple(one[:, :2] for one in clicks), tuple(one[:, 2].astype(np.int8) for one in clicks)
    return PixelPrompts(points, labels, np.array(boxes, float), (None,) * len(given), tuple(logits))


MANY = [
    [(20, 30, 1)],
    (10, 20, 90, 100),
    [(100, 80, 1), (20, 30, 0)],
    [(160, 140, 1)],
    [(60 + i, 60, 1) for i in range(9)],
]


def digest(masks):
    return masks.to_bytes(), b"" if masks.logits is None else masks.logits.tobytes()


def test_it_is_a_segmenter_for_tiles_of_any_size(segmenter):
    assert isinstance(segmenter, Segmenter)
    assert segmenter.spec.input_size is None
    for hw in [(3, 3), (32, 64), (33, 65), (100, 7)]:
        picture = np.full((3, *hw), 90, np.uint8)
        embedding = embed(segmenter, picture)
        assert embedding.input_hw == hw
        masks = segmenter.decode(embedding, prompts([(1, 1, 1)]), multimask=True, keep=None)
        assert masks.shape_hw == hw
        assert all(box[2] <= hw[1] and box[3] <= hw[0] for box in masks.boxes_xyxy)
        assert segmenter.propose(embedding, segmenter.spec.keep).shape_hw == hw


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
def test_an_answer_does_not_depend_on_the_other_prompts_of_the_call(segmenter, picture, multimask):
    embedding = embed(segmenter, picture)
    together = segmenter.decode(embedding, prompts(*MANY), multimask=multimask, keep=None)
    assert len(together) >= len(MANY)
    assert (np.diff(together.prompt_index) >= 0).all()
    for number, one in enumerate(MANY):
        alone = segmenter.decode(embedding, prompts(one), multimask=multimask, keep=None)
        rows = together.select(together.prompt_index == number)
        assert [mask.tobytes() for mask in rows.masks] == [mask.tobytes() for mask in alone.masks]
        assert rows.logits.tobytes() == alone.logits.tobytes()
        assert rows.predicted_iou.tobytes() == alone.predicted_iou.tobytes()
        assert rows.granularity.tolist() == alone.granularity.tolist()


def test_an_embedding_does_not_depend_on_the_tiles_beside_it(segmenter, picture):
    other = picture[:, ::-1, ::-1]
    batch = segmenter.embed(np.stack([picture, other]), np.stack([valid_of()] * 2))
    for made, one in zip(batch, (picture, other), strict=True):
        alone = embed(segmenter, np.ascontiguousarray(one))
        assert all(np.array_equal(made.arrays[name], array) for name, array in alone.arrays.items())


def test_padding_with_invalid_pixels_changes_no_answer(segmenter, picture):
    hw = (160, 192)
    room = [(0, full - side) for full, side in zip(hw, HW, strict=True)]
    padded, valid = np.pad(picture, [(0, 0), *room]), np.pad(valid_of(), room)
    one = segmenter.decode(embed(segmenter, picture), prompts(*MANY), multimask=True, keep=None)
    other = segmenter.decode(embed(segmenter, padded, valid), prompts(*MANY), multimask=True, keep=None)
    assert one.boxes_xyxy.tolist() == other.boxes_xyxy.tolist()
    assert [mask.tobytes() for mask in one.masks] == [mask.tobytes() for mask in other.masks]


def test_masks_are_confined_to_valid_pixels_and_what_lies_there_is_not_seen(segmenter, picture):
    valid = valid_of()
    valid[40:90, 30:100] = False
    filled = picture.copy()
    filled[:, ~valid] = 77
    masks, same = (
        segmenter.decode(embed(segmenter, shown, valid), prompts(*MANY), multimask=True, keep=None)
        for shown in (picture, filled)
    )
    assert len(masks)
    assert not any((masks.full(row) & ~valid).any() for row in range(len(masks)))
    assert digest(masks) == digest(same)


def test_prompts_on_nothing_give_no_row(segmenter, picture):
    valid = valid_of()
    valid[:, :50] = False
    embedding = embed(segmenter, picture, valid)
    several = prompts([(20, 30, 1)], [(100, 80, 0)], (0, 0, 50, 150), [(100, 80, 1), (20, 30, 1)])
    assert set(segmenter.decode(embedding, several, multimask=True, keep=None).prompt_index) == {3}
    blind = embed(segmenter, picture, ~valid_of())
    assert len(segmenter.decode(blind, several, multimask=True, keep=None)) == 0
    assert len(segmenter.propose(blind, segmenter.spec.keep)) == 0
    assert len(segmenter.decode(embedding, prompts(), multimask=True, keep=None)) == 0


def test_the_next_click_goes_on_from_the_logits_of_the_answer(segmenter, picture):
    embedding = embed(segmenter, picture)
    first = segmenter.decode(embedding, prompts([(20, 30, 1)]), multimask=False, keep=None)
    assert first.logits.shape == (1, 40, 48)
    again = prompts([(20, 30, 1), (100, 100, 0)], logits=[first.logits[0]])
    afresh = prompts([(20, 30, 1), (100, 100, 0)])
    one, other = (segmenter.decode(embedding, given, multimask=False, keep=None) for given in (again, afresh))
    assert one.logits.tobytes() != other.logits.tobytes()


def test_a_rule_keeps_what_is_good_enough(segmenter, picture):
    embedding = embed(segmenter, picture)
    free = segmenter.decode(embedding, prompts(*MANY), multimask=True, keep=None)
    least = float(np.median(free.predicted_iou)), float(np.median(free.stability_score))
    kept = segmenter.decode(embedding, prompts(*MANY), multimask=True, keep=KeepRule(*least, 0.7))
    good = (free.predicted_iou >= least[0]) & (free.stability_score >= least[1])
    assert kept.logits is None
    assert kept.boxes_xyxy.tolist() == free.select(good).boxes_xyxy.tolist()


def test_proposals_are_the_same_every_time_and_from_any_copy(segmenter, picture):
    embedding = embed(segmenter, picture)
    copy = Embedding(dict(embedding.arrays), embedding.input_hw, embedding.fingerprint)
    for array in copy.arrays.values():
        array.flags.writeable = False
    keep = KeepRule(0.0, 0.0, 0.7)
    found = segmenter.propose(embedding, keep)
    segmenter.decode(embedding, prompts(*MANY), multimask=True, keep=None)
    assert len(found)
    assert set(found.prompt_index) == {-1}
    assert found.to_bytes() == segmenter.propose(copy, keep).to_bytes()


def test_another_process_gets_the_same_model(segmenter, picture):
    copy = pickle.loads(pickle.dumps(segmenter))  # noqa: S301 - our own
    assert copy.spec == segmenter.spec
    one, other = (
        each.decode(embed(each, picture), prompts(*MANY), multimask=True, keep=None) for each in (segmenter, copy)
    )
    assert digest(one) == digest(other)


def test_a_model_made_in_memory_says_that_it_cannot_be_loaded_elsewhere():
    made = LiteSegmenter(small_lite(), Compute(), ModelSpec("mine", "mine-1"))
    with pytest.raises(TypeError, match="mine was made in memory"):
        pickle.dumps(made)


def test_folding_the_norms_and_the_layout_change_hardly_anything(picture):
    made = LiteSegmenter(small_lite(), Compute(), ModelSpec("mine", "mine-1"))
    from geosam.segmenters.lite.encoder import normalised

    padded = np.pad(picture, [(0, 0), (0, 10), (0, 22)])
    valid = np.pad(valid_of(), [(0, 10), (0, 22)])
    with torch.inference_mode():
        expected = small_lite().encoder(normalised(torch.from_numpy(padded)[None], torch.from_numpy(valid)[None]))
    arrays = embed(made, picture).arrays
    for name, maps in zip(("4", "8", "16", "dense"), (*expected.features, expected.dense), strict=True):
        assert np.allclose(arrays[name], maps[0], atol=1e-4, rtol=1e-4), name


def test_in_bf16_embeddings_take_half_the_room_and_masks_hardly_differ(picture):
    exact = LiteSegmenter(small_lite(), Compute(), ModelSpec("mine", "mine-1"))
    half = LiteSegmenter(small_lite(), Compute(precision="bf16"), ModelSpec("mine", "mine-2"))
    large, small = (embed(each, picture) for each in (exact, half))
    assert small.arrays["4"].nbytes * 2 == large.arrays["4"].nbytes
    one, other = (
        each.decode(made, prompts(*MANY), multimask=False, keep=None) for each, made in ((exact, large), (half, small))
    )
    assert one.prompt_index.tolist() == other.prompt_index.tolist()
    for row in range(len(one)):
        a, b = one.full(row), other.full(row)
        assert np.count_nonzero(a & b) > 0.8 * np.count_nonzero(a | b)


def test_embeddings_of_another_model_are_not_decoded(segmenter, picture):
    embedding = embed(segmenter, picture)
    strange = Embedding(embedding.arrays, embedding.input_hw, "other-1")
    with pytest.raises(ValueError, match="found an embedding of other-1, expected one of geosam_lite"):
        segmenter.decode(strange, prompts([(20, 30, 1)]), multimask=True, keep=None)


def test_values_that_are_not_finite_are_refused(picture):
    model = small_lite()
    with torch.no_grad():
        model.encoder.lateral[3].norm.bias.fill_(float("inf"))
    broken = LiteSegmenter(model, Compute(), ModelSpec("mine", "mine-1"))
    with pytest.raises(ModelError, match="mine gives values that are not finite: `precision`: found 'fp32'"):
        embed(broken, picture)
