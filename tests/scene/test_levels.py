"""Overviews: used where they agree with the pixels, and else not."""

import numpy as np
import pytest
import rasterio
from raster_cases import noise, random_windows, unit_scene, whole
from rasterio.enums import Resampling
from rasterio.windows import Window as FileWindow
from scenes import NORTH_UP, UTM, blank, write_scene

from geosam.scene import open_scene


@pytest.mark.fault("R51")
def test_stale_overviews_touch_neither_pixels_nor_stretch(tmp_path):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 300, 400), np.uint16), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    fresh = noise(400, 300, 1, "uint16")
    with rasterio.open(path, "r+") as file:
        file.write(fresh)
        assert file.read(1, out_shape=(75, 100)).max() == 0, "the overview is stale"
    opened = open_scene(path)
    limits = np.percentile(fresh, (2, 98))
    assert (opened.stretch.low[0], opened.stretch.high[0]) == tuple(limits)
    coarse = open_scene(path, resolution=2.0)
    assert "the overviews of" in coarse.warnings[0]
    assert whole(coarse).rgb.max() > 200


def with_overviews(path, resampling=Resampling.average):
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], resampling)
    return path


@pytest.mark.parametrize("resampling", [Resampling.average, Resampling.nearest, Resampling.cubic, Resampling.gauss])
def test_overviews_serve_where_they_agree_with_the_pixels(resampling, tmp_path):
    path = with_overviews(unit_scene(tmp_path, noise(400, 300), tiled=True, blockxsize=64, blockysize=64), resampling)
    levels = {
        res: open_scene(path, resolution=res).reader.raster.overview for res in (0.5, 1.0, 1.9, 2.0, 3.9, 4.0, 9.0)
    }
    assert levels == {0.5: None, 1.0: None, 1.9: None, 2.0: 0, 3.9: 0, 4.0: 1, 9.0: 1}
    opened = open_scene(path, resolution=5.0)
    assert opened.warnings == ()
    full = whole(opened)
    for window in random_windows(opened.geobox):
        assert (opened.read(window).rgb == full.rgb[:, *window.slices_rc]).all()


def test_means_of_averaging_overviews_are_the_means_of_the_pixels(tmp_path):
    array = noise(400, 320)
    plain = whole(open_scene(unit_scene(tmp_path, array), resolution=8.0))
    path = with_overviews(unit_scene(tmp_path, array, tiled=True, blockxsize=64, blockysize=64))
    served = open_scene(path, resolution=8.0)
    assert served.reader.raster.overview == 1
    assert np.abs(whole(served).rgb.astype(int) - plain.rgb).max() <= 1
    assert (whole(served).valid == plain.valid).all()


def test_overviews_of_a_mask_band_serve_too(tmp_path):
    path = unit_scene(tmp_path, noise(256, 256), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(blank(np.full((1, 256, 256), 255, np.uint8))[0])
        file.build_overviews([2, 4], Resampling.average)
    opened = open_scene(path, resolution=4.0)
    assert opened.reader.raster.overview == 1
    assert (whole(opened).valid == (blank(np.ones((1, 64, 64)))[0] > 0)).all()


def test_overviews_of_a_file_with_holes_are_not_used(tmp_path):
    path = tmp_path / "sparse.tif"
    shape = {
        "width": 256,
        "height": 256,
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    with rasterio.open(path, "w", driver="GTiff", **shape, sparse_ok=True, crs=UTM, transform=NORTH_UP) as file:
        file.write(noise(64, 64, 1), window=FileWindow(0, 0, 64, 64))
    opened = open_scene(with_overviews(path), resolution=2.0)
    assert opened.reader.raster.overview is None
    assert not whole(opened).valid[17:, 17:].any()
