"""The mask decoder of SAM against the official code: CPU time for the 32 x 32 points of one tile, and for clicks.

Run: python benchmarks/decoder.py [PROMPTS] [THREADS]
Weights and the 64 x 64 embedding are random, which changes no time. PROMPTS points (64) of the 1,024 are decoded, and
the time is scaled up. The official code gets batches of 64 points, as in its mask generator. All rows are CPU times of
one process, so they can be compared. Everything runs twice: with the default allocator, and with one that keeps freed
memory. The first table does not include upsampling to the tile.
"""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import torch
from torch.nn import functional

from geosam.segmenters.sam import dense
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.mask_decoder import SAM, MaskDecoder, decode, prepare
from geosam.segmenters.sam.prompt_encoder import PromptEncoder, PromptTensors
from geosam.segmenters.sam.upsampling import masks_from_logits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from torch import Tensor

    from geosam.segmenters.sam.mask_decoder import Choose

POINTS, BATCH = 1024, 64
#: Prompts of one call of geosam. Its result stays below 32 MB. Above, glibc would get memory from the kernel in every
#: call, which takes 15 % of the time.
CALL = 16
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}


class Ours(NamedTuple):
    """Decoder of geosam in one precision."""

    prompts: PromptEncoder
    decoder: MaskDecoder
    features: ImageFeatures

    def run(self, points: Tensor, choose: Choose, micro_batch: int | None = None) -> None:
        """Decode points (N, 2) in several calls, and drop the results."""
        context = prepare(self.prompts, self.decoder, self.features)
        for some in points.split(max(CALL, micro_batch or 1)):
            decode(self.prompts, self.decoder, context, clicks_at(some), choose, micro_batch=micro_batch)


def clicks_at(points: Tensor) -> PromptTensors:
    """Return N prompts of one point (N, 2) each, with the padding point that SAM's predictor adds."""
    padded = torch.stack([points, torch.zeros_like(points)], dim=1)
    return PromptTensors(padded, torch.tensor([[1, -1]]).expand(len(points), -1))


def three(iou: Tensor, _objects: Tensor | None) -> Tensor:
    """Choose the three masks that the generator uses."""
    chosen = torch.ones_like(iou, dtype=torch.bool)
    chosen[:, 0] = False
    return chosen


def of_one_in_four() -> Choose:
    """Return a choice of the three masks of every fourth micro-batch, as if the others had missed the threshold."""
    turn = itertools.count()
    return lambda iou, objects: three(iou, objects) & (next(turn) % 4 == 0)


def official_modules() -> ModuleType:
    """Import segment_anything, as the tests do."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    importlib.import_module("torchvision_shim")
    return importlib.import_module("segment_anything.modeling")


def models() -> tuple[Callable[[Tensor], Tensor], Ours, Ours]:
    """Return the official decoder for points, and geosam's in float32 and in bfloat16, with the same weights."""
    official = official_modules()
    prompts = official.PromptEncoder(256, (64, 64), (1024, 1024), 16).eval()
    decoder = official.MaskDecoder(transformer_dim=256, transformer=official.TwoWayTransformer(2, 256, 8, 2048)).eval()
    image = torch.randn(1, 256, 64, 64)

    def run(points: Tensor) -> Tensor:
        sparse, dense = prompts((points[:, None], torch.ones(len(points), 1, dtype=torch.int)), None, None)
        logits: Tensor = decoder(image, prompts.get_dense_pe(), sparse, dense, multimask_output=True)[0]
        return logits

    ours = []
    for dtype in (torch.float32, torch.bfloat16):
        own = Ours(PromptEncoder().eval(), MaskDecoder(SAM).eval(), ImageFeatures(image.to(dtype)))
        names = {"mlp.lin1": "mlp.layers.0", "mlp.lin2": "mlp.layers.1"}
        state = decoder.state_dict()
        for old, new in names.items():
            state = {name.replace(old, new): value for name, value in state.items()}
        own.prompts.load_state_dict(prompts.state_dict())
        own.decoder.load_state_dict(state)
        own.prompts.to(dtype)
        own.decoder.to(dtype)
        ours.append(own)
    return run, *ours


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the mean CPU time of several runs, after one that does not count."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def one_by_one(ours: Ours, points: Tensor) -> None:
    """Decode prompts one by one, with the tile's share of the work done again for each."""
    for point in points:
        ours.run(point[None], three)


