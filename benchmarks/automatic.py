"""All masks of one tile, from its embedding to masks without duplicates: SAM's mask generator against geosam.

Run: python benchmarks/automatic.py [POINTS_PER_SIDE]

Weights are random, so a third of the masks pass the threshold of the predicted IoU, and half of these pass the
threshold of the stability. This is an assumption about trained weights; geosam gains more if fewer masks pass. The
prompts are POINTS_PER_SIDE (12) squared points; 32 a side, as in a real run, take seven times as long in every row. The
image encoder is not included (see benchmarks/encoders.py). Each row is the CPU time of a separate process on one
thread. geosam sets its allocator itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from geosam.segmenters.sam.model import SamModel
    from geosam.segmenters.segmenter import KeepRule

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SIDE = 1024
ROWS = ("official, default allocator", "official, tuned allocator", "geosam fp32", "geosam bf16")


def features() -> torch.Tensor:
    """Return random features (1, 256, 64, 64) in place of those of an image encoder."""
    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))


def rules() -> tuple[SamModel, KeepRule]:
    """Return geosam's network with the random weights of the references, and the thresholds."""
    import references  # makes the references importable

    from geosam.segmenters.sam.build import VARIANTS, load
    from geosam.segmenters.sam.features import ImageFeatures
    from geosam.segmenters.sam.mask_decoder import decode, prepare
    from geosam.segmenters.sam.prompt_encoder import PromptTensors
    from geosam.segmenters.sam.upsampling import masks_from_logits
    from geosam.segmenters.segmenter import KeepRule

    model = load(VARIANTS["mobile_sam"], references.mobile_sam().state_dict(), "random weights")
    context = prepare(model.prompt_encoder, model.mask_decoder, ImageFeatures(features()))
    points = torch.rand(24, 1, 2, generator=torch.Generator().manual_seed(2)) * SIDE
    prompts = PromptTensors(torch.cat([points, points], dim=1), torch.tensor([[1, -1]]).expand(24, -1))
    decoded = decode(
        model.prompt_encoder, model.mask_decoder, context, prompts, lambda iou, _: torch.ones_like(iou) > 0
    )
    three = decoded.rows(decoded.column > 0)
    min_iou = float(three.iou.quantile(2 / 3))
    stable = masks_from_logits(three.rows(three.iou >= min_iou).logits, (SIDE, SIDE)).stability
    return model, KeepRule(min_iou, float(np.median(stable)), 0.7)


def official(points_per_side: int) -> Callable[[], int]:
    """Return a run of the authors' generator, with a constant in place of the encoder."""
    import references
    from segment_anything import SamAutomaticMaskGenerator

    _, keep = rules()
    sam = references.mobile_sam()
    constant = features()
    sam.image_encoder.forward = lambda pictures: constant.expand(len(pictures), -1, -1, -1)
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side, 64, keep.min_predicted_iou, keep.min_stability, box_nms_thresh=keep.max_duplicate_iou
    )
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    return lambda: len(generator.generate(picture))


def ours(points_per_side: int, precision: str) -> Callable[[], int]:
    """Return a run of geosam with the same points and thresholds."""
    from geosam.geometry.geobox import Window
    from geosam.objects.everything import segment_tile
    from geosam.segmenters.compute import Compute, keep_freed_memory
    from geosam.segmenters.sam.features import ImageFeatures
    from geosam.segmenters.sam.segmenter import SamSegmenter
    from geosam.segmenters.segmenter import Embedding, ModelSpec

    keep_freed_memory()
    compute = Compute("cpu", precision)  # type: ignore[arg-type]
    model, keep = rules()
    segmenter = SamSegmenter(model.to(compute.dtype), compute, ModelSpec("random", "random"))
    valid = np.ones((SIDE, SIDE), bool)
    arrays = {**ImageFeatures(features().to(compute.dtype)).to_arrays(0), "valid": np.packbits(valid, axis=1)}
    embedding = Embedding(arrays, (SIDE, SIDE), "random")
    spacing, window = SIDE // points_per_side, Window(0, 0, SIDE, SIDE)
    return lambda: len(segment_tile(segmenter, embedding, window, valid, keep, spacing_px=spacing))


def measure(row: str, points_per_side: int) -> tuple[float, int]:
    """Return CPU seconds and number of masks of one tile."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        run = official(points_per_side) if row.startswith("official") else ours(points_per_side, row.split()[1])
        began = time.process_time()
        count = run()
        return time.process_time() - began, count


def main(arguments: list[str]) -> None:
    """Print the table, or measure one row of it."""
    if arguments[:1] == ["--measure"]:
        print(*measure(arguments[1], int(arguments[2])))
        return
    side = int(arguments[0]) if arguments else 12
    print(f"masks of one tile, {side} x {side} points, 1 thread\n{'':30}{'CPU s':>8}{'masks':>7}{'ratio':>7}")
    base = None
    for row in ROWS:
        large = str(2**32)
        tuned = {"MALLOC_MMAP_THRESHOLD_": large, "MALLOC_TRIM_THRESHOLD_": large} if "tuned" in row else {}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, "--measure", row, str(side)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **tuned},
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, masks = done.stdout.split()
        base = base or float(seconds)
        print(f"{row:30}{float(seconds):8.2f}{masks:>7}{base / float(seconds):7.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
