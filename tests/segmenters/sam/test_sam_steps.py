"""Replay of prompts given in steps, against the authors' predictor talked to in the same way."""

import numpy as np
import pytest
import references
import torch
from segment_anything import SamPredictor

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.objects.growth import segment_prompted
from geosam.objects.steps import WindowView, refine
from geosam.objects.windows import WindowRule
from geosam.prompts.prompt import ScenePrompt, Steps
from geosam.segmenters.registry import load_segmenter

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")
WINDOW = Window(0, 0, 1024, 1024)
#: Index coordinates, as the authors take them.
POINTS = np.array([(400.0, 300.0), (700.0, 500.0), (200.0, 600.0)])
LABELS = np.array([1, 1, 0], np.int8)
BOX = np.array([100.0, 150.0, 620.0, 700.0])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(the authors' predictor with a picture set, what our segmenter sees of it) with the same random weights."""
    rng = np.random.default_rng(3)
    blocks = np.kron(rng.integers(0, 256, (3, 8, 8)), np.ones((1, 128, 128)))
    picture = np.clip(blocks + rng.normal(0, 12, blocks.shape), 0, 255).astype(np.uint8)
    model = references.mobile_sam()
    official = SamPredictor(model)
    with torch.inference_mode():
        official.set_image(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    path = references.save(model, tmp_path_factory.mktemp("weights") / "random.pth", None)
    segmenter = load_segmenter(str(path), "cpu", "fp32", "torch")
    (embedding,) = segmenter.embed(picture[None], np.ones((1, *WINDOW.shape_hw), bool))
    return official, WindowView(segmenter, embedding, WINDOW)


def conversation(official, box_step):
    """(mask, predicted IoU) after each click: the best of three for a lone click, then one from the last logits."""
    low, shown = None, []
    for number in range(1, 4):
        box = BOX if box_step is not None and box_step < number else None
        with torch.inference_mode():
            masks, scores, logits = official.predict(
                POINTS[:number], LABELS[:number], box, low, multimask_output=number == 1 and box is None
            )
        best = int(np.argmax(scores))
        low = logits[best : best + 1]
        shown.append((masks[best], scores[best]))
    return shown


@pytest.mark.parametrize("box_step", [None, 0, 1, 2])
def test_each_step_shows_what_the_authors_predictor_shows_and_replay_ends_there(pair, box_step):
    official, view = pair
    box = None if box_step is None else tuple((BOX + 0.5).tolist())
    bounds, steps = (100.0, 100.0, 900.0, 900.0), Steps(np.arange(3), box_step or 0)
    prompt = ScenePrompt(0, POINTS + 0.5, LABELS, box, None, "auto", bounds, steps)
    answer = None
    for given, (mask, score) in zip(prompt.history(), conversation(official, box_step), strict=True):
        (answer,) = refine(view, [given], [answer])
        assert np.count_nonzero(answer.full(0) != mask) <= 1e-4 * np.count_nonzero(mask)
        assert answer.predicted_iou[0] == pytest.approx(score, abs=1e-5)

    class Embedder:
        segmenter = view.segmenter

        def __call__(self, _):
            return view.embedding

    (found,) = segment_prompted(Embedder(), [prompt], WINDOW, WindowRule(WINDOW))
    assert (corners.mask_of(found.corners, WINDOW) == answer.full(0)).all()
