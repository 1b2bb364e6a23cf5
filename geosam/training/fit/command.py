"""What commands that train a network have in common: their options, and the run."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import torch

from geosam.errors import ExportError, GeosamError
from geosam.segmenters.compute import choose, keep_freed_memory
from geosam.training.data.loader import Batches, feed
from geosam.training.data.mixture import WEIGHTS, mixture
from geosam.training.fit.loop import PARTS, Learner, Schedule, fit, resume

if TYPE_CHECKING:
    from geosam.training.data.loader import Crops
    from geosam.training.fit.loop import Network, Practise

logger = logging.getLogger(__name__)

#: Options that may change while a run goes on.
_FREE = ("data", "output", "minutes", "workers")


def parser(prog: str, description: str | None, defaults: Schedule) -> argparse.ArgumentParser:
    """The options that :func:`train` reads; `defaults` are those of the schedule."""
    asked = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("data", type=Path, help="folder with the labelled sets (georef/, masks/)")
    asked.add_argument("-o", "--output", type=Path, required=True, help="folder of the state and the weights")
    asked.add_argument("--steps", type=partial(_number, int, 1), default=defaults.steps)
    asked.add_argument(
        "--cool-down", type=_count, default=defaults.cool_down, help="last steps, over which the rate falls to 0"
    )
    asked.add_argument("--rate", type=partial(_number, float, 0), default=defaults.rate)
    asked.add_argument(
        "--minutes",
        type=partial(_number, float, 0),
        default=math.inf,
        help="stop after this time; a later call goes on",
    )
    asked.add_argument("--synthetic", type=_count, default=600, help="rendered pictures")
    asked.add_argument("--self-labelled", metavar="NAME|FILE", help="a model that labels what nobody labelled")
    asked.add_argument(
        "--without", action="append", default=[], choices=WEIGHTS, help="leave a set out, to see what it is worth"
    )
    asked.add_argument("--workers", type=_count, default=1)
    asked.add_argument("--seed", type=_count, default=1)
    return asked


def _number(kind: Callable[[str], float], least: float, text: str) -> float:
    """A number of at least `least`."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not value >= least:
        raise argparse.ArgumentTypeError(f"{text!r} found, a number of at least {least} wanted")
    return value


_count = partial(_number, int, 0)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """End the process with the message of an error that geosam raises on purpose, and with its exit code."""
    try:
        yield
    except GeosamError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def train(
    options: argparse.Namespace, network: Callable[[], Network], practise: Practise[Network], crops: Crops
) -> Learner[Network]:
    """Fit a network until the last step or the time that is given; its state is kept in the output folder.

    Args:
        options: of :func:`parser`; others that a command adds are simple values, and tell its runs apart.
        network: makes a new one.
        practise: how it answers a batch.
        crops: how batches are cut.

    Raises:
        UsageError: a set is not there, or the folder holds the state of another run.
        ModelError: the model that labels cannot be loaded, or the state is damaged.
        ExportError: the folder cannot be made.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    until = time.time() + 60 * options.minutes
    keep_freed_memory()
    _make(options.output)
    compute = choose()
    torch.manual_seed(options.seed)
    schedule = Schedule(options.steps, options.rate, cool_down=options.cool_down)
    model = network().to(compute.device)
    run = {name: value for name, value in vars(options).items() if name not in _FREE}
    learner = Learner(model, practise, schedule, seed=options.seed, precision=compute.dtype, parts=PARTS, run=run)
    resume(learner, options.output)
    groups = mixture(
        options.data,
        options.output,
        synthetic=options.synthetic,
        seed=options.seed,
        teacher=options.self_labelled,
        without=options.without,
    )
    logger.info("pictures: %s", {name: len(found) for name, (_, found) in groups.items()})
    batches = Batches(groups, crops, options.seed, PARTS)
    steps = range(learner.step, options.steps)
    fit(learner, feed(batches, steps, options.workers), options.output, until=until)
    if learner.step == 0:
        logger.info("nothing learnt yet; the same command goes on")
    return learner


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"the output folder cannot be made: {folder}: {error.strerror}, a folder that can be written wanted. "
            "Name another one with -o."
        ) from error
