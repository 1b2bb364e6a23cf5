"""How well models find labelled objects on real scenes that training never saw, asked as users ask.

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


def row(model: str, name: str, found: Quality) -> str:
    """The figures of a set; a hyphen where it was not asked."""
    means = {mode: f"{found.mean(mode):.3f}" for mode in found.ious}
    click, box, three, best = (means.get(mode, "-") for mode in MODES)
    recall = f"{found.recall():.3f}" if "everything" in found.ious else "-"
    figures = f"{found.objects:5}{found.left_out:5}{click:>7}{box:>7}{three:>10}{recall:>8}{best:>7}"
    return f"{Path(model).name[:23]:24}{name:26}{figures}{found.prompts_s:11.1f}{found.everything_s:8.1f}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that :func:`table` reads."""
    asked = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=DATA, help="folder that holds georef/")
    held_out = [one.name for one in SETS if one.split == "held_out"]
    asked.add_argument("--sets", nargs="+", choices=held_out, help="[all of them]")
    asked.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    asked.add_argument("--limit", type=int, metavar="N", help="objects of a scene at most, always the same ones")
    return asked


def table(segmenters: Iterable[tuple[str, Segmenter]], options: argparse.Namespace, runs: RunOptions) -> None:
    """Print a row for each model and set."""
    sets = held_out_sets(options.data, options.sets)
    print(f"{HEADER}{'prompts s':>11}{'all s':>8}")
    for model, segmenter in segmenters:
        began, parts = time.process_time(), []
        ask = partial(measure, segmenter, modes=options.modes, limit=options.limit, options=runs)
        for name, scenes in sets.items():
            parts.append(pooled([ask(*files) for files in scenes]))
            print(row(model, name, parts[-1]), flush=True)
        print(row(model, "all", pooled(parts)), f"  CPU s {time.process_time() - began:.0f}", flush=True)


def main() -> None:
    asked = parser(__doc__)
    models = list(dict.fromkeys(["regions", next(iter(registry))]))
    asked.add_argument("--model", nargs="+", default=models, metavar="NAME_OR_PATH", help=f"[{' '.join(models)}]")
    options = asked.parse_args()
    table(((name, load_segmenter(name)) for name in options.model), options, RunOptions())


if __name__ == "__main__":
    with errors_as_messages():
        main()
