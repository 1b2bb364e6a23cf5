"""Values of this room print in one or two lines, without arrays."""

import numpy as np
import pytest
from scenes import SCENES, picture
from session_cases import clicks, scene_of, session_of

from geosam import Draft, EmbeddingMemory, EmbeddingStore, open_scene
from geosam.geometry.geobox import Window
from geosam.objects.session import Answer
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import Embedding


def embedding(mib):
    return Embedding({"features": np.zeros(mib * 2**20 - 1024, np.uint8)}, (1, 1), "m")


def test_an_answer_prints_its_object_and_says_whether_it_is_complete(wide):
    session = session_of(wide)
    draft = clicks(wide, (100.5, 25.5))
    assert repr(session.answer(draft, "known")).startswith("Answer(not ready, needs Window(")
    first, whole = session.answer(draft, "window"), session.answer(draft)
    area = whole.found.columns["area_m2"]
    assert repr(whole) == f"Answer(FoundObject(Polygon, {area:.6g} m2, score 1.000), complete)"
    assert repr(first).endswith("score 1.000, truncated), preview)")


def test_an_answer_without_an_object_says_so(tmp_path):
    scene = open_scene(SCENES["nodata"](tmp_path))
    assert repr(session_of(scene).answer(clicks(scene, (5.5, 5.5)))) == "Answer(None, complete)"


def test_an_answer_counts_its_warnings_and_an_object_names_its_edges(wide):
    crs = wide.geobox.crs.to_wkt()
    corners = wide.geobox.to_map([(190, 40), (230, 40), (230, 60), (190, 60)])
    text = repr(session_of(wide).answer(Draft(crs).with_box(list(map(tuple, corners)))))
    assert ", touches_edge)" in text
    assert text.endswith(", complete, warnings: 1)")


def test_a_session_prints_its_scene_its_model_and_its_windows(wide):
    session = session_of(wide)
    assert repr(session) == f"Session({wide.path}, threshold, windows in memory: 0)"
    session.answer(clicks(wide, (105.5, 45.5)), "window")
    assert repr(session) == f"Session({wide.path}, threshold, windows in memory: 1)"


def test_a_store_prints_its_folder_and_its_limit(tmp_path):
    assert repr(EmbeddingStore(tmp_path / "a")) == f"EmbeddingStore({tmp_path / 'a'}, limit 20 GiB)"
    small = EmbeddingStore(tmp_path / "b", max_bytes=3 * 2**20)
    assert repr(small) == f"EmbeddingStore({tmp_path / 'b'}, limit 3 MiB)"


def test_a_memory_prints_how_full_it_is():
    memory = EmbeddingMemory(8 * 2**20)
    assert repr(memory) == "EmbeddingMemory(0 embeddings, 0 of 8 MiB)"
    for key in "ab":
        memory.get_or_make(key, lambda: embedding(2))
    assert repr(memory) == "EmbeddingMemory(2 embeddings, 4 of 8 MiB)"


def test_masks_print_their_number_their_window_and_the_range_of_their_scores():
    assert repr(MaskSet.empty((40, 60))) == "MaskSet(0 masks of 60 x 40 px)"
    full = np.zeros((2, 40, 60), bool)
    full[:, 3:9, 4:8] = True
    masks = MaskSet.from_full(full, (40, 60), predicted_iou=[0.25, 0.8125])
    assert repr(masks) == "MaskSet(2 masks of 60 x 40 px, predicted IoU 0.250 to 0.812)"


@pytest.mark.parametrize("count", [1, 400])
def test_large_values_print_as_short_as_small_ones(count, tmp_path):
    scene = scene_of(tmp_path, picture(300, 260))
    session = session_of(scene)
    answer = session.answer(clicks(scene, (20.5, 20.5)))
    masks = MaskSet.from_full(np.ones((count, 8, 8), bool), (8, 8))
    values = [answer, answer.found, answer.found.pixels, session, masks, Answer(False, False, None, Window(0, 0, 1, 1))]
    for value in values:
        assert "\n" not in repr(value)
        assert len(repr(value).replace(str(scene.path), "scene.tif")) <= 160
