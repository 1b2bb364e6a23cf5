"""The sets that geosam's own weights are trained and evaluated on, with licence and attribution."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from geosam.errors import UsageError
from geosam.training.data.labels import read_label_map, read_labelled

if TYPE_CHECKING:
    from pathlib import Path

    from geosam.training.data.labels import LabelKind
    from geosam.training.samples import LabelledPicture

Split: TypeAlias = Literal["train", "held_out", "unlabelled"]


@dataclass(frozen=True)
class LabelledSet:
    """Scenes with labels of one kind and origin."""

    name: str
    """Name of the set in reports and options."""
    scenes: tuple[str, ...]
    """Patterns of the scenes' paths in the data folder; `*` stands for any name."""
    labels: str
    """Name of the label file beside a scene; `{stem}` stands for the scene's name without its extension."""
    kind: LabelKind | Literal["label_maps"]
    """Kind of the labels."""
    split: Split
    """Use of the set: networks are trained on it, evaluated on it, or may label it themselves."""
    licence: str
    """Licence of imagery and labels."""
    attribution: str
    """Names to be given as the source."""
    area: str | None = None
    """Name of the vector file beside the scene with the polygons inside which everything is labelled; None: the whole
    scene is labelled, or has no labels."""
    complete: bool = True
    """True if every object in the area is labelled, so that a pixel without a label is background."""
    bands: tuple[int, ...] | None = None
    """Bands of the picture, counted from 1; None: by colour interpretation."""
    most: int | None = None
    """Number of scenes that are used, the first by name; a large set does not outweigh the others."""

    def files(self, data: Path) -> list[tuple[Path, Path]]:
        """List scene and labels of every picture in the folder `data`, in a fixed order.

        Raises:
            UsageError: The set is missing.
        """
        scenes = [path for pattern in self.scenes for path in sorted(data.glob(pattern))]
        if len(scenes) < len(self.scenes):
            raise UsageError(
                f"training data is missing: {data}: found {len(scenes)} scenes of {self.name}, expected at least "
                f"{len(self.scenes)}.",
                remedy="Name the folder that holds georef/ and masks/.",
                code="training-data-missing",
                data=str(data),
                set=self.name,
            )
        return [(path, path.with_name(self.labels.format(stem=path.stem))) for path in scenes[: self.most]]


def training_pictures(data: Path, without: Collection[str] = ()) -> Iterator[LabelledPicture]:
    """Yield every picture of the training sets except the sets `without`; the name of a picture is `set/scene`.

    Raises:
        UsageError: A set is missing in the folder `data`.
    """
    for labelled_set in SETS:
        if labelled_set.split == "train" and labelled_set.name not in without:
            yield from pictures(labelled_set, data)


def held_out_sets(data: Path, names: Collection[str] | None = None) -> dict[str, list[tuple[Path, Path]]]:
    """List scene and labels of the pictures of every held-out set, by the name of the set.

    Args:
        data: Folder with the sets.
        names: Sets to list; None lists all of them.

    Raises:
        UsageError: A set is missing.
    """
    chosen = [entry for entry in SETS if entry.split == "held_out" and (names is None or entry.name in names)]
    return {entry.name: entry.files(data) for entry in chosen}


def unlabelled_scenes(data: Path) -> list[tuple[Path, Path | None]]:
    """List the scenes that a trained network may label, each with the file of the area that has labels already.

    Raises:
        UsageError: A set is missing in the folder `data`.
    """
    return [
        (scene, None if entry.area is None else scene.with_name(entry.area))
        for entry in SETS
        if entry.split == "unlabelled"
        for scene, _ in entry.files(data)
    ]


def pictures(labelled_set: LabelledSet, data: Path) -> Iterator[LabelledPicture]:
    """Yield the pictures of a set in the folder `data`."""
    kind, complete, bands = labelled_set.kind, labelled_set.complete, labelled_set.bands
    for scene, labels in labelled_set.files(data):
        if kind == "label_maps":
            picture = read_label_map(scene, labels)
        else:
            area = None if labelled_set.area is None else scene.with_name(labelled_set.area)
            picture = read_labelled(scene, labels, kind=kind, area=area, complete=complete, bands=bands)
        yield replace(picture, name=f"{labelled_set.name}/{scene.stem}")


