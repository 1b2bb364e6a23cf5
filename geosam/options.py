"""The options of geosam, each described once: name, kind, default, limits and help.

The command line makes its options from these tables, the worker its checks, and the plugin's tests compare what the
plugin offers. Functions and values of the library repeat a default where Python needs it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "text", "choice", "flag", "integer", "number", "bytes", "crs", "bands", "bounds", "file", "folder"
]


@dataclass(frozen=True)
class Option:
    """One option of a call."""

    name: str
    """Name of the parameter."""
    kind: Kind
    """Kind of its values."""
    help: str
    """Meaning, in one sentence."""
    default: Any = None
    """Value of an option that is left out; None for no value."""
    choices: tuple[str, ...] = ()
    """All values of a choice, the default first."""
    least: float | None = None
    """Smallest number."""
    above: float | None = None
    """Number that a value must exceed."""
    most: float | None = None
    """Largest number."""
    form: str = ""
    """Form or unit of a value, for a help text: PX, METRES, LAYER."""
    absent: str = ""
    """Meaning of an option that is left out, for a help text."""
    field: str = ""
    """Name of the library's parameter or field, if it differs from `name`."""

    @property
    def target(self) -> str:
        """Name of the library's parameter or field."""
        return self.field or self.name

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain data for JSON, without empty fields; the default is always there."""
        facts = {name: value for name, value in asdict(self).items() if value not in (None, "", ())}
        return {**facts, "default": self.default}


OPENING: Final = (
    Option("crs", "crs", "CRS of a scene that has none.", form="CRS"),
    Option(
        "bands",
        "bands",
        "Bands for red, green and blue (or one for grey), counted from 1.",
        form="R,G,B",
        absent="by colour interpretation",
    ),
    Option(
        "stretch",
        "text",
        "From band values to 8 bits, once for the whole scene; p2,p98 are percentiles.",
        "auto",
        form="auto|none|MIN,MAX|pLO,pHI",
    ),
    Option("resolution", "number", "Ground size of a pixel.", above=0, form="METRES", absent="the scene's"),
    Option("window", "bounds", "Part of the scene to use; map coordinates in the scene's CRS."),
    Option("gcps", "flag", "Warp a scene that has only ground control points.", default=False),
    Option("assume_pixels", "flag", "Give a scene without georeference plain pixel coordinates.", default=False),
    Option("untrusted", "flag", "Refuse formats that can make the reader open other files.", default=False),
    Option("sha256", "text", "SHA-256 of the file; a file with another one is refused.", form="SHA256"),
    Option("max_pixels", "number", "Refuse a scene with more pixels.", 2e11, above=0, form="N"),
)
"""The arguments of :func:`~geosam.scene.open_scene`."""

MODEL: Final = (
    Option(
        "model",
        "text",
        "A model that `geosam models` lists, or a file of weights.",
        "geosam_lite",
        form="NAME|FILE",
        field="name",
    ),
    Option(
        "device", "choice", "Device that computes; auto takes CUDA if it is there.", "auto", ("auto", "cpu", "cuda")
    ),
    Option(
        "precision",
        "choice",
        "Numbers that a network computes with; auto takes bf16 where the hardware has it.",
        "auto",
        ("auto", "fp32", "bf16", "fp16"),
    ),
    Option(
        "backend",
        "choice",
        "Program that runs a network's image encoder; auto takes PyTorch.",
        "auto",
        ("auto", "torch", "openvino"),
    ),
)
"""The arguments of :func:`~geosam.segmenters.registry.load_segmenter`."""

PROMPTS: Final = (
    Option("layer", "text", "Layer of the prompt file, if it has several.", form="NAME"),
    Option("encoding", "text", "Encoding of the prompt layer's texts, if the file does not say it.", form="NAME"),
    Option("polygons", "choice", "Prompt that a polygon of the prompt layer becomes.", "box", ("box", "mask")),
    Option(
        "prompt_crs",
        "crs",
        "CRS of points and boxes, and of a prompt layer that has none.",
        form="CRS",
        absent="the scene's",
        field="crs",
    ),
    Option(
        "granularity",
        "choice",
        "Size of object that a prompt means if it does not say it; auto takes the model's best.",
        "auto",
        ("auto", "part", "whole", "group"),
    ),
    Option("skip_outside", "flag", "Leave out prompts outside the scene.", default=False),
)
"""The arguments of :func:`~geosam.prompts.layer.read_prompts`, and the options for placing its prompts on a scene."""

TILING: Final = (
    Option("tile_size", "integer", "Side of a tile.", 1024, least=3, form="PX"),
    Option("overlap", "integer", "Width that neighbouring tiles share.", 256, least=2, form="PX"),
    Option("workers", "integer", "Processes that compute tiles.", 1, least=1, most=1024, form="N"),
    Option("allow_partial", "flag", "Leave out tiles that cannot be read, instead of failing.", default=False),
)
"""Fields of :class:`~geosam.run.options.RunOptions` that every run over tiles has."""

SHAPING: Final = (
    Option("min_area_m2", "number", "Leave out objects with a smaller ground area.", 0.0, least=0, form="M2"),
    Option("fill_holes_m2", "number", "Fill holes up to this ground area.", 0.0, least=0, form="M2"),
    Option("simplify_m", "number", "Largest shift of an outline when it is simplified.", 0.0, least=0, form="METRES"),
    Option(
        "layout",
        "choice",
        "Objects as found (overlapping), or without overlaps and with shared borders (planar).",
        "overlapping",
        ("overlapping", "planar"),
    ),
)
"""Fields of :class:`~geosam.objects.shaping.Shaping`."""

OUTPUT: Final = (
    Option("restart", "flag", "Drop what an interrupted run has done.", default=False),
    Option("overwrite", "flag", "Replace an existing output.", default=False),
)
"""Fields of :class:`~geosam.run.options.RunOptions` about the file that is written."""

RUN: Final = (*TILING, *SHAPING, *OUTPUT)
"""Fields of :class:`~geosam.run.options.RunOptions` that a user sets."""

KEEP: Final = (
    Option(
        "min_iou",
        "number",
        "Least predicted IoU of a mask.",
        least=0,
        most=1,
        form="IOU",
        absent="by model",
        field="min_predicted_iou",
    ),
    Option("min_stability", "number", "Least stability of a mask.", least=0, most=1, form="SCORE", absent="by model"),
)
"""Fields of :class:`~geosam.segmenters.segmenter.KeepRule`; their defaults are the model's."""

