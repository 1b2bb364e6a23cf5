"""Ladder of the image encoders: CPU time and peak memory of one tile of 1024 x 1024, as ratios to the authors' code.

Run: python benchmarks/encoders.py [ENCODER ...]

Every figure is the least of several runs in a separate process, with random weights. PyTorch has one thread. OpenVINO
chooses its number of threads, and the CPU time of all of them counts. `default` and `tuned` are settings of glibc's
allocator. Memory is the peak of the resident set during the tile, minus its size before, so the weights do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Encoder = Callable[[torch.Tensor], Any]

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ENCODERS = ("sam_vit_b", "mobile_sam", "sam2.1_hiera_tiny")
WAYS = ("official fp32", "geosam fp32", "geosam bf16", "openvino fp32", "openvino bf16")
ALLOCATORS = ("default", "tuned")
REPEATS = 3


def official(name: str) -> torch.nn.Module:
    """The encoder as its authors have it; for MobileSAM the copy of its TinyViT in segment_anything_hq."""
    import torchvision_shim  # noqa: F401 - makes the references importable

    if name.startswith("sam_vit"):
        from segment_anything import sam_model_registry

        return sam_model_registry[name.removeprefix("sam_")]().image_encoder
    if name == "mobile_sam":
        from segment_anything_hq import sam_model_registry

        return sam_model_registry["vit_tiny"]().image_encoder
    from sam2.build_sam import build_sam2

    size = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}[name.removeprefix("sam2.1_hiera_")]
    return build_sam2(f"configs/sam2.1/sam2.1_hiera_{size}.yaml", None, device="cpu").image_encoder


def ours(name: str, way: str) -> Encoder:
    """The same with geosam."""
    from geosam.segmenters.compute import Compute
    from geosam.segmenters.sam.build import VARIANTS, image_encoder

    backend, precision = way.split()
    compute = Compute("cpu", precision, "openvino" if backend == "openvino" else "torch")  # type: ignore[arg-type]
    encoder = image_encoder(VARIANTS[name].encoder).eval()
    if compute.backend == "torch":
        return encoder.to(compute.dtype)
    from geosam.segmenters.sam.openvino_encoder import OpenVinoEncoder

    with tempfile.TemporaryDirectory() as folder:
        return OpenVinoEncoder(encoder, compute, Path(folder) / "converted")


def measure(name: str, way: str, *, repeats: int = REPEATS) -> dict[str, float]:
    """Measure CPU seconds and megabytes of one tile, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = official(name).eval() if way.startswith("official") else ours(name, way)
    picture = torch.randn(1, 3, 1024, 1024).to(torch.bfloat16 if way == "geosam bf16" else torch.float32)
    process = psutil.Process()
    before, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    seconds = []
    with torch.inference_mode():
        watcher.start()
        for _ in range(repeats):
            began = time.process_time()
            encoder(picture)
            seconds.append(time.process_time() - began)
            done.set()  # memory is measured for the first tile only, time for the best one
    watcher.join()
    return {"seconds": min(seconds), "megabytes": (peak[0] - before) / 2**20}


def elsewhere(name: str, way: str, allocator: str, repeats: int = REPEATS) -> dict[str, float]:
    """:func:`measure` in a fresh process."""
    large = str(2**32)
    tuned = {"MALLOC_MMAP_THRESHOLD_": large, "MALLOC_TRIM_THRESHOLD_": large} if allocator == "tuned" else {}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", name, way, str(repeats)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **tuned},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def ladder(name: str) -> None:
    """Print the table of one encoder."""
    print(f"\n{name}: one tile")
    print(f"{'':16}{'CPU s':>10}{'ratio':>8}{'MB':>8}{'CPU s':>12}{'ratio':>8}{'MB':>8}   (default, tuned allocator)")
    base: dict[str, float] = {}
    for way in WAYS:
        cells = ""
        for allocator in ALLOCATORS:
            figures = elsewhere(name, way, allocator)
            seconds = figures["seconds"]
            base.setdefault(allocator, seconds)
            cells += f"{seconds:10.2f}{base[allocator] / seconds:8.2f}{figures['megabytes']:8.0f}  "
        print(f"{way:16}{cells}", flush=True)


def memory_of_the_largest() -> None:
    """Print the memory that ViT-H needs above its weights."""
    megabytes_of = {way: elsewhere("sam_vit_h", way, "default", 1)["megabytes"] for way in WAYS[:3]}
    print("\nsam_vit_h: peak memory above the weights, MB")
    for way, megabytes in megabytes_of.items():
        print(f"{way:16}{megabytes:8.0f}   1/{megabytes_of['official fp32'] / megabytes:.1f}")


def main(arguments: list[str]) -> None:
    """Measure one row for :func:`elsewhere`, or print everything."""
    if arguments[:1] == ["--measure"]:
        print(json.dumps(measure(arguments[1], arguments[2], repeats=int(arguments[3]))))
        return
    for name in arguments or ENCODERS:
        ladder(name)
    if not arguments:
        memory_of_the_largest()


if __name__ == "__main__":
    main(sys.argv[1:])
