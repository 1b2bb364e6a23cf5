"""The options that say which model is used, and what it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from geosam.apps.cli.options.scene import packed

#: The model that is used unless another one is named; `geosam models` lists it first.
DEFAULT_MODEL = "geosam_lite"

device_option = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)


def precision_option(text: str) -> Callable[[Any], Any]:
    """`--precision` with its help."""
    kinds = click.Choice(["auto", "fp32", "bf16", "fp16"])
    return click.option("--precision", type=kinds, default="auto", show_default=True, help=text)


model_options = packed(
    "model",
    click.option(
        "--model",
        "name",
        default=DEFAULT_MODEL,
        show_default=True,
        metavar="NAME|FILE",
        help="One of `geosam models`, or a file of weights.",
    ),
    device_option,
    precision_option("Of a network; auto takes bf16 where the hardware has it."),
    click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "openvino"]),
        default="auto",
        show_default=True,
        help="What runs a network's image encoder; auto takes PyTorch.",
    ),
)
"""The arguments of `load_segmenter`, as `model`."""
