"""The sets that geosam's own weights are trained and judged on, by name, with licence and attribution."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from geosam.errors import UsageError
from geosam.training.data.labelled import read_label_map, read_labelled

if TYPE_CHECKING:
    from pathlib import Path

    from geosam.training.data.labelled import LabelKind
    from geosam.training.samples import LabelledPicture

Split: TypeAlias = Literal["train", "held_out", "unlabelled"]


@dataclass(frozen=True)
class LabelledSet:
    """Scenes with labels of one kind and origin."""

    name: str
    """The name it is reported under."""
    scenes: tuple[str, ...]
    """Paths in the folder of data; `*` stands for any name."""
    labels: str
    """Name of the file with the labels of a scene, beside it; `{stem}` is the scene's name without its extension."""
    kind: LabelKind | Literal["label_maps"]
    """What the labels are."""
    split: Split
    """Whether networks learn from it, are judged by it, or may label it themselves."""
    licence: str
    """Of imagery and labels."""
    attribution: str
    """Who is to be named."""
    area: str | None = None
    """Name of the file, beside the scene, with the polygons inside which everything is labelled; None: everywhere, or
    nowhere in a scene without labels."""
    complete: bool = True
    """Whether everything is labelled there; what has no label is background then."""
    bands: tuple[int, ...] | None = None
    """Bands of the picture, counted from 1; None: by colour interpretation."""
    most: int | None = None
    """Number of scenes that are used, the first by name, so that a set of many does not outweigh the others."""

    def files(self, data: Path) -> list[tuple[Path, Path]]:
        """Scene and labels of every picture in the folder `data`, in a fixed order.

        Raises:
            UsageError: the set is not there.
        """
        found = [path for pattern in self.scenes for path in sorted(data.glob(pattern))]
        if len(found) < len(self.scenes):
            raise UsageError(
                f"training data is missing: {data}: {len(found)} scenes of {self.name} found, at least "
                f"{len(self.scenes)} wanted. Name the folder that holds georef/ and masks/."
            )
        return [(path, path.with_name(self.labels.format(stem=path.stem))) for path in found[: self.most]]


def training_pictures(data: Path, without: Collection[str] = ()) -> Iterator[LabelledPicture]:
    """Every picture of the training sets but some in the folder `data`, one at a time; its name is `set/scene`.

    Raises:
        UsageError: a set is not there.
    """
    for one in SETS:
        if one.split == "train" and one.name not in without:
            yield from pictures(one, data)


def held_out_sets(data: Path, names: Collection[str] | None = None) -> dict[str, list[tuple[Path, Path]]]:
    """Name of each set that training never sees -> scene and labels of its pictures in the folder `data`.

    `names` are those of the wanted sets; None: all of them.

    Raises:
        UsageError: a set is not there.
    """
    wanted = [one for one in SETS if one.split == "held_out" and (names is None or one.name in names)]
    return {one.name: one.files(data) for one in wanted}


def unlabelled_scenes(data: Path) -> list[tuple[Path, Path | None]]:
    """Scenes in the folder `data` that a trained network may label itself, and the areas in them that have labels.

    Nothing in them is held out.

    Raises:
        UsageError: a set is not there.
    """
    return [
        (scene, None if one.area is None else scene.with_name(one.area))
        for one in SETS
        if one.split == "unlabelled"
        for scene, _ in one.files(data)
    ]


def pictures(one: LabelledSet, data: Path) -> Iterator[LabelledPicture]:
    """The pictures of a set in the folder `data`."""
    for scene, labels in one.files(data):
        if one.kind == "label_maps":
            picture = read_label_map(scene, labels)
        else:
            area = None if one.area is None else scene.with_name(one.area)
            picture = read_labelled(scene, labels, kind=one.kind, area=area, complete=one.complete, bands=one.bands)
        yield replace(picture, name=f"{one.name}/{scene.stem}")


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


#: Banepa is labelled in some of its chips only. Its other chips are the one source of pictures without labels.
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
        "held_out",  # share-alike: it may judge, but not teach
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
