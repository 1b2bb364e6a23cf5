"""`python -m geosam.training DATA -o FOLDER`: train geosam_lite as its shipped weights were trained; goes on if stopped."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from geosam.models.compute import keep_freed_memory
from geosam.models.lite.model import LiteModel
from geosam.training.corpus import training_pictures
from geosam.training.feeding import Batches, Crops, feed
from geosam.training.fitting import Fit, Schedule, fit

if TYPE_CHECKING:
    from geosam.training.samples import LabelledPicture

#: How often each set is drawn from.
WEIGHTS = {
    "buildings_banepa_large": 0.24,
    "buildings_kampala_0": 0.1,
    "fields_naip": 0.26,
    "trees_neon_SJER": 0.02,
    "trees_neon_HARV": 0.02,
    "trees_urban_naip": 0.01,
    "water_landsat_ucayali": 0.02,
    "dsb2018_nuclei": 0.03,
    "synthetic": 0.3,
}


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m geosam.training", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the labelled sets (georef/, masks/)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the state and the weights")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--cool-down", type=int, default=Schedule.cool_down, help="steps over which the rate falls to 0")
    parser.add_argument("--rate", type=float, default=Schedule.rate)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on")
    parser.add_argument("--synthetic", type=int, default=600, help="rendered pictures")
    parser.add_argument("--without", action="append", default=[], help="leave a set out, to see what it is worth")
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
    groups: dict[str, list[LabelledPicture]] = {}
    for picture in training_pictures(options.data):
        groups.setdefault(picture.name.split("/")[0], []).append(picture)
    if options.synthetic:
        from geosam.training.rendered import rendered_pictures

        groups["synthetic"] = list(rendered_pictures(options.synthetic, options.output / "rendered", options.seed))
    weighted = {name: (WEIGHTS[name], pictures) for name, pictures in groups.items() if name not in options.without}
    logging.info("pictures: %s", {name: len(pictures) for name, (_, pictures) in weighted.items()})
    torch.manual_seed(options.seed)
    state = options.output / "state.pt"
    run = Fit(LiteModel(), Schedule(options.steps, options.rate, cool_down=options.cool_down), options.seed, torch.bfloat16)
    if state.exists():
        run.load(torch.load(state, weights_only=True))
        logging.info("goes on at step %d", run.step)
    seed = int(np.random.default_rng([options.seed, run.step]).integers(2**31))
    fit(run, feed(Batches(weighted, Crops(), seed), options.workers), options.output, until=until)


if __name__ == "__main__":
    main()
