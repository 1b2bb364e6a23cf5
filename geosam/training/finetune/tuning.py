"""Fine-tuning: a network's mask decoder learns from the user's own polygons over a scene.

The encoder stays as it is, so every tile is embedded once and kept. About a quarter of the polygons is held out, by
whole blocks of the scene; after every epoch they are asked for by click and by box, and the state that answers best is
what is written, as soon as it is found. So the output is complete at any time, and a run may be stopped at any time.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from geosam._version import __version__
from geosam.errors import ExportError, ModelError, UnknownFormat, UsageError
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.windows import WindowRule
from geosam.run.jobs import PromptJob
from geosam.segmenters.compute import choose, keep_freed_memory
from geosam.segmenters.lite.segmenter import LiteSegmenter
from geosam.segmenters.lite.weights import NAME, shipped_path
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam.segmenter import SamSegmenter
from geosam.segmenters.weights.reading import read_state_dict
from geosam.training.finetune.epochs import Course, Options
from geosam.training.finetune.split import held_out, known_objects
from geosam.training.finetune.trainable_lite import LitePupil
from geosam.training.finetune.trainable_sam import SamPupil
from geosam.vector.checks import check_existing
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from geosam.scene import Scene
    from geosam.segmenters.compute import Device, Precision
    from geosam.segmenters.segmenter import Segmenter
    from geosam.training.finetune.epochs import Progress
    from geosam.training.finetune.scores import Figures
    from geosam.training.finetune.trainable import Pupil
    from geosam.vector.polygons import PolygonLayer

__all__ = ["Options", "Tuned", "finetune"]

logger = logging.getLogger(__name__)

#: The extension of the output, and the fact in its metadata (JSON in the entry `geosam`) that says how it was made.
EXTENSION, METADATA = ".safetensors", "finetune"
#: Held-out polygons that are asked for.
_MOST_ASKED = 100


@dataclass(frozen=True)
class Tuned:
    """What came of it."""

    model: str
    """The network that was tuned."""
    scene: str
    """Name of the scene's file."""
    polygons: int
    """How many taught."""
    held_out: int
    """How many were asked for and taught nothing."""
    before: Figures
    """Of the held-out polygons, with the network as it was."""
    after: Figures
    """With the network as it was written."""
    epochs: int
    """Passes over the polygons."""
    seconds: float
    """For everything."""
    seed: int
    """Of the options."""

    def to_json(self) -> dict[str, Any]:
        """For reports and metadata."""
        return {**asdict(self), "before": self.before._asdict(), "after": self.after._asdict()}


def finetune(
    scene: Scene,
    layer: PolygonLayer,
    model: str,
    out: Path,
    options: Options,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Tune a network on polygons over a scene, and write it whenever it answers better than before.

    Args:
        scene: as it will be segmented later: same bands, stretch and resolution.
        layer: one polygon for each object; nothing is concluded from places without one.
        model: a name of the registry, or a file of weights.
        out: a safetensors file, usable in place of `model`; appears complete or not at all.
        options: limits and seed.
        device: where it is computed.
        precision: of the embeddings; learning is always done in fp32.
        cache: folder of embeddings to use and to fill; None uses a temporary one.
        progress: called with (tiles looked at, tiles at most) from this thread.

    Raises:
        UsageError: the output is the model, or is no safetensors file; or the model cannot learn.
        ExportError: the output exists, or cannot be written.
        PromptError: there are too few polygons in the scene.
        ModelError: the model cannot be loaded, or no state was better than the original: nothing was written.
    """
    _check_output(out, model, overwrite=options.overwrite)
    begun = time.monotonic()
    rng = np.random.default_rng(options.seed)
    targets = known_objects(scene, layer, rng)
    is_held_out = held_out(targets, rng)
    asked = [targets[row] for row in rng.permutation(np.flatnonzero(is_held_out))[:_MOST_ASKED]]
    taught = [targets[row] for row in np.flatnonzero(~is_held_out)]
    keep_freed_memory()
    base, pupil = _loaded(model, device, precision)
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(TemporaryDirectory(prefix="geosam-finetune-")))
        windows = PromptJob(TileEmbedder(scene, base, EmbeddingStore(folder)), WindowRule(scene.region), ())
        course = Course(pupil, windows, taught, asked, options, rng, progress)
        course.embed()
        before = course.figures()
        logger.info("before: %s; %d polygons teach, %d are held out", before, len(taught), len(asked))

        def tuned(now: Figures, epochs: int) -> Tuned:
            counts, seconds = (len(taught), len(asked)), time.monotonic() - begun
            return Tuned(base.spec.name, Path(scene.path).name, *counts, before, now, epochs, seconds, options.seed)

        after, epochs = course.learn(before, lambda now, epoch: _write(pupil, out, tuned(now, epoch)))
    if after is before:
        raise ModelError(
            f"fine-tuning has not helped: {out}: {before} on {len(asked)} held-out polygons before, nothing better "
            f"found in {epochs} epochs, so nothing was written. Use {model} as it is, or draw more polygons."
        )
    return tuned(after, epochs)


def _loaded(model: str, device: Device, precision: Precision) -> tuple[Segmenter, Pupil]:
    """The segmenter that embeds, and the same network as a pupil."""
    base = load_segmenter(model, device, precision)
    compute = choose(device, precision)
    if isinstance(base, LiteSegmenter):
        return base, LitePupil(shipped_path() if model == NAME else Path(model), compute, base.spec)
    if isinstance(base, SamSegmenter):
        return base, SamPupil(model, compute, base.spec)
    raise UsageError(
        f"the model cannot learn: --model: {model!r} found, a network wanted. Use {NAME}, one of the SAM family "
        "(`geosam models`), or a file of weights."
    )


def _check_output(out: Path, model: str, *, overwrite: bool) -> None:
    """Refuse an output that must not or cannot be written."""
    if out.suffix.lower() != EXTENSION:
        raise UnknownFormat(
            f"the output's extension names no file of weights: {out}: {out.suffix!r} found, {EXTENSION!r} wanted. "
            "Rename the output."
        )
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise UsageError(f"the output is an input: {out}: same file as --model {model}. Choose another output.")
    check_existing(out, overwrite=overwrite)
    if not Path(os.path.realpath(out)).parent.is_dir():
        raise ExportError(
            f"the output's folder does not exist: {out}: no folder {out.parent}, an existing one wanted. "
            "Create it first."
        )
    with Staging(out):  # a folder that cannot be written is refused now, not after the first epoch
        pass


def _write(pupil: Pupil, out: Path, tuned: Tuned) -> None:
    """Write the network as it is now, whole or not at all."""
    facts = {METADATA: json.dumps({**tuned.to_json(), "geosam": __version__}, sort_keys=True)}
    with Staging(out) as staging:
        made = staging.folder / staging.final.name
        with failures_reported(out):
            pupil.save(made, facts)
        read_state_dict(made, again=True)
        staging.publish([made])