def _buildings(place: str, split: Split, area: str | None = None) -> LabelledSet:
    return LabelledSet(
        f"buildings_{place}",
        (f"georef/buildings_{place}/image.tif",),
        "labels.gpkg",
        "polygons",
        split,
        "imagery CC-BY 4.0, footprints ODbL",
        "OpenAerialMap contributors; OpenStreetMap contributors; Humanitarian OpenStreetMap Team",
        area,
    )


def _fields(split: Split, *places: str) -> LabelledSet:
    return LabelledSet(
        "fields_naip",
        tuple(f"georef/fields_naip/naip_{place}.tif" for place in places),
        "{stem}.geojson",
        "polygons",
        split,
        "imagery public domain, labels MIT",
        "USDA National Agriculture Imagery Program; Superlinear (agoro-field-boundary-detector)",
    )


def _neon_trees(site: str) -> LabelledSet:
    return LabelledSet(
        f"trees_neon_{site}",
        (f"georef/trees_neon_{site}/*.tif",),
        "boxes.gpkg",
        "boxes",
        "train",
        "imagery CC0, labels CC-BY 4.0 (believed: the repository they come from is MIT)",
        "National Ecological Observatory Network; NeonTreeEvaluation (Weecology)",
        complete=False,  # many crowns of the forest and most shrubs have no box
    )


#: Only some chips of Banepa are labelled: the others are the unlabelled pictures, and nothing in them is held out.
SETS = (
    _buildings("kampala_0", "train"),
    _buildings("banepa_large", "train", "labelled_area.gpkg"),
    _buildings("banepa_large", "unlabelled", "labelled_area.gpkg"),
    _buildings("zanzibar_0", "held_out"),
    _buildings("zanzibar_1", "held_out"),
    LabelledSet(
        "buildings_spacenet4_atlanta_pan_u16",
        ("georef/buildings_spacenet4_atlanta_pan_u16/image.tif",),
        "labels.gpkg",
        "polygons",
        "held_out",  # share-alike: weights trained on it would have to carry its licence
        "CC BY-SA 4.0",
        "SpaceNet 4 (SpaceNet on AWS); CosmiQ Works (solaris)",
    ),
    _fields(
        "train",
        "38.8381_-95.0457", "39.6679_-95.4288", "40.2497_-91.9641", "40.3675_-89.9559", "41.1864_-88.1872",
        "41.3497_-89.8827", "41.4814_-88.8422", "41.6497_-89.5929", "41.8049_-89.9462", "43.3076_-83.6174",
        "43.3216_-83.5854", "43.4066_-83.6220", "43.4089_-83.6680", "43.9848_-96.5876", "45.3400_-93.7965",
        "45.6151_-95.0172",
    ),
    _fields(
        "held_out",
        "38.7482_-89.6549", "40.1638_-89.9943", "40.7993_-81.7019", "42.6575_-90.0795", "42.6745_-89.6856",
        "42.6802_-89.8864", "43.0237_-95.8221", "44.0347_-93.8702",
    ),
    _neon_trees("SJER"),
    _neon_trees("HARV"),
    LabelledSet(
        "trees_urban_naip",
        ("georef/trees_urban_naip/*.tif",),
        "{stem}.geojson",
        "points",
        "train",
        "labels CC-BY 4.0, imagery public domain",
        "Ventura et al., urban-tree-detection-data; USDA National Agriculture Imagery Program",
        bands=(1, 2, 3),  # the fourth is near infrared, in some of the files tagged alpha
    ),
    LabelledSet(
        "water_landsat_ucayali",
        ("georef/water_landsat_ucayali/*.tif",),
        "{stem}.gpkg",
        "polygons",
        "train",
        "imagery public domain, file collection MIT",
        "USGS Landsat; opengeos",
        bands=(1, 3, 4),  # without near infrared, from which the labels are derived
    ),
    LabelledSet(
        "dsb2018_nuclei",
        ("masks/open/dsb2018_nuclei/*.jpg",),
        "{stem}.labels.png",
        "label_maps",
        "train",
        "CC0",
        "2018 Data Science Bowl (BBBC038), with the corrections of K. Lopuhin",
        most=150,
    ),
)  # fmt: skip
