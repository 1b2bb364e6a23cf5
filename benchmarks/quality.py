"""Quality of models on labelled objects of real scenes that training never saw, with the prompts of users.

Run: python benchmarks/quality.py [--model NAME_OR_PATH ...] [--data DIR] [--sets NAME ...] [--modes MODE ...]
                                  [--limit N]

One row for each model and set. `click`, `box` and `3 clicks` are mean IoUs over the objects; `recall` is the share of
the objects that everything-mode finds with an IoU of at least 0.5, `best` their mean best IoU. `out` objects are left
out because they are too small or not in the scene. Seconds are for a set: all prompts, and everything; embeddings
included.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.run.options import RunOptions
from geosam.segmenters.registry import load_segmenter, registry
from geosam.training.data.corpus import SETS, held_out_sets
from geosam.training.fit.command import errors_as_messages
from geosam.training.quality import MODES, measure, pooled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geosam.segmenters.segmenter import Segmenter
    from geosam.training.quality import Quality

DATA = Path(os.environ.get("GEOSAM_DATA") or Path(__file__).parents[2] / "shared" / "data")
HEADER = f"{'model':24}{'set':26}{'n':>5}{'out':>5}{'click':>7}{'box':>7}{'3 clicks':>10}{'recall':>8}{'best':>7}"


def row(model: str, name: str, quality: Quality) -> str:
    """Return the figures of a set as a row, with a hyphen for modes that did not run."""
    means = {mode: f"{quality.mean(mode):.3f}" for mode in quality.ious}
    click, box, three, best = (means.get(mode, "-") for mode in MODES)
    recall = f"{quality.recall():.3f}" if "everything" in quality.ious else "-"
    figures = f"{quality.objects:5}{quality.left_out:5}{click:>7}{box:>7}{three:>10}{recall:>8}{best:>7}"
    return f"{Path(model).name[:23]:24}{name:26}{figures}{quality.prompts_s:11.1f}{quality.everything_s:8.1f}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that :func:`table` reads."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=DATA, help="folder that holds georef/")
    held_out = [labelled.name for labelled in SETS if labelled.split == "held_out"]
    options.add_argument("--sets", nargs="+", choices=held_out, help="[all of them]")
    options.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    options.add_argument("--limit", type=int, metavar="N", help="objects of a scene at most, always the same ones")
    return options


def table(segmenters: Iterable[tuple[str, Segmenter]], options: argparse.Namespace, runs: RunOptions) -> None:
    """Print a row for each model and set."""
    sets = held_out_sets(options.data, options.sets)
    print(f"{HEADER}{'prompts s':>11}{'all s':>8}")
    for model, segmenter in segmenters:
        began, parts = time.process_time(), []
        measure_scene = partial(measure, segmenter, modes=options.modes, limit=options.limit, options=runs)
        for name, scenes in sets.items():
            parts.append(pooled([measure_scene(*files) for files in scenes]))
            print(row(model, name, parts[-1]), flush=True)
        print(row(model, "all", pooled(parts)), f"  CPU s {time.process_time() - began:.0f}", flush=True)


def main() -> None:
    """Print the table for the models of the command."""
    command = parser(__doc__)
    models = list(dict.fromkeys(["regions", next(iter(registry))]))
    command.add_argument("--model", nargs="+", default=models, metavar="NAME_OR_PATH", help=f"[{' '.join(models)}]")
    options = command.parse_args()
    table(((name, load_segmenter(name)) for name in options.model), options, RunOptions())


if __name__ == "__main__":
    with errors_as_messages():
        main()
