"""The whole run: from a scene and its polygons to a file that answers."""

import json
import re
from pathlib import Path

import pytest
import torch
from finetune_cases import DISCS, rng, script_gradients, script_scores, windows_of
from safetensors import safe_open
from safetensors.torch import load_file

from geosam.errors import CheckpointError, ExportError, GeosamError, ModelError, OutputExists, UsageError
from geosam.objects.windows import WindowRule
from geosam.segmenters.registry import load_segmenter
from geosam.training.finetune import METADATA, FineTuneOptions, FineTuneResult, finetune
from geosam.training.finetune.scores import Scores, scores
from geosam.training.finetune.split import objects_in_scene
from geosam.training.finetune.training_loop import TrainingLoop


def test_a_scene_and_its_polygons_give_a_file_that_answers(lite, scene, polygons, tmp_path, monkeypatch):
    script_scores(monkeypatch, [0.5, 0.6, 0.7])
    out = tmp_path / "tuned.safetensors"
    steps = []
    tuned = finetune(
        scene,
        polygons,
        str(lite),
        out,
        FineTuneOptions(epochs=2),
        device="cpu",
        precision="fp32",
        cache=tmp_path / "cache",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert (tuned.before, tuned.after, tuned.epochs) == (Scores(0.5, 0.5), Scores(0.7, 0.7), 2)
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
    found = scores(windows_of(scene, loaded), WindowRule(scene.region), objects_in_scene(scene, polygons, rng())[:2])
    assert 0 <= found.mean <= 1
    assert {path.name for path in tmp_path.iterdir()} == {
        *("scene.tif", "discs.gpkg", "lite.safetensors"),
        *("tuned.safetensors", "cache"),
    }


def test_where_nothing_is_gained_nothing_is_written(lite, scene, polygons, tmp_path, monkeypatch):
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5] * 40)
    out = tmp_path / "tuned.safetensors"
    out.write_bytes(b"former")
    words = "found no better scores than .* in 6 epochs, so nothing was written"
    with pytest.raises(ModelError, match=words) as error:
        finetune(scene, polygons, str(lite), out, FineTuneOptions(overwrite=True), device="cpu")
    assert error.value.exit_code == 5
    assert out.read_bytes() == b"former"


def test_the_best_state_is_kept_and_training_stops_when_nothing_is_gained(lite, scene, polygons, tmp_path, monkeypatch):
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5, 0.6, 0.7, *[0.65] * 40])
    out = tmp_path / "tuned.safetensors"
    tuned = finetune(scene, polygons, str(lite), out, FineTuneOptions(), device="cpu")
    assert (tuned.after.mean, tuned.epochs) == (0.7, 8)
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5, 0.6, 0.7])
    finetune(scene, polygons, str(lite), tmp_path / "short.safetensors", FineTuneOptions(epochs=2), device="cpu")
    best, short = load_file(out), load_file(tmp_path / "short.safetensors")
    assert all(torch.equal(best[name], short[name]) for name in best)


def test_a_stopped_run_leaves_the_best_so_far(lite, scene, polygons, tmp_path, monkeypatch):
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5, 0.6, KeyboardInterrupt()])
    out = tmp_path / "tuned.safetensors"
    with pytest.raises(KeyboardInterrupt):
        finetune(scene, polygons, str(lite), out, FineTuneOptions(), device="cpu")
    assert load_segmenter(str(out), "cpu").spec.name == "geosam_lite/tuned"


def test_time_ends_the_training(lite, scene, polygons, tmp_path, monkeypatch):
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5, 0.6])
    tuned = finetune(
        scene, polygons, str(lite), tmp_path / "t.safetensors", FineTuneOptions(minutes=1e-6), device="cpu"
    )
    assert tuned.epochs == 1


