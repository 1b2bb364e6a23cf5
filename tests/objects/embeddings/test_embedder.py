"""Tiles of scenes become embeddings: in batches, padded, from a store where it has them."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scenes import SCENES, picture
from store_cases import entries

from geosam.errors import UsageError
from geosam.geometry.geobox import Window
from geosam.objects.embeddings.embedder import TileEmbedder, embed, within
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.scene import open_scene
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import ModelSpec
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


@dataclass(frozen=True)
class Batched(ThresholdSegmenter):
    """Keeps the shapes and valid pixels of its batches."""

    input_size: int | None = None
    batch_size: int = 1
    batches: list = field(default_factory=list)

    @property
    def spec(self):
        return ModelSpec("batched", "batched-1", self.input_size, self.batch_size)

    def embed(self, rgb, valid):
        self.batches.append((rgb.shape, valid.copy()))
        return super().embed(rgb, valid)


@pytest.fixture
def scene(tmp_path):
    return open_scene(SCENES["north_up"](tmp_path, picture(60, 40)))


def windows(count, side=20):
    return [Window(3 * number, 2 * number, side, side) for number in range(count)]


@pytest.mark.parametrize(("count", "size", "batches"), [(5, 2, [2, 2, 1]), (4, 4, [4]), (3, 8, [3]), (0, 2, [])])
def test_tiles_are_embedded_in_batches_of_the_model_s_size(scene, count, size, batches):
    segmenter = Batched(batch_size=size)
    tiles = [scene.read(window) for window in windows(count)]
    made = embed(segmenter, tiles)
    assert [shape[0] for shape, _ in segmenter.batches] == batches
    for tile, embedding in zip(tiles, made, strict=True):
        (alone,) = embed(Batched(), [tile])
        assert {name: array.tobytes() for name, array in embedding.arrays.items()} == {
            name: array.tobytes() for name, array in alone.arrays.items()
        }


def test_a_small_tile_is_padded_with_invalid_pixels_at_the_right_and_the_bottom(scene):
    segmenter = Batched(input_size=32)
    tile = scene.read(Window(0, 0, 20, 12))
    (embedding,) = embed(segmenter, [tile])
    ((shape, valid),) = segmenter.batches
    assert shape == (1, 3, 32, 32)
    np.testing.assert_array_equal(valid[0, :12, :20], tile.valid)
    assert np.count_nonzero(valid) == np.count_nonzero(tile.valid)
    assert embedding.input_hw == (32, 32)


def test_a_tile_that_is_too_large_says_which_tile_size_serves(scene):
    with pytest.raises(UsageError) as refusal:
        embed(Batched(input_size=16), [scene.read(Window(0, 0, 20, 12))])
    error = refusal.value
    assert error.code == "tile-larger-than-input"
    assert error.message.endswith("`tile_size`: found 20 x 12 px, expected at most 16 x 16.")
    assert error.remedy == "Use `tile_size=16`."
    assert error.values == {"tile_width": 20, "tile_height": 12, "input_size": 16}


def test_a_window_without_valid_pixels_has_no_embedding_and_no_entry(tmp_path):
    scene = open_scene(SCENES["nodata"](tmp_path))
    store, segmenter = EmbeddingStore(tmp_path / "store"), Batched()
    empty = next(
        window
        for window in (Window(x, y, 4, 4) for y in range(0, 60, 4) for x in range(0, 80, 4))
        if not scene.read(window).valid.any()
    )
    embedder = TileEmbedder(scene, segmenter, store)
    assert embedder.embed(empty) is None
    assert embedder.prepare(empty).key is None
    assert segmenter.batches == []
    assert entries(store.folder) == []


def test_embeddings_that_the_store_lacks_are_made_and_the_others_come_from_it(scene, tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    first, second = Batched(batch_size=8), Batched(batch_size=8)
    places = windows(5)
    some = TileEmbedder(scene, first, store)
    some.finish([some.prepare(window) for window in (places[1], places[3])])
    every = TileEmbedder(scene, second, store)
    prepared = [every.prepare(window) for window in places]
    assert [item.embedding is not None for item in prepared] == [False, True, False, True, False]
    made = every.finish(prepared)
    assert [shape[0] for shape, _ in second.batches] == [3]
    assert len(entries(store.folder)) == 5
    for window, embedding in zip(places, made, strict=True):
        np.testing.assert_array_equal(
            embedding.arrays["labels"], TileEmbedder(scene, Batched()).embed(window).arrays["labels"]
        )


def test_a_store_serves_only_the_model_and_the_padding_that_filled_it(scene, tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    window = windows(1)[0]
    TileEmbedder(scene, Batched(input_size=32), store).embed(window)
    for segmenter, stored in [(Batched(input_size=32), True), (Batched(input_size=33), False), (Batched(), False)]:
        assert (TileEmbedder(scene, segmenter, store).prepare(window).embedding is not None) == stored


def test_without_a_store_there_are_neither_keys_nor_warnings(scene):
    embedder = TileEmbedder(scene, Batched())
    prepared = embedder.prepare(windows(1)[0])
    assert (prepared.key, prepared.embedding) == (None, None)
    assert embedder.take_warnings() == []


def test_warnings_of_the_store_are_passed_on_once(scene, tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=10)
    embedder = TileEmbedder(scene, Batched(), store)
    embedder.embed(windows(1)[0])
    (warning,) = embedder.take_warnings()
    assert "does not fit" in warning
    assert embedder.take_warnings() == []


def test_masks_of_a_padded_tile_become_masks_of_the_window(scene):
    tile = scene.read(Window(0, 0, 20, 12))
    full = np.zeros((32, 32), bool)
    full[3:12, 5:20] = True
    masks = within(MaskSet.from_full([full], (32, 32)), tile)
    assert masks.shape_hw == (12, 20)
    np.testing.assert_array_equal(masks.full(0), full[:12, :20])
    assert replace(masks, shape_hw=(32, 32)).areas_px.tolist() == masks.areas_px.tolist()
