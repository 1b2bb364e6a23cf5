"""Valid pixels: nodata, alpha, masks, values that are not finite, and blocks that were never written."""

import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from raster_cases import noise, random_windows, whole
from rasterio.windows import Window as FileWindow
from scenes import NORTH_UP, SCENES, UTM, blank, picture, write_scene

from geosam.geometry.geobox import Window
from geosam.scene import open_scene


@pytest.mark.fault("R32", "R33")
def test_pixels_without_a_finite_band_are_invalid(tmp_path):
    array = noise(60, 50, dtype="float32")
    array[:, :10] = np.nan
    array[0, 20:30] = np.nan
    array[:, 45:] = np.inf
    for number, profile in enumerate([{}, {"nodata": np.nan}, {"nodata": -9999.0}]):
        opened = open_scene(write_scene(tmp_path / f"{number}.tif", array, **profile))
        tile = whole(opened)
        assert (tile.valid == np.isfinite(array).any(axis=0)).all()
        assert (tile.rgb[0, 20:30] == 0).all()
        finite = [band[np.isfinite(band)] for band in array]
        assert opened.stretch.low == pytest.approx([np.percentile(band.astype(float), 2) for band in finite])


@pytest.mark.fault("R34")
def test_a_pixel_is_nodata_only_if_all_used_bands_are(tmp_path):
    array = picture()
    array[0, :10] = 0
    array[:, 40:] = 0
    path = write_scene(tmp_path / "a.tif", array, nodata=0)
    with rasterio.open(path) as file:
        assert (whole(open_scene(path)).valid == (file.dataset_mask() > 0)).all()
    assert not whole(open_scene(path, bands=(1,))).valid[:10].any()


def test_nodata_of_one_band_stays_out_of_its_statistics(tmp_path):
    array = noise(60, 50, dtype="float32") + 10
    array[1, :20] = -9999
    opened = open_scene(write_scene(tmp_path / "a.tif", array, nodata=-9999))
    assert min(opened.stretch.low) > 0
    assert whole(opened).valid.all()


@pytest.mark.fault("R35")
def test_a_mask_band_beats_nodata_and_the_user_is_told(tmp_path):
    array = picture()
    array[:, 60:] = 7
    path = write_scene(tmp_path / "a.tif", array, nodata=7)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(blank(np.full((1, 70, 90), 255, np.uint8))[0])
    opened = open_scene(path)
    assert (whole(opened).valid == (blank(np.ones((1, 70, 90)))[0] > 0)).all()
    assert "the mask band decides which pixels are valid" in opened.warnings[0]


def test_nodata_and_alpha_both_count(tmp_path):
    array = np.concatenate([picture(), np.full((1, 70, 90), 255, np.uint8)])
    array[3, :5] = 0
    array[:3, 65:] = 9
    opened = open_scene(write_scene(tmp_path / "a.tif", array, photometric="rgb", alpha="yes", nodata=9))
    valid = whole(opened).valid
    assert not valid[:5].any()
    assert not valid[65:].any()
    assert valid[5:65].all()


@pytest.mark.fault("R37")
def test_a_mask_sidecar_of_the_wrong_size_is_ignored(tmp_path):
    path = SCENES["north_up"](tmp_path)
    write_scene(path.with_name("scene.tif.msk"), np.zeros((1, 8, 8), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert whole(open_scene(path)).valid.all()


@pytest.mark.fault("R38")
@pytest.mark.parametrize("value", ["-9999", "1e40", "0.5", "nan"])
def test_nodata_outside_the_type_is_no_nodata(value, tmp_path):
    path = SCENES["single_band"](tmp_path)
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>{UTM}</SRS><GeoTransform>5,1,0,5,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    tile = whole(open_scene(vrt))
    assert tile.valid.all()
    assert (tile.rgb == picture()[0]).all()


@pytest.mark.fault("R39")
def test_windows_and_scenes_without_a_valid_pixel(tmp_path):
    opened = open_scene(SCENES["nodata"](tmp_path))
    assert opened.is_empty(Window(0, 0, 20, 20))
    assert not opened.is_empty(Window(0, 0, 60, 20))
    array = np.zeros((3, 50, 60), np.uint16)
    empty = open_scene(write_scene(tmp_path / "empty.tif", array, nodata=0))
    assert empty.is_empty(empty.geobox.window)
    assert not whole(empty).rgb.any()
    assert "no valid pixel was found for the stretch" in empty.warnings[0]


@pytest.mark.fault("R40")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_constant_scene_is_read(dtype, tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", np.full((1, 50, 60), 9, dtype)))
    assert len(np.unique(whole(opened).rgb)) == 1
    assert whole(opened).valid.all()


@pytest.mark.fault("R49")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("flipped", [False, True])
def test_blocks_that_were_never_written_are_invalid(interleave, flipped, tmp_path):
    path = tmp_path / "sparse.tif"
    shape = {"width": 200, "height": 150, "count": 3, "dtype": "uint8"}
    transform = Affine(-1, 0, 900, 0, 1, 5) if flipped else NORTH_UP
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "deflate", "interleave": interleave}
    with rasterio.open(
        path, "w", driver="GTiff", **shape, **profile, sparse_ok=True, crs=UTM, transform=transform
    ) as file:
        file.write(np.zeros((3, 32, 64), np.uint8) + np.uint8([[[0]], [[5]], [[0]]]), window=FileWindow(64, 32, 64, 32))
    written = np.zeros((150, 200), bool)
    written[32:64, 64:128] = True
    written = written[::-1, ::-1] if flipped else written
    opened = open_scene(path)
    assert (whole(opened).valid == written).all()
    for window in random_windows(opened.geobox):
        assert (opened.read(window).valid == written[window.slices_rc]).all()
        assert opened.is_empty(window) == (not written[window.slices_rc].any())


@pytest.mark.fault("R49")
def test_a_written_black_block_is_valid(tmp_path):
    assert whole(open_scene(write_scene(tmp_path / "a.tif", np.zeros((3, 40, 40), np.uint8)))).valid.all()


@pytest.mark.serial
@pytest.mark.fault("R49", "R50")
def test_a_huge_sparse_scene_is_read_in_bounded_memory(tmp_path):
    import psutil

    path = tmp_path / "huge.tif"
    shape = {"width": 100_000, "height": 100_000, "count": 1, "dtype": "uint16"}
    profile = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "yes"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile, sparse_ok=True, crs=UTM, transform=NORTH_UP) as f:
        f.write(noise(512, 512, 1, "uint16"), window=FileWindow(51_200, 51_200, 512, 512))
    before = psutil.Process().memory_info().rss
    opened = open_scene(path, stretch="0,65535")
    assert opened.is_empty(Window(0, 0, 40_000, 40_000))
    tile = opened.read(Window(51_000, 51_000, 1024, 1024))
    assert tile.valid.sum() == 512 * 512
    assert psutil.Process().memory_info().rss - before < 150 * 2**20