@pytest.mark.parametrize(
    "case",
    [
        ("{lite}", "tuned.pth", UsageError, "found '.pth', expected '.safetensors'"),
        ("{lite}", "taken.safetensors", OutputExists, "`overwrite=True`"),
        ("{lite}", "lite.safetensors", UsageError, "found the same file as"),
        ("{lite}", "nowhere/tuned.safetensors", ExportError, "found no folder"),
        ("regions", "tuned.safetensors", UsageError, "expected a network"),
        ("missing.safetensors", "tuned.safetensors", CheckpointError, "missing.safetensors"),
    ],
)
def test_what_cannot_be_done_is_refused_first(case, lite, scene, polygons, tmp_path):
    model, out, error, words = case
    (tmp_path / "taken.safetensors").write_bytes(b"former")
    before = {path.name for path in Path(tmp_path).iterdir()}
    with pytest.raises(error, match=re.escape(words)):
        finetune(scene, polygons, model.format(lite=lite), tmp_path / out, FineTuneOptions(), device="cpu")
    assert {path.name for path in Path(tmp_path).iterdir()} == before
    assert (tmp_path / "taken.safetensors").read_bytes() == b"former"


@pytest.mark.parametrize(
    "case",
    [
        ("{lite}", "tuned.pth", "weights-extension", {"extension": ".pth", "expected": ".safetensors"}),
        ("{lite}", "lite.safetensors", "output-is-input", {}),
        ("{lite}", "nowhere/tuned.safetensors", "output-folder-missing", {}),
        ("regions", "tuned.safetensors", "model-not-trainable", {"model": "regions"}),
    ],
)
def test_a_refusal_has_a_code_and_its_values(case, lite, scene, polygons, tmp_path):
    model, out, code, values = case
    with pytest.raises(GeosamError) as refused:
        finetune(scene, polygons, model.format(lite=lite), tmp_path / out, FineTuneOptions(), device="cpu")
    assert refused.value.code == code
    assert values.items() <= refused.value.values.items()
    assert refused.value.remedy
    assert "--" not in str(refused.value)


def test_a_run_without_a_gain_says_what_was_tried(lite, scene, polygons, tmp_path, monkeypatch):
    script_gradients(monkeypatch)
    script_scores(monkeypatch, [0.5] * 3)
    out = tmp_path / "tuned.safetensors"
    with pytest.raises(ModelError) as refused:
        finetune(scene, polygons, str(lite), out, FineTuneOptions(epochs=2), device="cpu")
    held_out = refused.value.values.pop("held_out")
    assert refused.value.code == "no-gain"
    assert refused.value.values == {"model": str(lite), "out": str(out), "epochs": 2}
    assert 1 <= held_out < DISCS
    assert not out.exists()


def test_a_result_is_plain_values():
    scores_of = [Scores(0.1, 0.2), Scores(0.3, 0.4)]
    result = FineTuneResult("geosam_lite", "scene.tif", 12, 4, *scores_of, 3, 1.5, 7)
    assert json.loads(json.dumps(result.to_json())) == {
        "model": "geosam_lite",
        "scene": "scene.tif",
        "polygons": 12,
        "held_out": 4,
        "before": {"click": 0.1, "box": 0.2},
        "after": {"click": 0.3, "box": 0.4},
        "epochs": 3,
        "seconds": 1.5,
        "seed": 7,
    }


def test_the_seed_chooses_the_held_out_polygons_and_the_same_call_gives_the_same_file(
    lite, scene, polygons, tmp_path, monkeypatch
):
    held_out, files = [], []
    monkeypatch.setattr(TrainingLoop, "evaluate", lambda loop: held_out.append(loop.held_out_objects) or rising())
    for number, seed in enumerate((1, 1, 2)):
        rising = iter([Scores(0.1, 0.1), Scores(0.2, 0.2)]).__next__
        out = tmp_path / f"{number}.safetensors"
        finetune(scene, polygons, str(lite), out, FineTuneOptions(epochs=1, seed=seed), device="cpu", precision="fp32")
        files.append(load_file(out))
    windows = [sorted(target.window for target in some) for some in held_out[::2]]
    assert windows[0] == windows[1] != windows[2]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    assert not all(torch.equal(files[0][name], files[2][name]) for name in files[0])
