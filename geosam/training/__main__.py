"""`python -m geosam.training DATA -o FOLDER`: train geosam_lite; the same command goes on where it was stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

from geosam.segmenters.lite import weights
from geosam.segmenters.lite.model import LiteModel
from geosam.training.data.loader import Crops
from geosam.training.fit.command import one_sentence, parser, train
from geosam.training.fit.loop import Schedule
from geosam.training.fit.simulated_user import practise

#: What the shipped weights were trained with.
SCHEDULE = Schedule(steps=6000)


def main() -> None:
    """Run the command."""
    asked = parser("python -m geosam.training", __doc__, SCHEDULE)
    asked.add_argument("--from", dest="begun", metavar="FILE", help="weights to begin with, in place of random ones")
    options = asked.parse_args()
    # Small crops are for those that know nothing yet.
    crops = Crops(first_steps=options.steps // 3 if options.begun is None else 0)
    with one_sentence():
        network = LiteModel if options.begun is None else partial(weights.load, Path(options.begun))
        learner = train(options, network, practise, crops)
    if learner.step:
        weights.save(
            cast("LiteModel", learner.average.module),
            options.output / "geosam_lite.safetensors",
            {"steps": str(learner.step)},
        )


if __name__ == "__main__":
    main()
