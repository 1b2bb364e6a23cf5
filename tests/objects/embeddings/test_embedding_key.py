"""Keys of embeddings: one for each picture and model."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import SCENES
from store_cases import embedding, same

from geosam.objects.embeddings.key import EmbeddingKey
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.scene import open_scene
from geosam.scene.recipe import Recipe


@pytest.fixture(scope="module")
def real_key(tmp_path_factory):
    scene = open_scene(SCENES["nodata"](tmp_path_factory.mktemp("key")), resolution=0.7)
    return EmbeddingKey.of(scene, scene.read(scene.region), "model-1", 1024)


OTHERS = {
    "source": st.text(),
    "grid": st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 8),
    "crs": st.text(),
    "bands": st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    "level": st.tuples(st.none() | st.integers(0, 9), st.booleans(), st.booleans(), st.booleans()),
    "resampling": st.just(()) | st.tuples(*[st.tuples(st.floats(0.01, 100), st.integers(1, 10**6))] * 2),
    "stretch": st.tuples(*[st.tuples(*[st.floats(-1e4, 1e4)] * 3)] * 2),
    "mask_rule": st.text(),
    "pixels": st.text(),
    "padded_to": st.none() | st.integers(1, 4096),
    "model": st.text(),
    "format": st.integers(),
}


def test_every_field_of_a_key_is_known_here():
    names = [field.name for kind in (EmbeddingKey, Recipe) for field in dataclasses.fields(kind)]
    assert sorted([*OTHERS, "recipe"]) == sorted(names)


def changed_in(key, name, value):
    if hasattr(key.recipe, name):
        return dataclasses.replace(key, recipe=dataclasses.replace(key.recipe, **{name: value}))
    return dataclasses.replace(key, **{name: value})


def test_a_key_keeps_its_digest_as_long_as_the_format_stays():
    recipe = Recipe(
        source="content",
        grid=(8, 6, 0.5, 0.0, 500000.0, 0.0, -0.5, 5000000.0),
        crs="EPSG:32633",
        bands=(1, 2, 3),
        level=(None, False, False, True),
        resampling=((1.5, 90), (1.5, 70)),
        stretch=((0.0, 1.0, 2.0), (255.0, 254.0, 253.0)),
        mask_rule="[[0.0, null, null], null, [], null]",
    )
    key = EmbeddingKey(recipe, pixels="pixels", padded_to=1024, model="model-1")
    assert key.digest == "281418b8f914903cd02a78276ae8a45c5ad42e9f4bf2a24dcef19559dae38d1a"


@pytest.mark.fault("C24")
@given(st.sampled_from(sorted(OTHERS)).flatmap(lambda name: st.tuples(st.just(name), OTHERS[name])))
def test_any_single_changed_field_is_a_miss(tmp_path_factory, real_key, change):
    name, value = change
    changed = changed_in(real_key, name, value)
    store = EmbeddingStore(tmp_path_factory.getbasetemp() / "keys")
    store.put(real_key.digest, embedding(1))
    if changed == real_key:
        assert changed.digest == real_key.digest
    else:
        assert store.get(changed.digest) is None
    assert same(store.get(real_key.digest), embedding(1))


OPENED = {
    "again": ({}, True),
    "stretch": ({"stretch": "0,200"}, False),
    "bands": ({"bands": (3, 2, 1)}, False),
    "one band": ({"bands": (1,)}, False),
    "resolution": ({"resolution": 0.7}, False),
    "the same stretch in other words": ({"stretch": "none"}, True),
    "window": ({"window": (500_000, 4_999_970, 500_030, 5_000_000)}, True),
}


@pytest.mark.fault("C24")
@pytest.mark.parametrize("case", OPENED)
def test_the_key_follows_what_is_read(tmp_path, case):
    options, equal = OPENED[case]
    path = SCENES["nodata"](tmp_path)

    def made(**opening):
        scene = open_scene(path, **opening)
        tile = scene.read(dataclasses.replace(scene.geobox.window, width=20, height=20))
        return EmbeddingKey.of(scene, tile, "model-1", None).digest

    assert (made() == made(**options)) == equal


@pytest.mark.fault("C24")
@pytest.mark.parametrize("kind", ["north_up", "nodata", "alpha", "mask_band", "south_up", "rotated", "single_band"])
def test_kinds_of_scenes_have_keys_of_their_own_and_windows_too(tmp_path, kind):
    keys = set()
    for name in {kind, "north_up"}:
        folder = tmp_path / name
        folder.mkdir()
        scene = open_scene(SCENES[name](folder))
        for col in (0, 1):
            tile = scene.read(dataclasses.replace(scene.region, col_off=col, width=30, height=30))
            keys.add(EmbeddingKey.of(scene, tile, "model-1", None).digest)
    assert len(keys) == 2 * len({kind, "north_up"})
