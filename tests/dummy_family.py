"""A package of another publisher that offers a model to geosam, written into a folder as pip would install it."""

SEGMENTER = '''
"""Bright areas: every 4-connected area of pixels above a level is a roof."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import Embedding, ModelSpec


@dataclass(frozen=True)
class BrightSegmenter:
    level: int = 100

    @property
    def spec(self):
        return ModelSpec("bright", f"bright-{self.level}")

    @property
    def classes(self):
        return {1: "roof"}

    def embed(self, rgb, valid):
        bright = (rgb.max(axis=1) > self.level) & valid
        return [Embedding({"bright": mask}, mask.shape, self.spec.fingerprint) for mask in bright]

    def propose(self, embedding, keep):
        labels, count = ndimage.label(embedding.arrays["bright"])
        return MaskSet.from_labels(labels, class_id=np.ones(count, np.int32))
'''

FAMILY = '''
"""The bright areas in geosam's list of models."""

from geosam.segmenters.family import Family, ModelInfo


def load(name, request):
    from bright_areas.segmenter import BrightSegmenter

    return BrightSegmenter()


def recognise(file):
    return "bright" if "bright level" in file.metadata else None


def load_file(file, request):
    from bright_areas.segmenter import BrightSegmenter

    return BrightSegmenter(int(file.metadata["bright level"]))


FAMILY = Family(
    name="bright",
    models={"bright": ModelInfo("bright areas", licence="MIT", classes={1: "roof"})},
    load=load,
    recognise=recognise,
    load_file=load_file,
)
'''


def install(site, package="bright_areas", entry="bright = bright_areas.family:FAMILY", family=FAMILY):
    """Write a package with an entry point into the folder `site`, which is put on the path of Python, and return it."""
    home, facts = site / package, site / f"{package}-1.0.dist-info"
    for folder in (home, facts):
        folder.mkdir(parents=True)
    (home / "__init__.py").write_text("")
    (home / "family.py").write_text(family)
    (home / "segmenter.py").write_text(SEGMENTER)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[geosam.families]\n{entry}\n")
    return site
