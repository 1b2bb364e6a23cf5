"""What commands that train a network have in common: their options, and the run."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from geosam.models.compute import choose, keep_freed_memory
from geosam.training.feeding import Batches, feed
from geosam.training.fitting import PARTS, Learner, Schedule, fit, resume
from geosam.training.mixture import WEIGHTS, mixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from geosam.training.feeding import Crops
    from geosam.training.fitting import Network, Practise

logger = logging.getLogger(__name__)


def parser(prog: str, description: str | None, defaults: Schedule) -> argparse.ArgumentParser:
    """The options that :func:`train` reads; `defaults` are those of the schedule."""
    asked = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("data", type=Path, help="folder with the labelled sets (georef/, masks/)")
    asked.add_argument("-o", "--output", type=Path, required=True, help="folder of the state and the weights")
    asked.add_argument("--steps", type=int, default=defaults.steps)
    asked.add_argument("--cool-down", type=int, default=defaults.cool_down, help="steps over which the rate falls to 0")
    asked.add_argument("--rate", type=float, default=defaults.rate)
    asked.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on")
    asked.add_argument("--synthetic", type=int, default=600, help="rendered pictures")
    asked.add_argument("--self-labelled", metavar="NAME|FILE", help="a model that labels what nobody labelled")
    asked.add_argument(
        "--without", action="append", default=[], choices=WEIGHTS, help="leave a set out, to see what it is worth"
    )
    asked.add_argument("--workers", type=int, default=1)
    asked.add_argument("--seed", type=int, default=1)
    return asked


def train(
    options: argparse.Namespace, network: Callable[[], Network], practise: Practise[Network], crops: Crops
) -> Learner[Network]:
    """Fit a network until the last step or the time that is given; its state is kept in the output folder.

    Args:
        options: of :func:`parser`.
        network: makes a new one, at random.
        practise: how it answers a batch.
        crops: how batches are cut.

    Raises:
        UsageError: a set is not there.
    """
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
    compute = choose()
    torch.manual_seed(options.seed)
    schedule = Schedule(options.steps, options.rate, cool_down=options.cool_down)
    model = network().to(compute.device)
    learner = Learner(model, practise, schedule, seed=options.seed, precision=compute.dtype, parts=PARTS)
    resume(learner, options.output)
    batches = Batches(groups, crops, options.seed, PARTS)
    steps = range(learner.step, options.steps)
    fit(learner, feed(batches, steps, options.workers), options.output, until=until)
    return learner
