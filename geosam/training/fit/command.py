"""Options and run of the programs that train a network."""

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
from geosam.training.data.loader import Batches, load_batches
from geosam.training.data.mixture import WEIGHTS, mixture
from geosam.training.fit.loop import PARTS, Schedule, Trainer, fit, resume

if TYPE_CHECKING:
    from geosam.training.data.loader import CropOptions
    from geosam.training.fit.loop import Network, UserSimulation

logger = logging.getLogger(__name__)

#: Options that may change when a run is continued.
_CHANGEABLE = ("data", "output", "minutes", "workers")


def parser(prog: str, description: str | None, defaults: Schedule) -> argparse.ArgumentParser:
    """Make a parser with the options that :func:`train` reads; `defaults` are those of the schedule."""
    arguments = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("data", type=Path, help="folder with the labelled sets (georef/, masks/)")
    arguments.add_argument("-o", "--output", type=Path, required=True, help="folder of the state and the weights")
    arguments.add_argument("--steps", type=partial(_number, int, 1), default=defaults.steps)
    arguments.add_argument(
        "--cool-down",
        type=_count,
        default=defaults.cool_down,
        help="last steps, over which the learning rate falls to 0",
    )
    arguments.add_argument("--rate", type=partial(_number, float, 0), default=defaults.rate, help="learning rate")
    arguments.add_argument(
        "--minutes",
        type=partial(_number, float, 0),
        default=math.inf,
        help="stop after this time; the same command continues later",
    )
    arguments.add_argument("--synthetic", type=_count, default=600, help="number of rendered pictures")
    arguments.add_argument("--self-labelled", metavar="NAME|FILE", help="a model that labels the unlabelled scenes")
    arguments.add_argument(
        "--without", action="append", default=[], choices=WEIGHTS, help="leave a set out, to see what it is worth"
    )
    arguments.add_argument("--workers", type=_count, default=1, help="processes that cut crops")
    arguments.add_argument("--seed", type=_count, default=1)
    return arguments


def _number(kind: Callable[[str], float], least: float, text: str) -> float:
    """Parse a number of at least `least`."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not value >= least:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of at least {least}")
    return value


_count = partial(_number, int, 0)


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
    """Print the message of a geosam error and end the process with its exit code."""
    try:
        yield
    except GeosamError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def train(
    options: argparse.Namespace,
    network: Callable[[], Network],
    simulate_user: UserSimulation[Network],
    crops: CropOptions,
) -> Trainer[Network]:
    """Train a network until the last step or the end of the time; the output folder keeps its state.

    Args:
        options: Options of :func:`parser`, and further simple values that tell the runs of a program apart.
        network: Makes a new network.
        simulate_user: Answers a batch by the network.
        crops: Size, number and scale of the crops.

    Raises:
        UsageError: A set is missing, or the folder holds the state of another run.
        ModelError: The model that labels cannot be loaded, or the state is damaged.
        ExportError: The folder cannot be created.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    until = time.time() + 60 * options.minutes
    keep_freed_memory()
    _create(options.output)
    compute = choose()
    torch.manual_seed(options.seed)
    schedule = Schedule(options.steps, options.rate, cool_down=options.cool_down)
    model = network().to(compute.device)
    run = {name: value for name, value in vars(options).items() if name not in _CHANGEABLE}
    trainer = Trainer(model, simulate_user, schedule, seed=options.seed, precision=compute.dtype, parts=PARTS, run=run)
    # A state of another run is refused before minutes are spent on the pictures.
    resume(trainer, options.output)
    groups = mixture(
        options.data,
        options.output,
        synthetic=options.synthetic,
        seed=options.seed,
        teacher=options.self_labelled,
        without=options.without,
    )
    logger.info("pictures: %s", {name: len(pictures) for name, (_, pictures) in groups.items()})
    batches = Batches(groups, crops, options.seed, PARTS)
    steps = range(trainer.step, options.steps)
    fit(trainer, load_batches(batches, steps, options.workers), options.output, until=until)
    if trainer.step == 0:
        logger.info("no step made yet; the same command continues")
    return trainer


def _create(folder: Path) -> None:
    """Create the output folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"the output folder cannot be created: {folder}: {error.strerror}, expected a folder that can be written.",
            remedy="Name another folder with -o.",
            code="output-folder",
            output=str(folder),
        ) from error
