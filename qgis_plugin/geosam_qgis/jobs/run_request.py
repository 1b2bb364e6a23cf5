"""What is asked of the worker when a whole raster, or a part of it, is to be segmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from geosam_qgis.jobs.sources import RasterSource

#: Values of the option `layout`, in the order in which they are offered.
LAYOUTS = ("overlapping", "planar")
#: What a polygon of a prompt layer stands for, likewise.
POLYGONS = ("box", "mask")
#: Values of the option `device`, likewise.
DEVICES = ("auto", "cpu", "cuda")

#: Models that are offered by name; any other name or file can be typed.
MODELS = (
    "geosam_lite",
    "regions",
    "mobile_sam",
    "sam2.1_hiera_small",
    "sam2.1_hiera_large",
    "sam_vit_b",
    "sam_hq_vit_b",
)
#: How long a worker may take to answer that a run was cancelled, before its process is ended, in milliseconds.
PATIENCE_MS = 15_000

Bounds = tuple[float, float, float, float]


class PromptSource(NamedTuple):
    """A prompt layer, and how it is read."""

    path: str
    """A file that geosam reads."""
    polygons: str = "box"
    """One of POLYGONS."""
    granularity: str = "auto"
    """What a prompt means that does not say it itself."""
    skip_outside: bool = False
    """Leave out prompts outside the raster."""


@dataclass(frozen=True)
class RunRequest:
    """A run of the worker from a raster to a file of polygons."""

    source: RasterSource
    """The raster."""
    out: str
    """The file; its extension names the format."""
    model: str
    """Name of a model, or path of a file of weights."""
    device: str = "auto"
    """One of DEVICES."""
    prompts: PromptSource | None = None
    """What is looked for; None: everything."""
    window: Bounds | None = None
    """Bounds of the part that is looked at, in the raster's CRS (xmin, ymin, xmax, ymax); None: all."""
    running: dict[str, Any] = field(default_factory=dict)
    """Fields of the library's `RunOptions`."""
    cache: str = ""
    """Folder in which embeddings are kept for other runs; none if empty."""
    send_objects: bool = False
    """Whether objects are sent as they are found."""

    def params(self) -> dict[str, Any]:
        """The parameters of the worker's method `run`."""
        params: dict[str, Any] = {
            "path": self.source.path,
            "options": self.source.options,
            "model": {"name": self.model, "device": self.device},
            "out": self.out,
            "window": self.window,
            "running": self.running,
            "send_objects": self.send_objects,
        }
        if self.cache:
            params["cache"] = self.cache
        if self.prompts is not None:
            path, polygons, granularity, skip_outside = self.prompts
            prompting = {"polygons": polygons, "granularity": granularity, "skip_outside": skip_outside}
            params.update(prompts=path, prompting=prompting)
        return params
