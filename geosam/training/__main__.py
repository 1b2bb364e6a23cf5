"""Train geosam_lite: `python -m geosam.training DATA -o FOLDER`. The same command continues a run that was stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

from geosam.segmenters.lite import weights
from geosam.segmenters.lite.model import LiteModel
from geosam.training.data.loader import CropOptions
from geosam.training.fit.command import errors_as_messages, parser, train
from geosam.training.fit.loop import Schedule
from geosam.training.fit.simulated_user import simulate_user

#: Schedule of the shipped weights.
SCHEDULE = Schedule(steps=6000)


def main() -> None:
    """Run the command."""
    arguments = parser("python -m geosam.training", __doc__, SCHEDULE)
    # `begun` stands in the states on disk (see `Trainer.run`): another name would refuse those of running trainings.
    arguments.add_argument("--from", dest="begun", metavar="FILE", help="weights to begin with, not random ones")
    options = arguments.parse_args()
    # Small crops serve a network with random weights only.
    crops = CropOptions(first_steps=options.steps // 3 if options.begun is None else 0)
    with errors_as_messages():
        network = LiteModel if options.begun is None else partial(weights.load, Path(options.begun))
        trainer = train(options, network, simulate_user, crops)
    if trainer.step:
        weights.save(
            cast("LiteModel", trainer.average.module),
            options.output / "geosam_lite.safetensors",
            {"steps": str(trainer.step)},
        )


if __name__ == "__main__":
    main()