AUTOMATIC: Final = (
    Option(
        "spacing",
        "integer",
        "Distance of the points of the grid that prompts a network.",
        32,
        least=1,
        form="PX",
        field="spacing_px",
    ),
    Option(
        "crop_layers",
        "integer",
        "Look again at enlarged crops of each tile (4, 20 or 84), for small objects.",
        0,
        least=0,
        most=3,
        form="N",
    ),
    Option(
        "min_region",
        "integer",
        "Fill holes and drop separate parts of a mask that are smaller.",
        0,
        least=0,
        form="PX",
        field="min_region_px",
    ),
)
"""Fields of :class:`~geosam.objects.everything.AutomaticRule`."""

RULES: Final = (*KEEP, *AUTOMATIC)
"""Options that only a run without prompts takes."""

CACHE: Final = (
    Option(
        "cache",
        "folder",
        "Folder of embeddings to use and to fill; the output stays the same.",
        form="DIR",
        field="folder",
    ),
    Option(
        "cache_size",
        "bytes",
        "Most bytes of that folder; what was not used for the longest time goes first.",
        least=1,
        form="SIZE",
        absent="as before, or 20G",
        field="max_bytes",
    ),
)
"""The arguments of :class:`~geosam.objects.embeddings.store.EmbeddingStore`."""

EVALUATION: Final = (
    Option("within", "file", "Polygons inside which the reference is complete; nothing else is judged.", form="AREA"),
    Option("iou", "number", "Least IoU of a match.", 0.5, above=0, most=1, form="IOU"),
    Option(
        "tolerance_m",
        "number",
        "Largest distance of outlines that agree.",
        above=0,
        form="METRES",
        absent="2.5 % of the median reference object's size",
    ),
    Option("layer", "text", "Layer of the predicted polygons, if the file has several.", form="NAME"),
    Option("reference_layer", "text", "Layer of the reference polygons, if the file has several.", form="NAME"),
)
"""The options of :func:`~geosam.evaluation.compare.evaluate`, and the layers of its files."""

PREVIEW: Final = (
    Option("size", "integer", "Longest side of the picture.", 1600, least=1, form="PX"),
    Option("layer", "text", "Layer of the polygons, if the file has several.", form="NAME"),
    Option("overwrite", "flag", "Replace an existing picture.", default=False),
)
"""The options of :func:`~geosam.api.preview`."""

LEARNING: Final = (
    Option("epochs", "integer", "Most passes over the polygons.", 40, least=1, form="N"),
    Option("minutes", "number", "Longest time for training; embedding the tiles comes before.", 20, above=0, form="N"),
    Option("seed", "integer", "Seed of all random choices, such as the polygons held out.", 0, least=0, form="N"),
    Option("overwrite", "flag", "Replace an existing output.", default=False),
)
"""Fields of :class:`~geosam.training.finetune.training_loop.FineTuneOptions`."""

GROUPS: Final[Mapping[str, tuple[Option, ...]]] = {
    "opening": OPENING,
    "model": MODEL,
    "prompts": PROMPTS,
    "run": RUN,
    "rules": RULES,
    "cache": CACHE,
    "evaluation": EVALUATION,
    "preview": PREVIEW,
    "learning": LEARNING,
}
"""All options by group; functions name the groups that they take."""


def pick(options: Iterable[Option], *names: str) -> tuple[Option, ...]:
    """Return the options with one of the names, in the order of `options`."""
    return tuple(option for option in options if option.name in names)


def defaults(options: Iterable[Option]) -> dict[str, Any]:
    """Return the default of every option, by its name in the library."""
    return {option.target: option.default for option in options}


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, which stands for an option that is left out."""
    return {name: value for name, value in values.items() if value is not None}


def values_for(options: Iterable[Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of these options that are not None, by their names in the library."""
    return {option.target: values[option.name] for option in options if values.get(option.name) is not None}
