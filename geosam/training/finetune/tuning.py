"""Fine-tuning: train the mask decoder of a network on the user's own polygons over a scene.

The encoder stays as it is, so every tile is embedded once. About a quarter of the polygons is held out, by whole blocks
of the scene. After every epoch the network is prompted for them by click and by box, and a state with better scores
than all before is written at once. So the output is complete at any time, and a run may be stopped at any time.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from geosam._version import __version__
from geosam.errors import ModelError, UnknownFormat, UsageError
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
from geosam.training.finetune.split import draw_held_out, objects_in_scene
from geosam.training.finetune.trainable_lite import TrainableLite
from geosam.training.finetune.trainable_sam import TrainableSam
from geosam.training.finetune.training_loop import FineTuneOptions, TrainingLoop
from geosam.vector.checks import check_existing, check_folder, check_inputs
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from geosam.scene import Scene
    from geosam.segmenters.compute import Device, Precision
    from geosam.segmenters.segmenter import Segmenter
    from geosam.training.finetune.scores import Scores
    from geosam.training.finetune.trainable_decoder import TrainableDecoder
    from geosam.training.finetune.training_loop import Progress
    from geosam.vector.polygons import PolygonLayer

__all__ = ["FineTuneOptions", "FineTuneResult", "finetune"]

logger = logging.getLogger(__name__)

#: Extension of the output, and the key in its metadata (JSON in the entry `geosam`) that says how it was made.
EXTENSION, METADATA = ".safetensors", "finetune"
#: Largest number of held-out polygons that the scores are computed from.
_MOST_SCORED = 100


@dataclass(frozen=True)
class FineTuneResult:
    """Scores before and after fine-tuning, and how they were reached."""

    # The names of the fields are those of the JSON report and of the metadata of the file.
    model: str
    """Name of the network that was tuned."""
    scene: str
    """Name of the scene's file."""
    polygons: int
    """Number of training polygons."""
    held_out: int
    """Number of held-out polygons that the scores are computed from."""
    before: Scores
    """Scores of the original network."""
    after: Scores
    """Scores of the written network."""
    epochs: int
    """Passes over the training polygons."""
    seconds: float
    """Time of the whole run."""
    seed: int
    """Seed of the options."""

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values for reports and metadata."""
        return {**asdict(self), "before": self.before._asdict(), "after": self.after._asdict()}


def finetune(
    scene: Scene,
    layer: PolygonLayer,
    model: str,
    out: Path,
    options: FineTuneOptions,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FineTuneResult:
    """Fine-tune a network on polygons over a scene, and write it whenever its scores are the best so far.

    Args:
        scene: Scene, opened as it will be segmented later: same bands, stretch and resolution.
        layer: One polygon for each object; a place without a polygon is unknown, not background.
        model: Name of a network, or a file of weights.
        out: File of the tuned network (.safetensors), which can be named in place of `model`.
        options: Limits and seed.
        device: Device of the computation.
        precision: Precision of the embeddings; the training computes in float32.
        cache: Folder of embeddings to read and to fill; None uses a temporary folder.
        progress: Called with (tiles done, tiles at most) from this thread.

    Raises:
        UsageError: The output is the model or no .safetensors file, or the model cannot be trained.
        ExportError: The output exists, or cannot be written.
        PromptError: There are too few polygons in the scene.
        ModelError: The model cannot be loaded, or no state was better than the original: nothing was written.
    """
    _check_output(out, model, overwrite=options.overwrite)
    begun = time.monotonic()
    rng = np.random.default_rng(options.seed)
    targets = objects_in_scene(scene, layer, rng)
    is_held_out = draw_held_out(targets, rng)
    held_out = [targets[row] for row in rng.permutation(np.flatnonzero(is_held_out))[:_MOST_SCORED]]
    training = [targets[row] for row in np.flatnonzero(~is_held_out)]
    keep_freed_memory()
    segmenter, decoder = _loaded(model, device, precision)
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(TemporaryDirectory(prefix="geosam-finetune-")))
        windows = PromptJob(TileEmbedder(scene, segmenter, EmbeddingStore(folder)), WindowRule(scene.region), ())
        loop = TrainingLoop(decoder, windows, training, held_out, options, rng, progress)
        loop.embed()
        before = loop.evaluate()
        logger.info("before: %s; %d training polygons, %d held out", before, len(training), len(held_out))

        def result(after: Scores, epochs: int) -> FineTuneResult:
            counts, seconds = (len(training), len(held_out)), time.monotonic() - begun
            names = segmenter.spec.name, Path(scene.path).name
            return FineTuneResult(*names, *counts, before, after, epochs, seconds, options.seed)

        after, epochs = loop.train(before, lambda scores, epoch: _write(decoder, out, result(scores, epoch)))
    if after is before:
        raise _no_gain(model, out, before, epochs, len(held_out))
    return result(after, epochs)


def _no_gain(model: str, out: Path, before: Scores, epochs: int, held_out: int) -> ModelError:
    """Make the error of a run whose scores never rose above those of the original network."""
    return ModelError(
        f"fine-tuning has not helped: {out}: found no better scores than {before} on {held_out} held-out polygons in "
        f"{epochs} epochs, so nothing was written.",
        remedy=f"Use {model} as it is, or draw more polygons.",
        code="no-gain",
        model=model,
        out=str(out),
        epochs=epochs,
        held_out=held_out,
    )


def _loaded(model: str, device: Device, precision: Precision) -> tuple[Segmenter, TrainableDecoder]:
    """Load a model twice: as the segmenter that embeds, and as a trainable decoder."""
    segmenter = load_segmenter(model, device, precision)
    compute = choose(device, precision)
    if isinstance(segmenter, LiteSegmenter):
        return segmenter, TrainableLite(shipped_path() if model == NAME else Path(model), compute, segmenter.spec)
    if isinstance(segmenter, SamSegmenter):
        return segmenter, TrainableSam(model, compute, segmenter.spec)
    raise UsageError(
        f"the model cannot be fine-tuned: found {model!r} as `model`, expected a network.",
        remedy=f"Use {NAME}, one of the SAM family (`geosam models`), or a file of weights.",
        code="model-not-trainable",
        model=model,
    )


def _check_output(out: Path, model: str, *, overwrite: bool) -> None:
    """Refuse an output that must not or cannot be written.

    Raises:
        UsageError: it is no .safetensors file, or the file of the model.
        ExportError: it exists, or its folder does not exist or cannot be written.
    """
    if out.suffix.lower() != EXTENSION:
        raise UnknownFormat(
            f"the output's extension names no file of weights: {out}: found {out.suffix!r}, expected {EXTENSION!r}.",
            remedy="Rename the output.",
            code="weights-extension",
            out=str(out),
            extension=out.suffix,
            expected=EXTENSION,
        )
    check_inputs(out, [Path(model)])
    check_existing(out, overwrite=overwrite)
    check_folder(out)
    with Staging(out):  # a folder that cannot be written is refused now, not after the first epoch
        pass


def _write(decoder: TrainableDecoder, out: Path, result: FineTuneResult) -> None:
    """Write the network in its present state; the output is complete or unchanged."""
    metadata = {METADATA: json.dumps({**result.to_json(), "geosam": __version__}, sort_keys=True)}
    with Staging(out) as staging:
        path = staging.folder / staging.final.name
        with failures_reported(out):
            decoder.save(path, metadata)
        read_state_dict(path, again=True)  # a damaged file must not replace a former output
        staging.publish([path])
