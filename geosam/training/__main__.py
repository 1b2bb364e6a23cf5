"""`python -m geosam.training DATA -o FOLDER`: train geosam_lite; the same command goes on where it was stopped."""

from __future__ import annotations

from typing import cast

from geosam.models.lite import weights
from geosam.models.lite.model import LiteModel
from geosam.training.feeding import Crops
from geosam.training.fitting import Schedule
from geosam.training.practice import practise
from geosam.training.running import one_sentence, parser, train

#: What the shipped weights were trained with.
SCHEDULE = Schedule(steps=6000)


def main() -> None:
    """Run the command."""
    options = parser("python -m geosam.training", __doc__, SCHEDULE).parse_args()
    with one_sentence():
        learner = train(options, LiteModel, practise, Crops(first_steps=options.steps // 3))
    if learner.step:
        weights.save(
            cast("LiteModel", learner.average.module),
            options.output / "geosam_lite.safetensors",
            {"steps": str(learner.step)},
        )


if __name__ == "__main__":
    main()
