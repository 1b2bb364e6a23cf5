"""A scene, and runs over it that tell which tiles they embedded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from known_answers import flat_scene
from scenes import write_scene

from geosam.objects.embeddings.store import EmbeddingStore
from geosam.prompts.prompt import Prompt
from geosam.run.embedding import embed_scene
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SMALL = {"tile_size": 64, "overlap": 16}
TILES = 15


@dataclass(frozen=True)
class Counting(ThresholdSegmenter):
    """Writes down how many tiles every call embeds, across processes; likes batches, and input of a fixed size."""

    log: str = ""
    batch_size: int = 1
    input_size: int | None = None
    model: str = "threshold-1"

    @property
    def spec(self):
        return replace(super().spec, fingerprint=self.model, batch_size=self.batch_size, input_size=self.input_size)

    def embed(self, rgb, valid):
        with Path(self.log).open("a") as file:
            file.write(f"{len(rgb)} ")
        assert self.input_size is None or rgb.shape[2:] == (self.input_size, self.input_size)
        return super().embed(rgb, valid)


@dataclass
class Bench:
    """A scene, and runs over it that tell what they embedded."""

    folder: Path
    path: Path
    runs: int = 0

    def segmenter(self, **how):
        return Counting(log=str(self.folder / f"log{self.runs}"), **how)

    def embedded(self):
        """Tiles of each call since the last run began."""
        log = self.folder / f"log{self.runs}"
        return [int(count) for count in log.read_text().split()] if log.exists() else []

    def store(self, **limit):
        return EmbeddingStore(self.folder / "store", **limit)

    def segment(self, store=None, *, opening=None, how=None, **options):
        """(bytes of the output, summary); the output has one name always, for it is in the bytes."""
        return self._run(store, segment_scene, opening, how, options)

    def prompt(self, store=None, **options):
        def run(scene, segmenter, *rest, **more):
            return segment_prompts(scene, segmenter, self.clicks(scene), *rest, **more)

        return self._run(store, run, None, None, options)

    def _run(self, store, run, opening, how, options):
        self.runs += 1
        out = self.folder / str(self.runs) / "out.gpkg"
        out.parent.mkdir()
        scene = open_scene(self.path, **opening or {})
        summary = run(scene, self.segmenter(**how or {}), out, RunOptions(**SMALL | options), store=store)
        return out.read_bytes(), summary

    def embed(self, store, *, opening=None, how=None, **options):
        self.runs += 1
        options = RunOptions(**SMALL | options)
        return embed_scene(open_scene(self.path, **opening or {}), self.segmenter(**how or {}), store, options)

    def clicks(self, scene):
        pixels = np.random.default_rng(1).uniform(0, (210, 150), (12, 2))
        one = np.ones(1, np.int8)
        return [Prompt(str(i), scene.geobox.crs, scene.geobox.to_map([xy]), one) for i, xy in enumerate(pixels)]


def bench_in(folder):
    picture = flat_scene(np.random.default_rng(3), 150, 210, 40)
    picture[:, :60, :60] = 0  # the first tile has only nodata but for a corner
    return Bench(folder, write_scene(folder / "scene.tif", picture, photometric="rgb", nodata=0))


def entries(store):
    return sorted(store.folder.glob("??/*.safetensors"))
