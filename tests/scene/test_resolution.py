"""Resolution: means, interpolation, and windows that agree to the byte."""

import numpy as np
import pytest
import rasterio
from raster_cases import noise, random_windows, refused, unit_scene, whole
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scenes import SCENES, UTM, picture, write_scene

from geosam.errors import UsageError
from geosam.scene import open_scene, scene


def box_mean(array, scale, count):
    """Area means along the last axis, by brute force."""
    out = []
    for i in range(count):
        low, high = i * scale, min((i + 1) * scale, array.shape[-1])
        share = np.clip(
            np.minimum(high, np.arange(array.shape[-1]) + 1) - np.maximum(low, np.arange(array.shape[-1])), 0, 1
        )
        out.append((array * share).sum(axis=-1) / share.sum())
    return np.stack(out, axis=-1)


@pytest.mark.parametrize("scale", [1.0, 2.0, 2.5, 3.7, 11.0])
def test_coarser_pixels_are_the_mean_of_the_area_they_cover(scale, tmp_path):
    array = noise(93, 71)
    opened = open_scene(unit_scene(tmp_path, array), resolution=scale)
    grid = opened.geobox
    expected = box_mean(box_mean(array.astype(float), scale, grid.width).swapaxes(1, 2), scale, grid.height).swapaxes(
        1, 2
    )
    tile = whole(opened)
    assert opened.gsd_xy == pytest.approx((scale, scale))
    assert np.abs(tile.rgb[:, tile.valid] - expected[:, tile.valid]).max() <= 0.5 + 1e-6
    assert tile.valid[: int(71 / scale), : int(93 / scale)].all()


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.8])
def test_finer_pixels_are_interpolated_like_gdal_does(scale, tmp_path):
    array = noise(93, 71)
    path = unit_scene(tmp_path, array)
    opened = open_scene(path, resolution=scale)
    grid = opened.geobox
    target = np.zeros((3, grid.height, grid.width), np.uint8)
    with rasterio.open(path) as file:
        place = {"src_crs": UTM, "dst_crs": UTM, "src_transform": file.transform, "dst_transform": grid.transform}
        reproject(file.read(), target, **place, resampling=Resampling.bilinear)
    inner = (slice(None), slice(4, 71), slice(4, 93))
    assert np.abs(whole(opened).rgb[inner].astype(int) - target[inner]).max() <= 1


@pytest.mark.parametrize(
    "name", ["north_up", "rotated", "geographic", "nodata", "alpha", "mask_band", "four_band_uint16"]
)
@pytest.mark.parametrize("resolution", [0.21, 0.5, 0.9, 1.7, 6.0])
def test_resampled_windows_agree_to_the_byte(name, resolution, tmp_path):
    opened = open_scene(SCENES[name](tmp_path), resolution=resolution)
    full = whole(opened)
    for window in random_windows(opened.geobox, 12):
        tile = opened.read(window)
        assert (tile.rgb == full.rgb[:, *window.slices_rc]).all()
        assert (tile.valid == full.valid[window.slices_rc]).all()
        assert opened.is_empty(window) == (not full.valid[window.slices_rc].any())


def test_resampling_in_many_pieces_changes_nothing(tmp_path, monkeypatch):
    path = SCENES["nodata"](tmp_path)
    for resolution in (0.3, 1.3):
        expected = whole(open_scene(path, resolution=resolution))
        with monkeypatch.context() as patch:
            patch.setattr(scene, "_RESAMPLE_PX", 10)
            pieces = whole(open_scene(path, resolution=resolution))
        assert (pieces.rgb == expected.rgb).all()
        assert (pieces.valid == expected.valid).all()


@pytest.mark.fault("R16", "R17")
@pytest.mark.parametrize("name", ["south_up", "east_west_flipped"])
@pytest.mark.parametrize("resolution", [0.3, 0.8, 1.3])
def test_a_flipped_copy_is_the_same_at_another_resolution(name, resolution, tmp_path):
    original = open_scene(write_scene(tmp_path / "north.tif", picture(), photometric="rgb"), resolution=resolution)
    flipped = open_scene(SCENES[name](tmp_path), resolution=resolution)
    assert flipped.geobox == original.geobox
    assert (whole(flipped).rgb == whole(original).rgb).all()
    assert (whole(flipped).valid == whole(original).valid).all()


def test_invalid_pixels_do_not_leak_into_means(tmp_path):
    array = np.full((3, 40, 40), 200, np.uint8)
    array[:, :, :13] = 0
    tile = whole(open_scene(unit_scene(tmp_path, array, nodata=0), resolution=2))
    assert set(np.unique(tile.rgb[:, tile.valid])) == {200}
    assert not tile.valid[:, :6].any()
    assert tile.valid[:, 6:].all()  # column 6 covers one valid and one invalid pixel: half is enough


@pytest.mark.parametrize("name", ["north_up", "geographic", "non_square_pixels", "antimeridian"])
def test_resolution_is_metres_on_the_ground_along_both_axes(name, tmp_path):
    native = open_scene(SCENES[name](tmp_path))
    metres = 3 * max(native.gsd_xy)
    opened = open_scene(SCENES[name](tmp_path), resolution=metres)
    assert opened.gsd_xy == pytest.approx((metres, metres), rel=1e-3)
    assert opened.geobox.transform[2::3] == native.geobox.transform[2::3]


@pytest.mark.parametrize("resolution", [0, -1, float("nan"), float("inf"), 1e-9, 1e9])
def test_resolutions_that_are_none(resolution, tmp_path):
    with refused(UsageError, "`resolution`"):
        open_scene(SCENES["north_up"](tmp_path), resolution=resolution)
