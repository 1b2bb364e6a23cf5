"""`geosam finetune`."""

import pytest
import shapely
from finetune_cases import DISCS, discs, discs_scene, layer, lite_weights

from geosam.training.finetune.scores import Scores
from geosam.training.finetune.training_loop import TrainingLoop


@pytest.fixture
def scene(tmp_path):
    return discs_scene(tmp_path)


@pytest.fixture
def polygons(tmp_path):
    return layer(tmp_path / "discs.gpkg", discs())


@pytest.fixture
def given(scene, polygons, tmp_path):
    """The arguments of a call that works."""
    model = lite_weights(tmp_path / "lite.safetensors")
    return ["finetune", scene, polygons, "-o", "tuned.safetensors", "--model", model, "--device", "cpu"]


def scripted(monkeypatch, means):
    """Scores come from a list; an exception in it is raised."""
    script = iter(means)

    def scripted_scores(_loop):
        value = next(script)
        if isinstance(value, BaseException):
            raise value
        return Scores(value, value)

    monkeypatch.setattr(TrainingLoop, "evaluate", scripted_scores)


def test_the_figures_are_printed_and_the_result_is_a_model(given, scene, tmp_path, geosam, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6])
    done = geosam(*given, "--epochs", "1", "--layer", "discs")
    assert done.code == 0, done.err
    title, click, box, last = done.out.splitlines()
    assert title.split() == ["held-out", "IoU", "before", "after"]
    assert click.split() == ["one", "click", "0.500", "0.600"]
    assert box.split() == ["box", "0.500", "0.600"]
    assert last.startswith("tuned.safetensors: geosam_lite/lite tuned on ")
    assert "epoch 1: one click " in done.err
    point = f"{5e5 + 16},{5e6 - 16}"
    used = geosam("segment", scene, "-o", "out.gpkg", "--model", "tuned.safetensors", "--point", point)
    assert used.code == 0, used.err
    scripted(monkeypatch, [0.5, 0.6])
    told = geosam(*given, "--epochs", "1", "--json", "--overwrite", "--seed", "3").json
    assert told["polygons"] + told["held_out"] == DISCS
    assert told["after"].keys() == {"click", "box"}
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"lite.safetensors", "tuned.safetensors"}


def test_an_interrupted_run_keeps_the_best_so_far(given, tmp_path, geosam, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6, KeyboardInterrupt()])
    done = geosam(*given)
    assert done.code != 0
    assert "the best so far and written" in done.err
    assert (tmp_path / "tuned.safetensors").exists()


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"-o": "tuned.pth"}, 2, "expected '.safetensors'"),
        ({"-o": "lite.safetensors", "more": ["--overwrite"]}, 2, "found the same file as"),
        ({"-o": "taken.safetensors"}, 6, "taken.safetensors"),
        ({"--model": "threshold"}, 2, "cannot be fine-tuned"),
        ({"--model": "gone.safetensors"}, 5, "gone.safetensors"),
        ({"more": ["--layer", "trees"]}, 4, "trees"),
        ({"more": ["--epochs", "0"]}, 2, "--epochs"),
        ({"more": ["--minutes", "0"]}, 2, "--minutes"),
        ({"scene": "gone.tif"}, 3, "gone.tif"),
        ({"polygons": "gone.gpkg"}, 4, "gone.gpkg"),
        ({"polygons": "points.gpkg"}, 4, "points.gpkg"),
        ({"polygons": "few.gpkg"}, 4, "found 3 in the scene, expected at least 8"),
        ({"polygons": "elsewhere.gpkg"}, 4, "no polygons in the scene"),
    ],
    ids=str,
)
def test_errors_are_one_sentence_with_an_exit_code(changed, code, told, given, geosam):
    tmp_path = given[2].parent
    (tmp_path / "taken.safetensors").write_bytes(b"former")
    layer(tmp_path / "points.gpkg", [shape.centroid for shape in discs()])
    layer(tmp_path / "few.gpkg", discs(3))
    layer(tmp_path / "elsewhere.gpkg", [shapely.affinity.translate(shape, 5000) for shape in discs()])
    args = list(given)
    for name, value in changed.items():
        if name in ("scene", "polygons"):
            args[1 if name == "scene" else 2] = tmp_path / value
        elif name == "more":
            args += value
        else:
            args[args.index(name) + 1] = value
    before = sorted(path.name for path in tmp_path.iterdir())
    done = geosam(*args)
    assert (done.code, done.out) == (code, "")
    assert told in done.error()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "taken.safetensors").read_bytes() == b"former"
