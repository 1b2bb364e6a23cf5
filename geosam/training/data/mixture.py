"""The training mixture: pictures of every set, and how often each set is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geosam.errors import UsageError
from geosam.segmenters.registry import load_segmenter
from geosam.training.data.corpus import training_pictures, unlabelled_scenes
from geosam.training.data.rendered import rendered_pictures
from geosam.training.data.self_labelled import self_labelled_pictures

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from geosam.training.samples import LabelledPicture

#: Weight of each set: sets are drawn in proportion to their weights.
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
    """Collect the pictures of every set, each set with its weight.

    Args:
        data: Folder with the labelled sets.
        pools: Folder that keeps rendered and self-labelled pictures.
        synthetic: Number of rendered pictures.
        seed: Seed of the rendered pictures.
        teacher: Name or file of a model that labels the unlabelled scenes; None leaves them out.
        without: Sets to leave out.

    Raises:
        UsageError: A set is missing, or every set is left out.
        ModelError: The teacher cannot be loaded.
    """
    # The teacher is loaded first: a wrong name fails before minutes of reading.
    segmenter = None if teacher is None or "self_labelled" in without else load_segmenter(teacher)
    groups: dict[str, list[LabelledPicture]] = {}
    for picture in training_pictures(data, without):
        groups.setdefault(picture.name.partition("/")[0], []).append(picture)
    if synthetic and "synthetic" not in without:
        groups["synthetic"] = list(rendered_pictures(synthetic, pools / "rendered", seed))
    if segmenter is not None:
        folder = pools / "self_labelled"
        groups["self_labelled"] = [
            picture
            for scene, area in unlabelled_scenes(data)
            for picture in self_labelled_pictures(scene, area, segmenter, folder)
        ]
    if not groups:
        raise UsageError(
            "no training pictures: every set is left out, expected at least one set.",
            remedy="Leave fewer sets out.",
            code="no-training-sets",
            without=sorted(without),
        )
    return {name: (WEIGHTS[name], pictures) for name, pictures in groups.items()}
