"""Values that people pass to open a scene: paths, open datasets, and values that end in one sentence."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import CRS
from raster_cases import refused, whole
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from scenes import NORTH_UP, REFUSED, SCENES, UTM, picture

from geosam.errors import UsageError
from geosam.scene import open_scene
from geosam.scene.names import name_of


class Named:
    """Any object with a path."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Named])
def test_text_and_paths_are_their_own_name(tmp_path, kind):
    path = SCENES["north_up"](tmp_path)
    assert name_of(kind(path)) == str(path)
    assert (whole(open_scene(kind(path))).rgb == picture()).all()


def test_an_open_dataset_is_opened_again_and_stays_open(tmp_path):
    path = SCENES["north_up"](tmp_path)
    with rasterio.open(path) as dataset:
        with open_scene(dataset, resolution=1.0) as scene:
            assert scene.path == str(path)
            assert scene.stated_resolution == 1.0
        assert not dataset.closed
        assert (dataset.read() == picture()).all()


def test_a_closed_dataset_still_has_its_name(tmp_path):
    with rasterio.open(SCENES["north_up"](tmp_path)) as dataset:
        pass
    assert (whole(open_scene(dataset)).rgb == picture()).all()


def test_a_dataset_of_a_web_address_is_that_address():
    class Remote:
        mode, closed, profile, name = "r", False, {}, "/vsicurl/https://example.org/a.tif"

    Remote.__module__ = "rasterio.io"
    assert name_of(Remote()) == "https://example.org/a.tif"


def test_a_dataset_in_memory_is_refused_with_what_to_do():
    profile = {"driver": "GTiff", "width": 90, "height": 70, "count": 3, "dtype": "uint8"}
    with MemoryFile() as memory, memory.open(**profile, crs=UTM, transform=NORTH_UP) as dataset:
        dataset.write(picture())
        dataset.close()
        with memory.open() as stored, refused(UsageError, "the dataset is no file", "GeoTIFF") as caught:
            open_scene(stored)
    assert caught.value.code == "dataset-without-file"


def test_a_warped_dataset_is_refused_with_what_to_do(tmp_path):
    with (
        rasterio.open(SCENES["north_up"](tmp_path)) as dataset,
        WarpedVRT(dataset, crs="EPSG:4326") as warped,
        refused(UsageError, "the dataset is no file", "GeoTIFF"),
    ):
        open_scene(warped)


def test_a_dataset_that_is_being_written_is_refused_until_it_is_closed(tmp_path):
    path = SCENES["north_up"](tmp_path)
    with rasterio.open(path, "r+") as dataset, refused(UsageError, "open for writing", path, "Close it"):
        open_scene(dataset)
    assert whole(open_scene(dataset)).valid.all()


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (picture(), ["numpy.ndarray", "GeoTIFF", "rasterio.open"]),
        (None, ["NoneType", "expected a path, a URL or an open rasterio dataset"]),
        (7, ["a int", "expected a path"]),
        (b"scene.tif", ["bytes", "expected a path"]),
        (["a.tif", "b.tif"], ["list", "expected a path"]),
    ],
    ids=["array", "nothing", "number", "bytes", "list"],
)
def test_other_things_end_in_a_sentence_that_says_what_to_write(thing, words):
    with refused(UsageError, *words) as caught:
        open_scene(thing)
    assert caught.value.exit_code == 2


def test_an_open_scene_is_used_as_it_is(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path))
    with refused(UsageError, "open already", scene.path, "open its path"):
        open_scene(scene)


@pytest.mark.parametrize(
    "crs", ["EPSG:32633", "epsg:32633", 32633, CRS.from_epsg(32633), rasterio.CRS.from_epsg(32633)], ids=repr
)
def test_a_crs_is_text_a_number_or_an_object_of_pyproj_or_rasterio(tmp_path, crs):
    opened = open_scene(REFUSED["no_crs"](tmp_path), crs=crs)
    assert opened.crs == CRS.from_epsg(32633)
    assert (whole(opened).rgb == picture()).all()


@pytest.mark.parametrize("crs", ["EPSG:nonsense", "", 999999, object()], ids=["text", "empty", "number", "object"])
def test_what_is_no_crs_is_refused_in_one_sentence(tmp_path, crs):
    with refused(UsageError, "`crs`", "EPSG:32633") as caught:
        open_scene(REFUSED["no_crs"](tmp_path), crs=crs)
    assert caught.value.code == "scene-crs-unknown"


def test_arrays_of_other_libraries_are_recognised_by_what_they_offer():
    class Raster:
        def __array__(self, dtype=None, copy=None):
            return np.zeros((3, 4, 4))

    Raster.__module__ = "xarray.core"
    with refused(UsageError, "xarray.Raster", "GeoTIFF"):
        open_scene(Raster())


def test_a_name_never_touches_the_file_system(tmp_path):
    gone = tmp_path / "gone.tif"
    assert name_of(gone) == os.fspath(gone)
