"""The network of benchmarks/training: what is measured is what has learnt."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import randomise
from references import contrasting

from geosam.segmenters.compute import choose
from geosam.segmenters.lite.prompt_maps import Prompts
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.sam.model import normalised

FOLDER = Path(__file__).parents[3] / "benchmarks" / "training"
#: Points, their labels, box, whether an answer came before, and how many masks answer.
PROMPTS = {
    "a click": ([(50, 81)], [1], None, False, 3),
    "a box": ([], [], (40, 60, 130, 90), False, 1),
    "two clicks": ([(200, 30), (120, 90)], [1, 0], None, False, 1),
    "a correction": ([(200, 30), (120, 90)], [1, 0], None, True, 1),
}

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")


@pytest.fixture
def scripts(monkeypatch):
    """The modules that train and that measure."""
    monkeypatch.syspath_prepend(FOLDER)
    return [importlib.import_module(name) for name in ("reference", "reference_quality")]


@pytest.mark.parametrize("name", PROMPTS)
def test_the_reference_answers_when_it_is_measured_as_it_does_while_it_learns(scripts, tmp_path, name):
    reference, reference_quality = scripts
    model = contrasting(randomise(reference.Reference(), 4))
    torch.save(model.state_dict(), tmp_path / "reference.pt")
    segmenter = reference_quality.segmenter(tmp_path / "reference.pt", choose("cpu", "fp32"))
    rng, side = np.random.default_rng(5), reference.SIZE
    rgb, valid = rng.integers(0, 256, (1, 3, side, side), np.uint8), np.ones((1, side, side), bool)
    former = rng.normal(0, 5, (side // 4, side // 4)).astype(np.float32)
    points, labels, box, corrects, count = PROMPTS[name]

    image = model.encode(normalised(torch.from_numpy(rgb), torch.from_numpy(valid), torch.float32))
    prompt = Prompts(
        torch.tensor([points], dtype=torch.float32).reshape(1, -1, 2),
        torch.tensor([labels], dtype=torch.int64),
        torch.tensor([box or [torch.nan] * 4], dtype=torch.float32),
        torch.from_numpy(former)[None, None],
        torch.tensor([corrects]),
    )
    expected = model.answer(image, prompt)
    order = np.argsort(expected.iou[0, :count].numpy())

    (embedding,) = segmenter.embed(rgb, valid)
    asked = PixelPrompts(
        (np.array(points, np.float64).reshape(-1, 2),),
        (np.array(labels, np.int8),),
        np.array([box or [np.nan] * 4]),
        (None,),
        (former if corrects else None,),
    )
    found = segmenter.decode(embedding, asked, multimask=count == 3, keep=None)
    assert len(found) == count
    rows = np.argsort(found.predicted_iou)
    assert found.predicted_iou[rows] == pytest.approx(expected.iou[0, order].numpy(), abs=1e-4)
    logits = expected.logits[0, order].numpy()
    assert np.abs(np.stack([found.logits[row] for row in rows]) - logits).max() <= 1e-4 * np.abs(logits).max()
