"""`python -m geosam.training DATA -o FOLDER`: train geosam_lite; the same command goes on where it was stopped."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import cast

import torch

from geosam.models.compute import choose, keep_freed_memory
from geosam.models.lite import weights
from geosam.models.lite.model import LiteModel
from geosam.training.feeding import Batches, Crops, feed
from geosam.training.fitting import PARTS, Learner, Schedule, fit, resume
from geosam.training.mixture import WEIGHTS, mixture
from geosam.training.practice import practise

logger = logging.getLogger("geosam.training")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m geosam.training", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the labelled sets (georef/, masks/)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the state and the weights")
    parser.add_argument("--steps", type=int, default=6600)
    parser.add_argument(
        "--cool-down", type=int, default=Schedule.cool_down, help="steps over which the rate falls to 0"
    )
    parser.add_argument("--rate", type=float, default=Schedule.rate)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--synthetic", type=int, default=600, help="rendered pictures")
    parser.add_argument("--self-labelled", metavar="NAME|FILE", help="a model that labels what nobody labelled")
    parser.add_argument(
        "--without", action="append", default=[], choices=WEIGHTS, help="leave a set out, to see what it is worth"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    options = _parsed()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    until = time.time() + 60 * options.minutes
    keep_freed_memory()
    options.output.mkdir(parents=True, exist_ok=True)
    groups = mixture(
        options.data,
        options.output,
        synthetic=options.synthetic,
        seed=options.seed,
        teacher=options.self_labelled,
        without=options.without,
    )
    logger.info("pictures: %s", {name: len(pictures) for name, (_, pictures) in groups.items()})
    learner = _learner(options)
    crops = Crops(first_steps=options.steps // 3)
    batches = Batches(groups, crops, options.seed, PARTS)
    steps = range(learner.step, options.steps)
    fit(learner, feed(batches, steps, options.workers), options.output, until=until)
    weights.save(
        cast("LiteModel", learner.average.module),
        options.output / "geosam_lite.safetensors",
        {"steps": str(learner.step)},
    )


def _learner(options: argparse.Namespace) -> Learner[LiteModel]:
    """The network as it was left, or a new one."""
    compute = choose()
    torch.manual_seed(options.seed)
    schedule = Schedule(options.steps, options.rate, cool_down=options.cool_down)
    model = LiteModel().to(compute.device)
    learner = Learner(model, practise, schedule, seed=options.seed, precision=compute.dtype, parts=PARTS)
    resume(learner, options.output)
    return learner


if __name__ == "__main__":
    main()
