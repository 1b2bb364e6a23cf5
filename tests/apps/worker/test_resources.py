"""Things that the worker keeps: scenes by id and models by their arguments, the least recently used first to go."""

import pytest
from scenes import picture, write_scene

from geosam.apps.worker import resources
from geosam.apps.worker.resources import LoadedModels, OpenScenes
from geosam.errors import UnknownModel, UnreadableScene, UsageError


@pytest.fixture
def paths(tmp_path):
    return [str(write_scene(tmp_path / f"{n}.tif", picture(20, 20, seed=n), photometric="rgb")) for n in range(4)]


def test_the_same_file_with_the_same_options_is_the_same_scene(paths):
    scenes = OpenScenes()
    first = scenes.open(paths[0], {})
    assert scenes.open(paths[0], {}) == first
    assert scenes.open(paths[0], {"stretch": "none"}) != first
    assert scenes.open(paths[1], {}) != first
    assert len(scenes) == 3
    assert scenes.get(first).path == paths[0]


def test_a_changed_file_is_another_scene(paths, tmp_path):
    scenes = OpenScenes()
    first = scenes.open(paths[0], {})
    write_scene(tmp_path / "0.tif", picture(30, 20, seed=9), photometric="rgb")
    second = scenes.open(paths[0], {})
    assert second != first
    assert scenes.get(second).geobox.width == 30
    with pytest.raises(UnreadableScene):
        scenes.get(first).verify_unchanged()


def test_a_closed_scene_is_unknown_and_its_id_is_never_used_again(paths):
    scenes = OpenScenes()
    first = scenes.open(paths[0], {})
    scenes.close(first)
    scenes.close("never opened")
    with pytest.raises(UsageError) as caught:
        scenes.get(first)
    assert (caught.value.code, caught.value.values) == ("scene-not-open", {"scene": first})
    assert scenes.open(paths[0], {}) != first


def test_of_too_many_scenes_the_one_not_used_for_the_longest_time_is_forgotten(paths, monkeypatch):
    monkeypatch.setattr(resources, "MAX_SCENES", 3)
    scenes = OpenScenes()
    first, second, third = (scenes.open(path, {}) for path in paths[:3])
    scenes.get(first)
    fourth = scenes.open(paths[3], {})
    assert len(scenes) == 3
    for id_ in (first, third, fourth):
        scenes.get(id_)
    with pytest.raises(UsageError, match="no scene has this id"):
        scenes.get(second)


def test_a_model_is_loaded_once_for_the_same_arguments():
    models, states = LoadedModels(), []
    first = models.get({"name": "threshold"}, states.append)
    assert models.get({"name": "threshold"}, states.append) is first
    assert states == ["begun", "ended"]
    assert models.get({"name": "threshold", "device": "cpu"}, states.append) is not first
    assert len(models) == 2
    assert models.holds(first)


def test_of_too_many_models_the_one_not_used_for_the_longest_time_is_given_up(monkeypatch):
    monkeypatch.setattr(resources, "MAX_MODELS", 2)
    models = LoadedModels()
    first = models.get({"name": "threshold"}, lambda _: None)
    second = models.get({"name": "threshold", "device": "cpu"}, lambda _: None)
    models.get({"name": "threshold"}, lambda _: None)
    models.get({"name": "threshold", "backend": "auto"}, lambda _: None)
    assert models.holds(first)
    assert not models.holds(second)


def test_a_model_that_cannot_be_loaded_ends_its_loading():
    models, states = LoadedModels(), []
    with pytest.raises(UnknownModel):
        models.get({"name": "nonsense"}, states.append)
    assert states == ["begun", "ended"]
    assert len(models) == 0
