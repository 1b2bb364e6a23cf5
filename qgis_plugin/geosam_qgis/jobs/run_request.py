"""The request for a run over a raster, or over a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from geosam_qgis.jobs.sources import RasterSource

#: Values of the option `layout`, in the order of the forms.
LAYOUTS = ("overlapping", "planar")
#: Values of the option `polygons`: the prompt that a polygon stands for.
POLYGONS = ("box", "mask")
#: Values of the option `device`.
DEVICES = ("auto", "cpu", "cuda")

#: Suggested models, the default of the plugin first; the user can enter any other name or file.
MODELS = (
    "geosam_lite",
    "regions",
    "mobile_sam",
    "sam2.1_hiera_small",
    "sam2.1_hiera_large",
    "sam_vit_b",
    "sam_hq_vit_b",
)
#: Time for the worker to cancel a run, in milliseconds; then its process is stopped.
PATIENCE_MS = 15_000

#: (xmin, ymin, xmax, ymax) in map units.
Bounds = tuple[float, float, float, float]


class PromptSource(NamedTuple):
    """A prompt layer, and the options for reading it."""

    path: str
    """Path of a file that geosam reads."""
    polygons: str = "box"
    """One of POLYGONS."""
    granularity: str = "auto"
    """Level of detail of prompts without one of their own."""
    skip_outside: bool = False
    """True to leave out prompts outside the raster."""


@dataclass(frozen=True)
class RunRequest:
    """A run of the worker from a raster to a file with polygons."""

    source: RasterSource
    """The raster."""
    out: str
    """Path of the output; its extension names the format."""
    model: str
    """Name of a model, or path of a file of weights."""
    device: str = "auto"
    """One of DEVICES."""
    prompts: PromptSource | None = None
    """Prompts for the objects; None for all objects."""
    window: Bounds | None = None
    """Bounds of the part to segment in the raster's CRS; None for the whole raster."""
    running: dict[str, Any] = field(default_factory=dict)
    """Fields of the library's `RunOptions`."""
    cache: str = ""
    """Folder that keeps embeddings for other runs; empty for none."""
    send_objects: bool = False
    """True if the worker sends objects during the run."""

    def params(self) -> dict[str, Any]:
        """Return the parameters of the worker's method *run*."""
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
