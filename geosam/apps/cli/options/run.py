"""The options that say with which model, on which tiles, and where embeddings are kept."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.scene import packed
from geosam.errors import UsageError

if TYPE_CHECKING:
    from geosam.segmenters.segmenter import ModelSpec

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of bytes, or of KiB, MiB, GiB or TiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
        size = int(float(match[1]) * 2 ** _UNITS[match[2].upper()]) if match else 0
        if size < 1:
            self.fail(f"{value!r} is no size: a number of bytes, or one with K, M, G or T, as in 20G.", param, ctx)
        return size


tiling_options = packed(
    "tiling",
    click.option("--tile-size", type=click.IntRange(min=3), default=1024, show_default=True, metavar="PX"),
    click.option("--overlap", type=click.IntRange(min=2), default=256, show_default=True, metavar="PX"),
    click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to use."),
    click.option("--allow-partial", is_flag=True, help="Leave out tiles that fail (exit code 7)."),
)
"""Fields of `RunOptions` that every run over tiles has, as `tiling`."""

automatic_options = packed(
    "automatic",
    click.option("--min-iou", type=click.FloatRange(0, 1), help="Least predicted IoU of a mask. [default: by model]"),
    click.option("--min-stability", type=click.FloatRange(0, 1), help="Least stability of a mask. [default: by model]"),
    click.option(
        "--spacing",
        type=click.IntRange(min=1),
        metavar="PX",
        help="Distance of the points that a network is asked at. [default: 32]",
    ),
    click.option(
        "--crop-layers",
        type=click.IntRange(0, 3),
        help="Look again at enlarged crops of each tile, for small objects: 4, 20 or 84 of them. [default: 0]",
    ),
    click.option(
        "--min-region",
        type=click.IntRange(min=0),
        metavar="PX",
        help="Fill holes and drop separate parts of a mask below this size. [default: 0]",
    ),
)
"""How a network is asked for everything, as `automatic`; only the least IoU and stability concern geosam_lite."""

#: Field of the rules by option.
_KEEP = {"min_iou": "min_predicted_iou", "min_stability": "min_stability"}
_AUTOMATIC = {"spacing": "spacing_px", "crop_layers": "crop_layers", "min_region": "min_region_px"}


def automatic_rules(automatic: Mapping[str, Any], *, prompted: bool) -> Callable[[ModelSpec], dict[str, Any]]:
    """What gives fields of `RunOptions` for a model, from what `automatic_options` was given and the model's defaults.

    Raises:
        UsageError: something was given, and there are prompts.
    """
    from geosam.objects.everything import AutomaticRule

    given = {name: value for name, value in automatic.items() if value is not None}
    if given and prompted:
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise UsageError(f"{option} is for finding everything: prompts were given too. Leave it out, or the prompts.")
    keep = {_KEEP[name]: value for name, value in given.items() if name in _KEEP}
    rule = AutomaticRule(**{_AUTOMATIC[name]: value for name, value in given.items() if name in _AUTOMATIC})
    return lambda spec: {"keep": replace(spec.keep, **keep), "automatic": rule}


cache_options = packed(
    "cache",
    click.option(
        "--cache",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Keep embeddings in this folder, and use those it has. The output stays the same.",
    ),
    click.option("--cache-size", "max_bytes", type=Size(), help="Let it grow to this. [default: as before, or 20G]"),
)
"""The arguments of `EmbeddingStore`, as `cache`."""

#: Options that say how a call is made and leave no trace in what it writes.
_UNRECORDED = ("--cache", "--cache-size")


def recorded_command(command: str) -> str:
    """A command line without the options about the cache: the output is the same with any or none."""
    kept = []
    words = iter(shlex.split(command))
    for word in words:
        if word in _UNRECORDED:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in _UNRECORDED)):
            kept.append(word)
    return shlex.join(kept)
