"""Fine-tuning: what is held out, that decoders learn through the code that answers, and what lies in the output."""

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finetune_cases import (
    DISCS,
    RADIUS,
    SIDE,
    STEP,
    discs,
    discs_picture,
    discs_scene,
    layer,
    lite_weights,
    random_network,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scenes import write_scene

from geosam.errors import CheckpointError, ModelError, OutputExists, PromptError, PromptOutsideScene, UsageError
from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.windows import WindowRule
from geosam.run.jobs import PromptJob
from geosam.scene import open_scene
from geosam.segmenters.compute import Compute
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam.build import VARIANTS, build
from geosam.segmenters.sam.features import Features
from geosam.segmenters.sam.mask_decoder import MaskDecoder, decode, prepare
from geosam.segmenters.sam.model import SamModel
from geosam.segmenters.sam.prompt_encoder import PromptEncoder, PromptTensors
from geosam.training.data.targets import Target
from geosam.training.finetune import METADATA, finetune
from geosam.training.finetune.epochs import Course, Options
from geosam.training.finetune.scores import Figures, figures
from geosam.training.finetune.split import held_out, known_objects, tiles_of
from geosam.training.finetune.trainable_lite import LitePupil
from geosam.training.finetune.trainable_sam import SamPupil, answered
from geosam.training.finetune.training_step import teach
from geosam.vector.polygons import PolygonLayer, read_polygons

WHOLE = Window(0, 0, SIDE, SIDE)


def square(col, row, side=20):
    return Target(Window(col, row, side, side), np.ones((side, side), bool))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def scene(tmp_path):
    with closing(open_scene(discs_scene(tmp_path))) as opened:
        yield opened


@pytest.fixture
def polygons(tmp_path):
    return read_polygons(layer(tmp_path / "discs.gpkg", discs()))


# --- what is held out ---


@pytest.mark.parametrize("seed", range(5))
def test_about_a_quarter_is_held_out_by_whole_blocks(seed):
    places = rng(seed).integers(0, (8000, 5000), (300, 2))
    targets = [square(*place) for place in places.tolist()]
    found = held_out(targets, rng(seed))
    assert 0.2 <= found.mean() <= 0.3
    blocks = [tuple(block) for block in ((places + 10) // 1024).tolist()]
    assert all(len({bool(found[i]) for i in range(300) if blocks[i] == block}) == 1 for block in set(blocks))
    assert np.array_equal(found, held_out(targets, rng(seed)))


def test_another_seed_holds_other_objects_out():
    targets = [square(*place) for place in rng().integers(0, 8000, (200, 2)).tolist()]
    assert not np.array_equal(held_out(targets, rng(1)), held_out(targets, rng(2)))


@pytest.mark.parametrize("gap", [30, 400])
def test_a_small_scene_is_divided_too(gap):
    targets = [square(gap * (k % 3), gap * (k // 3)) for k in range(9)]
    found = held_out(targets, rng())
    assert 1 <= found.sum() <= 4


def test_objects_in_one_place_cannot_be_divided():
    with pytest.raises(PromptError, match="9 polygons lie in one place"):
        held_out([square(5, 5)] * 9, rng())


def test_objects_are_taught_in_tiles_that_show_them_whole():
    grid = TileGrid.over(Window(0, 0, 3000, 2000))
    targets = [square(*place) for place in rng().integers(0, (2980, 1980), (100, 2)).tolist()]
    for target, tiles in zip(targets, tiles_of(targets, grid), strict=True):
        wanted = [number for number, window in enumerate(grid) if window.contains(target.window)]
        assert tiles == wanted != []


def test_an_object_that_no_tile_shows_whole_is_taught_where_its_middle_is():
    grid = TileGrid.over(Window(0, 0, 3000, 1000))
    (tiles,) = tiles_of([square(500, 100, 700)], grid)
    assert [grid.core(tile).col_off <= 850 < grid.core(tile).col_end for tile in tiles] == [True]


def test_all_objects_of_a_layer_are_found(scene, polygons):
    targets = known_objects(scene, polygons, rng())
    assert len(targets) == DISCS
    assert all(abs(target.mask.sum() / (np.pi * RADIUS**2) - 1) < 0.02 for target in targets)


def test_of_very_many_polygons_those_of_some_places_are_taken(scene, polygons, monkeypatch):
    monkeypatch.setattr("geosam.training.finetune.split._MOST_POLYGONS", 8)
    monkeypatch.setattr("geosam.training.finetune.split._BLOCK", STEP * 2)
    targets = known_objects(scene, polygons, rng())
    assert 8 <= len(targets) < DISCS


def test_too_few_polygons_are_refused_with_the_number_wanted(scene, polygons):
    few = polygons.select(np.arange(DISCS) < 7)
    with pytest.raises(PromptError, match="7 in the scene, at least 8 wanted, 40 or more are better") as told:
        known_objects(scene, few, rng())
    assert "discs.gpkg" in str(told.value)


def test_polygons_elsewhere_are_refused(scene, polygons):
    elsewhere = PolygonLayer.of([shape.buffer(0) for shape in discs()], "EPSG:32634")
    with pytest.raises(PromptOutsideScene, match="no polygons in the scene"):
        known_objects(scene, elsewhere, rng())
    with pytest.raises(PromptOutsideScene, match="0 of 0"):
        known_objects(scene, polygons.select(np.zeros(DISCS, bool)), rng())


# --- the SAM family ---


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
@pytest.mark.parametrize("masks", [False, True], ids=["points", "masks"])
@pytest.mark.parametrize("name", ["mobile_sam", "sam2.1_hiera_tiny", "sam_hq_vit_tiny"])
def test_what_learns_is_what_answers(name, masks, multimask):
    config = VARIANTS[name].decoder
    model = random_network(lambda: SamModel(torch.nn.Identity(), PromptEncoder(), MaskDecoder(config)))
    draw = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(*shape, generator=draw)

    side = 16
    fine = (noise(1, 32, 4 * side, 4 * side), noise(1, 64, 2 * side, 2 * side)) if config.high_res else ()
    early = (noise(1, config.early_width, side, side),) if config.early_width else ()
    features = Features(noise(1, 256, side, side), fine, early)
    points = 256 * torch.rand(3, 2, 2, generator=draw)
    labels = torch.tensor([[1, -1], [1, 0], [2, 3]])
    prompts = PromptTensors(points, labels, noise(3, 1, 4 * side, 4 * side) if masks else None)

    def choose(iou, object_logit):
        del object_logit
        columns = torch.arange(4) > 0 if multimask else torch.arange(4) == 0
        return columns.expand(len(iou), -1)

    context = prepare(model.prompt_encoder, model.mask_decoder, features)
    wanted = decode(model.prompt_encoder, model.mask_decoder, context, prompts, choose)
    model.mask_decoder.requires_grad_()
    logits, iou = answered(model, features, prompts, multimask=multimask)
    assert torch.allclose(logits.detach().flatten(0, 1), wanted.logits, rtol=0, atol=1e-5 * wanted.logits.abs().max())
    assert torch.allclose(iou.detach().flatten(), wanted.iou, rtol=1e-5, atol=1e-6)
    (logits.square().mean() + iou.square().mean()).backward()
    untouched = [name for name, p in model.mask_decoder.named_parameters() if p.grad is None]
    other = [f"output_hypernetworks_mlps.{column}." for column in ([0] if multimask else [1, 2, 3])]
    assert all(name.startswith(("pred_obj_score_head.", "conv_s0.", "conv_s1.", *other)) for name in untouched)


@pytest.fixture
def mobile(tmp_path, monkeypatch):
    """A checkpoint of MobileSAM with a shrunken encoder and random weights, under official names."""
    variant = VARIANTS["mobile_sam"]
    small = replace(variant.encoder, widths=(8, 16, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 1))
    monkeypatch.setitem(VARIANTS, "mobile_sam", replace(variant, encoder=small))
    state = random_network(lambda: build(VARIANTS["mobile_sam"])).state_dict()
    for name in [name for name in state if ".mlp.layers." in name and "transformer.layers" in name]:
        official = name.replace("mlp.layers.0", "mlp.lin1").replace("mlp.layers.1", "mlp.lin2")
        state[official] = state.pop(name)
    path = tmp_path / "mobile.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def lessons(pupil, embedding, targets, steps, rate):
    """Losses of the same lesson again and again."""
    optimizer = torch.optim.Adam(pupil.learning.values(), lr=rate)
    losses = []
    for _ in range(steps):
        losses.append(teach(pupil, embedding, WHOLE, targets, rng(3)))
        optimizer.step()
        optimizer.zero_grad()
    return losses


def windows_of(scene, segmenter):
    return PromptJob(TileEmbedder(scene, segmenter), WindowRule(scene.region), ())


def test_the_decoder_of_a_sam_learns_and_its_file_is_a_checkpoint(mobile, scene, polygons, tmp_path, monkeypatch):
    base = load_segmenter(str(mobile), "cpu", "fp32")
    pupil = SamPupil(str(mobile), Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    targets = known_objects(scene, polygons, rng())[:2]
    prompts = PixelPrompts((np.array([[32.0, 32.0]]),), (np.array([1], np.int8),), np.full((1, 4), np.nan), (None,))
    same = [m.decode(embedding, prompts, multimask=True, keep=None) for m in (base, pupil.segmenter())]
    assert np.array_equal(same[0].logits, same[1].logits)

    monkeypatch.setattr("geosam.training.finetune.training_step._CORRECTED", 0)  # so that all lessons are the same
    losses = lessons(pupil, embedding, targets, steps=4, rate=1e-3)
    assert min(losses[-2:]) < 0.8 * losses[0]

    path = tmp_path / "tuned.safetensors"
    pupil.save(path, {"told": "so"})
    before, after = load_file(mobile), load_file(path)
    assert before.keys() == after.keys()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"mask_decoder"}
    tuned = load_segmenter(str(path), "cpu", "fp32")
    (again,) = tuned.embed(*padded(scene))
    answers = tuned.decode(again, prompts, multimask=True, keep=None)
    wanted = pupil.segmenter().decode(embedding, prompts, multimask=True, keep=None)
    assert np.array_equal(answers.logits, wanted.logits)
    assert not np.array_equal(answers.logits, same[0].logits)


def padded(scene):
    tile = scene.read(WHOLE)
    room = ((0, 1024 - SIDE), (0, 1024 - SIDE))
    return np.pad(tile.rgb, ((0, 0), *room))[None], np.pad(tile.valid, room)[None]


def test_embeddings_in_half_precision_are_received_in_full(mobile, scene):
    base = load_segmenter(str(mobile), "cpu", "bf16")
    pupil = SamPupil(str(mobile), Compute(precision="bf16"), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    received = pupil.received(embedding)
    rounded = torch.from_numpy(embedding.arrays["image"].copy()).view(torch.bfloat16)
    assert np.array_equal(received.arrays["image"], rounded.float().numpy())
    assert np.array_equal(received.arrays["valid"], embedding.arrays["valid"])


# --- geosam_lite ---


@pytest.fixture
def lite(tmp_path):
    return lite_weights(tmp_path / "lite.safetensors")


def test_the_decoder_of_geosam_lite_learns_and_nothing_else(lite, scene, polygons, tmp_path, monkeypatch):
    monkeypatch.setattr("geosam.training.finetune.training_step._CORRECTED", 0)  # so that all lessons are the same
    base = load_segmenter(str(lite), "cpu", "fp32")
    pupil = LitePupil(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    targets = known_objects(scene, polygons, rng())[:4]
    losses = lessons(pupil, embedding, targets, steps=12, rate=3e-4)
    assert min(losses) < 0.9 * losses[0]
    path = tmp_path / "tuned.safetensors"
    pupil.save(path, {})
    before, after = load_file(lite), load_file(path)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"decoder"}
    assert not [name for name in changed if "running" in name or "batches" in name]


def test_what_learns_of_geosam_lite_is_what_answers(lite, scene):
    """A box over the whole tile makes both look at all of it."""
    base = load_segmenter(str(lite), "cpu", "fp32")
    pupil = LitePupil(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    box = np.array([[1.0, 1.0, SIDE - 1, SIDE - 1]])
    prompts = PixelPrompts((np.empty((0, 2)),), (np.empty(0, np.int8),), box, (None,))
    (attempt,) = pupil.attempts(embedding, prompts, box, multimask=False)
    answer = base.decode(embedding, prompts, multimask=False, keep=None)
    best = int(attempt.iou.argmax())
    assert attempt.logits.shape == (3, SIDE // 4, SIDE // 4)
    assert np.allclose(attempt.logits[best].detach(), answer.logits[0], rtol=0, atol=1e-4)
    assert float(attempt.iou[best].detach().clamp(0, 1)) == pytest.approx(float(answer.predicted_iou[0]), abs=1e-4)


# --- all of it ---


def scripted(monkeypatch, means, *, lessons=True):
    """Figures come from a list instead of from answers, an exception in it is raised; `lessons` all say the same."""
    script = iter(means)

    def lesson(pupil, *_):
        for parameter in pupil.learning.values():
            parameter.grad = torch.ones_like(parameter)
        return 1.0

    if lessons:
        monkeypatch.setattr("geosam.training.finetune.epochs.teach", lesson)

    def given(_course):
        value = next(script)
        if isinstance(value, BaseException):
            raise value
        return Figures(value, value)

    monkeypatch.setattr(Course, "figures", given)


def test_a_scene_and_its_polygons_give_a_file_that_answers(lite, scene, polygons, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6, 0.7], lessons=False)
    out = tmp_path / "tuned.safetensors"
    steps = []
    tuned = finetune(
        scene,
        polygons,
        str(lite),
        out,
        Options(epochs=2),
        device="cpu",
        precision="fp32",
        cache=tmp_path / "cache",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert (tuned.before, tuned.after, tuned.epochs) == (Figures(0.5, 0.5), Figures(0.7, 0.7), 2)
    assert tuned.polygons + tuned.held_out == DISCS
    assert steps == [(number, 3) for number in range(1, 4)]
    with safe_open(out, "pt") as file:
        facts = json.loads(json.loads(file.metadata()["geosam"])[METADATA])
    assert facts["before"] == tuned.before._asdict()
    assert facts["after"] == tuned.after._asdict()
    assert (facts["scene"], facts["model"]) == ("scene.tif", "geosam_lite/lite")
    before, after = load_file(lite), load_file(out)
    assert {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"decoder"}
    loaded = load_segmenter(str(out), "cpu", "fp32")
    monkeypatch.undo()
    found = figures(windows_of(scene, loaded), WindowRule(scene.region), known_objects(scene, polygons, rng())[:2])
    assert 0 <= found.mean <= 1
    assert {path.name for path in tmp_path.iterdir()} == {
        *("scene.tif", "discs.gpkg", "lite.safetensors"),
        *("tuned.safetensors", "cache"),
    }


def test_figures_are_the_ious_of_the_answers(tmp_path, polygons):
    flat = np.repeat(discs_picture()[:1] > 150, 3, axis=0).astype(np.uint8) * 200
    with closing(open_scene(write_scene(tmp_path / "flat.tif", flat, photometric="rgb"))) as scene:
        targets = known_objects(scene, polygons, rng())[:3]
        windows = windows_of(scene, load_segmenter("threshold"))
        assert figures(windows, windows.rule, targets) == pytest.approx((1, 1), abs=0.03)
        halves = [square(target.window.col_off, target.window.row_off, 2 * RADIUS) for target in targets]
        for half, target in zip(halves, targets, strict=True):
            half.mask[:] = target.mask
            half.mask[RADIUS:] = False
        assert figures(windows, windows.rule, halves).click == pytest.approx(0.5, abs=0.03)


def test_where_nothing_is_gained_nothing_is_written(lite, scene, polygons, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5] * 40)
    out = tmp_path / "tuned.safetensors"
    out.write_bytes(b"former")
    told = "nothing better found in 6 epochs, so nothing was written"
    with pytest.raises(ModelError, match=told) as error:
        finetune(scene, polygons, str(lite), out, Options(overwrite=True), device="cpu")
    assert error.value.exit_code == 5
    assert out.read_bytes() == b"former"


def test_the_best_state_is_kept_and_learning_stops_when_nothing_is_gained(lite, scene, polygons, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6, 0.7, *[0.65] * 40])
    out = tmp_path / "tuned.safetensors"
    tuned = finetune(scene, polygons, str(lite), out, Options(), device="cpu")
    assert (tuned.after.mean, tuned.epochs) == (0.7, 8)
    scripted(monkeypatch, [0.5, 0.6, 0.7])
    finetune(scene, polygons, str(lite), tmp_path / "short.safetensors", Options(epochs=2), device="cpu")
    best, short = load_file(out), load_file(tmp_path / "short.safetensors")
    assert all(torch.equal(best[name], short[name]) for name in best)


def test_a_stopped_run_leaves_the_best_so_far(lite, scene, polygons, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6, KeyboardInterrupt()])
    out = tmp_path / "tuned.safetensors"
    with pytest.raises(KeyboardInterrupt):
        finetune(scene, polygons, str(lite), out, Options(), device="cpu")
    assert load_segmenter(str(out), "cpu").spec.name == "geosam_lite/tuned"


def test_time_ends_learning(lite, scene, polygons, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6])
    tuned = finetune(scene, polygons, str(lite), tmp_path / "t.safetensors", Options(minutes=1e-6), device="cpu")
    assert tuned.epochs == 1


@pytest.mark.parametrize(
    "case",
    [
        ("{lite}", "tuned.pth", UsageError, "'.pth' found, '.safetensors' wanted"),
        ("{lite}", "taken.safetensors", OutputExists, "--overwrite"),
        ("{lite}", "lite.safetensors", UsageError, "same file as --model"),
        ("{lite}", "nowhere/tuned.safetensors", Exception, "folder"),
        ("regions", "tuned.safetensors", UsageError, "a network wanted"),
        ("missing.safetensors", "tuned.safetensors", CheckpointError, "missing.safetensors"),
    ],
)
def test_what_cannot_be_done_is_refused_first(case, lite, scene, polygons, tmp_path):
    model, out, error, told = case
    (tmp_path / "taken.safetensors").write_bytes(b"former")
    before = {path.name for path in Path(tmp_path).iterdir()}
    with pytest.raises(error, match=re.escape(told)):
        finetune(scene, polygons, model.format(lite=lite), tmp_path / out, Options(), device="cpu")
    assert {path.name for path in Path(tmp_path).iterdir()} == before
    assert (tmp_path / "taken.safetensors").read_bytes() == b"former"
