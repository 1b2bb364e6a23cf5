"""Cases of sessions: small scenes with small windows, models that count their calls, the polygon of a batch run."""

from dataclasses import dataclass, field

import geopandas
import numpy as np
import shapely
from known_answers import RefiningSegmenter
from pyproj import Transformer
from scenes import SCENES

from geosam import Draft, RunOptions, open_scene, prompt_of, segment_prompts
from geosam.objects.session import Session
from geosam.objects.windows import WindowRule
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

TILE, OVERLAP = 32, 8
OPTIONS = RunOptions(tile_size=TILE, overlap=OVERLAP, overwrite=True)


@dataclass(frozen=True)
class _Counting:
    """Counts the windows and the prompts of each call of a segmenter."""

    embedded: list = field(default_factory=list)
    decoded: list = field(default_factory=list)

    def embed(self, rgb, valid):
        self.embedded.append(rgb.shape)
        return super().embed(rgb, valid)

    def decode(self, embedding, prompts, *, multimask, keep):
        self.decoded.append(len(prompts))
        return super().decode(embedding, prompts, multimask=multimask, keep=keep)


@dataclass(frozen=True)
class Counting(_Counting, ThresholdSegmenter):
    """Gives one mask for a prompt."""


@dataclass(frozen=True)
class CountingRefining(_Counting, RefiningSegmenter):
    """Goes on from its answers."""


def scene_of(tmp_path, array, kind="north_up"):
    """A scene of a picture, (H, W) grey or (3, H, W)."""
    array = np.asarray(array, np.uint8)
    return open_scene(SCENES[kind](tmp_path, np.stack([array] * 3) if array.ndim == 2 else array))


def session_of(scene, segmenter=None, **options):
    """A session with small windows."""
    return Session(scene, segmenter or ThresholdSegmenter(), rule=WindowRule(scene.region, TILE, OVERLAP), **options)


def on_map(scene, crs, *pixels):
    """Pixel coordinates as map coordinates in a CRS."""
    xy = scene.geobox.to_map(np.array(pixels, float))
    return list(zip(*Transformer.from_crs(scene.geobox.crs, crs, always_xy=True).transform(*xy.T), strict=True))


def clicks(scene, *points, crs=None):
    """A draft of clicks (x, y) or (x, y, label) in pixels of the scene."""
    crs = scene.geobox.crs.to_wkt() if crs is None else crs
    draft = Draft(crs)
    for x, y, *label in points:
        draft = draft.with_point(*on_map(scene, crs, (x, y))[0], *(label or [1]))
    return draft


def batch_row(scene, segmenter, prompts, folder, options=OPTIONS):
    """What `geosam segment --prompts` writes for one object: (WKB, columns), None if it finds nothing."""
    out = folder / "batch.parquet"
    segment_prompts(scene, segmenter, prompts, out, options)
    table = geopandas.read_parquet(out)
    if table.empty:
        return None
    row = table.iloc[0].to_dict()
    return shapely.to_wkb(row.pop("geometry")), row


def same_as_batch(answer, session, draft, folder):
    """Whether an answer is what a batch run gives for the same draft, to the byte."""
    row = batch_row(session.scene, session.segmenter, [prompt_of(draft)], folder)
    if row is None or answer.found is None:
        return row is None and answer.found is None
    wkb, columns = row
    told = answer.found.columns
    return shapely.to_wkb(answer.found.polygon) == wkb and {name: columns[name] for name in told} == dict(told)


def state_of(answer):
    """An answer as a value that can be compared."""
    found = answer.found
    told = None if found is None else (shapely.to_wkb(found.polygon), tuple(found.columns.items()))
    return answer.ready, answer.complete, answer.window, told