def with_mkl(ours: Ours, points: Tensor) -> None:
    """Decode with PyTorch's own choice of kernels."""
    with mock.patch.object(dense, "onednn_serves", return_value=False):
        ours.run(points, three)


def automatic(count: int, official: Callable[[Tensor], Tensor], fp32: Ours, bf16: Ours) -> None:
    """Print the table for one tile."""
    points = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * 1023
    rows: list[tuple[str, Callable[[], object]]] = [
        ("official, float32", lambda: deque(map(official, points.split(BATCH)), 0)),
        ("ours, float32", lambda: fp32.run(points, three)),
        ("  the tile's share done for each prompt", lambda: one_by_one(fp32, points)),
        ("  MKL in place of oneDNN", lambda: with_mkl(fp32, points)),
        ("  micro-batches of 4", lambda: fp32.run(points, three, 4)),
        ("  micro-batches of 64", lambda: fp32.run(points, three, BATCH)),
        ("  masks of one prompt in four", lambda: fp32.run(points, of_one_in_four())),
        ("ours, bfloat16", lambda: bf16.run(points, three)),
        ("  micro-batches of 4", lambda: bf16.run(points, three, 4)),
        ("  micro-batches of 64", lambda: bf16.run(points, three, BATCH)),
        ("  masks of one prompt in four", lambda: bf16.run(points, of_one_in_four())),
    ]
    base = 0.0
    print(f"{'':42} ms a prompt  s a tile  times faster")
    for name, work in rows:
        took = seconds(work)
        base = base or took
        print(f"{name:42} {took / count * 1000:11.1f} {took / count * POINTS:9.1f} {base / took:13.1f}")


def clicks(official: Callable[[Tensor], Tensor], fp32: Ours, bf16: Ours) -> None:
    """Print the table for one click on a tile, with its embedding and the state of the decoder computed before."""
    point = torch.tensor([[400.0, 300.0]])

    def enlarged(logits: Tensor) -> Tensor:
        return functional.interpolate(logits, (1024, 1024), mode="bilinear", align_corners=False)

    def clicked(ours: Ours) -> Callable[[], object]:
        context = prepare(ours.prompts, ours.decoder, ours.features)
        click = clicks_at(point)
        return lambda: masks_from_logits(decode(ours.prompts, ours.decoder, context, click, three).logits, (1024, 1024))

    base = 0.0
    print(f"{'a click, to three masks of 1024 x 1024':42}          ms  times faster")
    for name, work in {
        "official, float32": lambda: enlarged(enlarged(official(point))) > 0,  # as Sam.postprocess_masks does
        "ours, float32": clicked(fp32),
        "ours, bfloat16": clicked(bf16),
    }.items():
        took = seconds(work, 20)
        base = base or took
        print(f"{name:42} {took * 1000:11.1f} {base / took:13.1f}")


def main(count: int, threads: int) -> None:
    """Print both tables."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    with torch.inference_mode():
        decoders = models()
        automatic(count, *decoders)
        clicks(*decoders)


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    main(*arguments, *(BATCH, 1)[len(arguments) :])
    if not KEEP_MEMORY.keys() <= os.environ.keys():
        print("\nthe same with an allocator that keeps freed memory", flush=True)
        again = [sys.executable, __file__, *sys.argv[1:]]
        subprocess.run(again, env={**os.environ, **KEEP_MEMORY}, check=True)
