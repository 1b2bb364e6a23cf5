"""Pixels of a scene: those that rasterio reads, presented north-up, window by window."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS
from raster_cases import noise, random_windows, whole
from scenes import NORTH_UP, SCENES, UTM, picture, rotated, write_scene

from geosam.geometry.geobox import GeoBox
from geosam.scene import open_scene


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_what_rasterio_reads_presented_north_up(name, tmp_path):
    path = SCENES[name](tmp_path)
    tile = whole(open_scene(path, stretch="none"))
    with rasterio.open(path) as file:
        raw = file.read([1, 2, 3] if file.count >= 3 else [1, 1, 1])
        mask = file.dataset_mask() > 0
        mirrored = (
            slice(None, None, -1 if file.transform.e > 0 else 1),
            slice(None, None, int(np.sign(file.transform.a))),
        )
        assert tile.geobox.bounds == pytest.approx(GeoBox(file.width, file.height, file.transform, CRS(UTM)).bounds)
        assert tile.geobox.crs == CRS.from_user_input(file.crs.to_wkt())
    expected = np.clip(raw, 0, 255).astype(np.uint8)[:, *mirrored]
    assert (tile.valid == mask[mirrored]).all()
    assert (tile.rgb[:, tile.valid] == expected[:, tile.valid]).all()
    assert (tile.rgb[:, ~tile.valid] == 0).all()
    assert tile.geobox.transform.determinant < 0


@pytest.mark.parametrize("name", SCENES)
def test_every_window_holds_the_pixels_of_the_whole(name, tmp_path):
    opened = open_scene(SCENES[name](tmp_path))
    full = whole(opened)
    for window in random_windows(opened.geobox):
        tile = opened.read(window)
        assert (tile.rgb == full.rgb[:, *window.slices_rc]).all()
        assert (tile.valid == full.valid[window.slices_rc]).all()
        assert tile.geobox == opened.geobox.crop(window)
        assert tile.window == window


@pytest.mark.fault("R16", "R17")
@pytest.mark.parametrize("name", ["south_up", "east_west_flipped"])
@pytest.mark.parametrize("rule", ["auto", "p2,p98"])
def test_flipped_copies_are_the_north_up_scene(name, rule, tmp_path):
    original = open_scene(write_scene(tmp_path / "north.tif", picture(), photometric="rgb"), stretch=rule)
    flipped = open_scene(SCENES[name](tmp_path), stretch=rule)
    assert flipped.geobox == original.geobox
    assert flipped.stretch == original.stretch
    assert flipped.gsd_xy == original.gsd_xy
    for window in random_windows(original.geobox):
        assert (flipped.read(window).rgb == original.read(window).rgb).all()


@pytest.mark.fault("R16", "R17")
def test_a_scene_flipped_both_ways_is_the_north_up_scene(tmp_path):
    array = picture()
    t = NORTH_UP
    turned = Affine(-t.a, 0, t.c + t.a * array.shape[2], 0, -t.e, t.f + t.e * array.shape[1])
    flipped = open_scene(write_scene(tmp_path / "turned.tif", array[:, ::-1, ::-1], transform=turned))
    assert flipped.geobox.transform == t
    assert (whole(flipped).rgb == array).all()


@pytest.mark.fault("R16")
def test_a_mirrored_rotated_scene_is_unflipped(tmp_path):
    array = picture()
    mirrored = rotated() @ Affine.translation(0, array.shape[1]) @ Affine.scale(1, -1)
    flipped = open_scene(write_scene(tmp_path / "mirrored.tif", array[:, ::-1], transform=mirrored))
    assert flipped.geobox.transform[:6] == pytest.approx(rotated()[:6])
    assert (whole(flipped).rgb == array).all()


@pytest.mark.fault("R25")
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 50), (50, 1)])
def test_scenes_of_one_pixel_width(width, height, tmp_path):
    array = noise(width, height)
    for resolution in (None, 0.2, 3.0):
        opened = open_scene(write_scene(tmp_path / "a.tif", array), resolution=resolution)
        assert whole(opened).rgb.shape == (3, opened.geobox.height, opened.geobox.width)
    assert (whole(open_scene(tmp_path / "a.tif")).rgb == array).all()


@pytest.mark.fault("R52")
def test_bigtiff_is_read(tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", picture(), bigtiff="yes"))
    assert (whole(opened).rgb == picture()).all()
