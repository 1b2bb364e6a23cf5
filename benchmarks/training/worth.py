"""Worth of parts of the training: short runs that differ in one thing each, measured alike on held-out places.

Run: python benchmarks/training/worth.py DATA -o FOLDER [--steps N] [--runs NAME ...]

All runs have as many steps, half of them with a falling rate:

    base           as `python -m geosam.training` does it
    seed           the same with another seed: how much is chance
    no_synthetic   without rendered scenes
    self_labelled  with scenes that nobody labelled, as `base` labels them
    reference      MobileSAM's architecture (benchmarks/training/reference.py names what else differs with it)

The same command continues a run that was stopped; a run that has ended with as many steps is only measured.
On two cores a step takes about 1.1 s, of the reference 2.5 s, and a measurement 3 minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LITE = [sys.executable, "-m", "geosam.training"]
REFERENCE = [sys.executable, str(HERE / "reference.py")]
RUNS = ("base", "seed", "no_synthetic", "self_labelled", "reference")


def trained(name: str, data: Path, folder: Path, steps: int) -> Path:
    """Train a run and return its weights; the weights of `base` are made first if the run needs them."""
    changes = {"seed": ["--seed", "2"], "no_synthetic": ["--without", "synthetic"]}.get(name, [])
    if name == "self_labelled":
        changes = ["--self-labelled", str(trained("base", data, folder, steps))]
    command, file = (REFERENCE, "reference.pt") if name == "reference" else (LITE, "geosam_lite.safetensors")
    output, pool = folder / f"{name}-{steps}", folder / "rendered"  # named by renderer and seed: one pool serves all
    weights = output / file
    if not weights.exists():
        output.mkdir(parents=True, exist_ok=True)
        pool.mkdir(exist_ok=True)
        if not (output / "rendered").exists():
            (output / "rendered").symlink_to(pool.resolve())
        schedule = ["--steps", str(steps), "--cool-down", str(steps // 2)]
        subprocess.run([*command, str(data), "-o", str(output), *schedule, *changes], check=True)
    return weights


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    return parser.parse_args()


def main() -> None:
    arguments = options()
    # Not everything: the reference would need a thousand prompts for each tile.
    how = ["--data", str(arguments.data), "--modes", "click", "box", "three_clicks"]
    for name in arguments.runs:
        weights = str(trained(name, arguments.data, arguments.output, arguments.steps))
        print(f"\n{name}", flush=True)
        script = ["reference_quality.py", weights] if name == "reference" else ["../quality.py", "--model", weights]
        subprocess.run([sys.executable, str(HERE / script[0]), *script[1:], *how], check=True)


if __name__ == "__main__":
    main()
