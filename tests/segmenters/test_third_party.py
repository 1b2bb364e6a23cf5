"""Models of other packages: found by entry points, in every process, and broken ones harm nobody."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import dummy_family
import numpy as np
import pyogrio
import pytest
import torch
from safetensors.torch import save_file
from scenes import write_scene

import geosam
from geosam.errors import CheckpointMismatch, ModelError, UnknownModel
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter, registry
from geosam.segmenters.segmenter import Classifies, Prompted, Proposes
from geosam.segmenters.third_party import third_party

#: (x, y, width, height) of bright areas on black ground; the first three cross borders of tiles of 32 pixels.
AREAS = ((4, 3, 50, 10), (30, 20, 8, 40), (60, 30, 25, 30), (2, 50, 9, 9))
BROKEN = "import a_module_that_nobody_has\n"
NO_FAMILY = "FAMILY = 3\n"
FAILING = dummy_family.FAMILY.replace(
    "    from bright_areas.segmenter import BrightSegmenter\n\n    return BrightSegmenter()",
    "    raise KeyError('no licence file')",
)


@pytest.fixture
def scene_path(tmp_path):
    picture = np.zeros((3, 70, 90), np.uint8)
    for x, y, width, height in AREAS:
        picture[:, y : y + height, x : x + width] = 200
    return write_scene(tmp_path / "scene.tif", picture, photometric="rgb")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder on the path of this process, in which packages can be installed."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    third_party.cache_clear()
    yield folder
    third_party.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in ("bright_areas", "other_areas")]:
        del sys.modules[name]


def installed(site, *args, **kwargs):
    dummy_family.install(site, *args, **kwargs)
    importlib.invalidate_caches()
    third_party.cache_clear()


def command(site, *args):
    """A call of the command in a process of its own that has the packages in `site`."""
    path = os.pathsep.join([str(site), str(Path(geosam.__file__).parents[1])])
    return subprocess.run(
        [sys.executable, "-m", "geosam", *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=300,
    )


def bounds(path):
    """(x, y, width, height) of the polygons of a file in scene pixels, sorted."""
    x0, y0, x1, y1 = pyogrio.read_dataframe(path).geometry.bounds.to_numpy().T
    pixels = np.stack([x0 - 500_000, 5_000_000 - y1, x1 - x0, y1 - y0], axis=1) / 0.5
    return sorted(tuple(row) for row in pixels.round().astype(int).tolist())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_of_another_package_segments_a_scene_from_the_command_line_and_in_worker_processes(
    site, scene_path, tmp_path, workers
):
    installed(site)
    out = tmp_path / "out.gpkg"
    size = ("--tile-size", 32, "--overlap", 8, "--workers", workers)
    done = command(site, "segment", scene_path, "--model", "bright", "-o", out, *size)
    assert done.returncode == 0, done.stderr
    assert bounds(out) == sorted(AREAS)


def test_a_model_of_another_package_is_listed_after_geosams_own(site):
    installed(site)
    first, *_, last = registry
    assert (first, last) == ("geosam_lite", "bright")
    assert len(registry) == len(list(registry))
    info = registry["bright"]
    assert (info.description, info.devices, info.licence) == ("bright areas", ("cpu",), "MIT")
    assert info.classes == {1: "roof"}
    done = command(site, "models", "--json")
    (last,) = [model for model in json.loads(done.stdout)["models"] if model["name"] == "bright"]
    assert last == {
        "name": "bright",
        "description": "bright areas",
        "devices": ["cpu"],
        "licence": "MIT",
        "checkpoint": None,
    }
    assert done.stderr == ""


def test_a_model_of_another_package_proposes_and_classifies_and_takes_no_prompts(site, scene_path, tmp_path):
    installed(site)
    segmenter = load_segmenter("bright")
    assert isinstance(segmenter, Proposes)
    assert isinstance(segmenter, Classifies)
    assert segmenter.classes == {1: "roof"}
    assert not isinstance(segmenter, Prompted)
    prompted = ("segment", scene_path, "--point", "500010,4999990", "-o", tmp_path / "out.gpkg")
    done = command(site, *prompted, "--model", "bright")
    assert done.returncode == 2
    assert "the model bright takes no prompts." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_another_package_is_recognised_by_its_metadata(site, tmp_path, scene_path):
    installed(site)
    path = tmp_path / "level.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"bright level": "150"})
    segmenter = load_segmenter(str(path))
    assert segmenter.level == 150
    summary = segment_scene(
        open_scene(scene_path), segmenter, tmp_path / "out.gpkg", RunOptions(tile_size=32, overlap=8)
    )
    assert summary.count == len(AREAS)


def test_a_file_that_no_family_recognises_is_refused_with_the_models_there_are(site, tmp_path):
    installed(site)
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(
        CheckpointMismatch, match=r"found an unknown network, expected one of geosam_lite, .*, bright\."
    ) as refused:
        load_segmenter(str(path))
    assert refused.value.code == "checkpoint-of-unknown-network"


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (BROKEN, "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        (NO_FAMILY, "TypeError: found int, expected a Family"),
    ],
    ids=["import fails", "no family"],
)
def test_a_broken_package_is_a_warning_in_the_list_and_a_sentence_when_its_model_is_asked_for(site, family, reason):
    installed(site, family=family)
    sentence = f"the models of 'bright' cannot be used: package bright-areas: {reason}."
    assert registry.warnings == (sentence,)
    assert "bright" not in registry
    for name in ("bright", "bright_large"):
        with pytest.raises(ModelError, match="Reinstall or update the package") as broken:
            load_segmenter(name)
        assert broken.value.message == sentence
        assert broken.value.code == "model-package-broken"
    with pytest.raises(UnknownModel):
        load_segmenter("sam9")
    assert load_segmenter("threshold").spec.name == "threshold"


def test_a_broken_package_does_not_keep_the_command_from_listing_the_others(site):
    installed(site, family=BROKEN)
    done = command(site, "models")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the models of 'bright' cannot be used: package bright-areas: ")
    assert done.stdout.startswith("geosam_lite ")
    assert "Traceback" not in done.stderr


def test_a_package_whose_loader_fails_is_reported_in_one_sentence(site):
    installed(site, family=FAILING)
    with pytest.raises(ModelError, match=r"bright cannot be loaded: KeyError: 'no licence file'\. ") as failed:
        load_segmenter("bright")
    assert failed.value.exit_code == 5


def test_a_package_that_returns_no_segmenter_is_reported_in_one_sentence(site):
    installed(site, family=FAILING.replace("raise KeyError('no licence file')", "return 3"))
    with pytest.raises(ModelError, match=r"cannot be loaded: found int, expected a segmenter"):
        load_segmenter("bright")


def test_a_package_cannot_take_the_name_of_one_of_geosams_models(site):
    installed(site, family=dummy_family.FAMILY.replace('models={"bright"', 'models={"threshold"'))
    assert load_segmenter("threshold").spec.fingerprint == "threshold-1"
    (warning,) = registry.warnings
    assert warning.startswith("the model threshold of the family bright cannot be used: another family")


def test_of_two_packages_with_a_model_of_one_name_the_first_entry_point_wins(site):
    installed(site)
    other = dummy_family.FAMILY.replace("bright_areas", "other_areas").replace('"bright areas"', '"other areas"')
    installed(site, "other_areas", "a_second = other_areas.family:FAMILY", other)
    assert registry["bright"].description == "other areas"
    assert len(registry.warnings) == 1


def test_models_of_geosam_are_loaded_without_a_look_at_other_packages(site):
    installed(site, family="import sys; sys.exit('imported')\n")
    for name in ("regions", "threshold"):
        assert load_segmenter(name).spec.name == name
    assert third_party.cache_info().currsize == 0
