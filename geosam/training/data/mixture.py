"""What the network learns from: pictures of every set, and how often each set is drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geosam.errors import UsageError
from geosam.segmenters.registry import load_segmenter
from geosam.training.data.corpus import training_pictures, unlabelled_scenes
from geosam.training.data.rendered import rendered_pictures
from geosam.training.data.selflabelled import self_labelled_pictures

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from geosam.training.samples import LabelledPicture

#: How often each set is drawn from, in proportion.
WEIGHTS = {
    "buildings_banepa_large": 0.24,
    "buildings_kampala_0": 0.1,
    "fields_naip": 0.28,
    "trees_neon_SJER": 0.02,
    "trees_neon_HARV": 0.02,
    "trees_urban_naip": 0.01,
    "water_landsat_ucayali": 0.02,
    "dsb2018_nuclei": 0.03,
    "synthetic": 0.3,
    "self_labelled": 0.1,
}


def mixture(
    data: Path, pools: Path, *, synthetic: int, seed: int, teacher: str | None = None, without: Collection[str] = ()
) -> dict[str, tuple[float, list[LabelledPicture]]]:
    """Weight and pictures of every set.

    Args:
        data: Folder with the labelled sets.
        pools: Folder where pictures are kept that had to be made.
        synthetic: How many are rendered.
        seed: Of those.
        teacher: Name or file of a model that labels scenes that nobody has labelled; None: they are not used.
        without: Sets to leave out.

    Raises:
        UsageError: a set is not there, or none is left.
        ModelError: the teacher cannot be loaded.
    """
    segmenter = None if teacher is None or "self_labelled" in without else load_segmenter(teacher)
    found: dict[str, list[LabelledPicture]] = {}
    for picture in training_pictures(data, without):
        found.setdefault(picture.name.partition("/")[0], []).append(picture)
    if synthetic and "synthetic" not in without:
        found["synthetic"] = list(rendered_pictures(synthetic, pools / "rendered", seed))
    if segmenter is not None:
        folder = pools / "self_labelled"
        found["self_labelled"] = [
            picture
            for scene, area in unlabelled_scenes(data)
            for picture in self_labelled_pictures(scene, area, segmenter, folder)
        ]
    if not found:
        raise UsageError("nothing is left to learn from: every set is left out. Leave fewer out.")
    return {name: (WEIGHTS[name], pictures) for name, pictures in found.items()}
