"""Bands of the picture: which ones are chosen, their types, palettes, and refusals."""

import shutil

import numpy as np
import pytest
import rasterio
from raster_cases import noise, refused, whole
from scenes import NORTH_UP, SCENES, UTM, blank, picture, write_scene

from geosam.errors import UnsupportedBands, UsageError
from geosam.scene import open_scene


@pytest.mark.fault("R44", "R45")
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"])
def test_types_other_than_uint8_get_one_stretch_for_the_scene(dtype, tmp_path):
    values = noise(60, 50, dtype="uint16").astype(np.float64) / 600
    array = values.astype(dtype)
    opened = open_scene(write_scene(tmp_path / "a.tif", array))
    limits = np.percentile(array.reshape(3, -1), (2, 98), axis=1)
    assert (opened.stretch.low, opened.stretch.high) == (tuple(limits[0]), tuple(limits[1]))
    assert opened.describe()["dtype"] == [dtype]


@pytest.mark.fault("R44")
def test_twelve_bits_in_sixteen(tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", noise(60, 50, dtype="uint16") // 16, nbits=12))
    assert opened.stretch.high[0] <= 4095
    assert whole(opened).rgb.max() == 255


@pytest.mark.fault("R45")
def test_one_bit_uses_the_whole_range_of_the_picture(tmp_path):
    array = (picture()[:1] > 60).astype(np.uint8)
    tile = whole(open_scene(write_scene(tmp_path / "a.tif", array, nbits=1)))
    assert (tile.rgb == array * 255).all()


@pytest.mark.fault("R45")
def test_half_floats_are_read(tmp_path):
    array = noise(60, 50, dtype="float32")
    path = write_scene(tmp_path / "a.tif", array, nbits=16)
    assert whole(open_scene(path)).rgb.max() == 255


def test_bands_of_different_types_are_read_together(tmp_path):
    source = SCENES["four_band_uint16"](tmp_path)
    shutil.move(source, tmp_path / "a.tif")
    write_scene(tmp_path / "b.tif", noise(90, 70, 1, "float32"))
    bands = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{i}"><SimpleSource><SourceFilename relativeToVRT="1">{name}'
        f"</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, (dtype, name) in enumerate([("UInt16", "a.tif"), ("Float32", "b.tif"), ("UInt16", "a.tif")], 1)
    )
    path = tmp_path / "mixed.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>{UTM}</SRS><GeoTransform>500000,0.5,0,5000000,0,-0.5'
        f"</GeoTransform>{bands}</VRTDataset>"
    )
    tile = whole(open_scene(path))
    assert (tile.rgb[0] == tile.rgb[2]).all()
    assert len(np.unique(tile.rgb[1])) > 100


@pytest.mark.fault("R47")
def test_a_single_band_is_grey(tmp_path):
    opened = open_scene(SCENES["single_band"](tmp_path))
    assert opened.bands == (1,)
    assert (whole(opened).rgb == picture()[0]).all()


@pytest.mark.fault("R36", "R47")
def test_four_bands_follow_the_colour_interpretation(tmp_path):
    array = np.concatenate([picture(), picture(seed=6)[:1]])
    plain = open_scene(write_scene(tmp_path / "a.tif", array, photometric="minisblack"))
    assert plain.bands == (1, 2, 3)
    assert "four bands without colour interpretation" in plain.warnings[0]
    turned = open_scene(
        write_scene(tmp_path / "b.tif", array, photometric="minisblack", colors=("undefined", "blue", "green", "red"))
    )
    assert turned.bands == (4, 3, 2)
    assert turned.warnings == ()


@pytest.mark.fault("R36")
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_near_infrared_tagged_alpha_is_a_band_and_the_user_is_told(dtype, tmp_path):
    values = np.concatenate([picture(), picture(seed=6)[:1]]).astype(dtype)
    values[3, :10] = 0
    opened = open_scene(write_scene(tmp_path / "a.tif", values, photometric="rgb", alpha="yes"))
    assert opened.bands == (1, 2, 3)
    assert whole(opened).valid.all()
    assert len(opened.warnings) == 1
    assert "band 4 is tagged alpha" in opened.warnings[0]
    assert open_scene(tmp_path / "a.tif", bands=(4, 1, 2)).warnings == ()


@pytest.mark.fault("R36")
@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 255), ("uint16", 65535)])
def test_a_real_alpha_band_masks(dtype, opaque, tmp_path):
    values = np.concatenate([picture(), np.ones_like(picture()[:1])]).astype(dtype)
    values[3] = blank(values[3:] * opaque)[0]
    opened = open_scene(write_scene(tmp_path / "a.tif", values, photometric="rgb", alpha="yes"))
    assert opened.warnings == ()
    assert (whole(opened).valid == (values[3] > 0)).all()
    assert opened.describe()["valid_pixels"] == "alpha band 4"


def test_the_users_bands_come_first(tmp_path):
    path = SCENES["four_band_uint16"](tmp_path)
    values = noise(60, 50, 7, "uint16")
    many = write_scene(tmp_path / "many.tif", values)
    opened = open_scene(many, bands=(5, 3, 2), stretch="0,65535")
    expected = np.rint(values[[4, 2, 1]] * (255 / 65535)).astype(np.uint8)
    assert (whole(opened).rgb == expected).all()
    assert opened.bands == (5, 3, 2)
    assert (whole(open_scene(many, bands=[6], stretch="0,65535")).rgb == np.rint(values[5] * (255 / 65535))).all()
    assert open_scene(path, bands=(1, 2, 3)).stretch == open_scene(path).stretch


@pytest.mark.fault("R48")
def test_of_five_thousand_bands_only_the_named_ones_are_read(tmp_path):
    array = np.arange(5000, dtype=np.uint16)[:, None, None] + np.zeros((1, 2, 3), np.uint16)
    path = write_scene(tmp_path / "a.tif", array, interleave="pixel")
    tile = whole(open_scene(path, bands=(101, 11, 4001), stretch="0,255"))
    assert tile.rgb[:, 0, 0].tolist() == [100, 10, 255]


@pytest.mark.fault("R41")
def test_a_palette_is_expanded(tmp_path):
    index = (picture()[:1] // 60).astype(np.uint8)
    colors = {0: (1, 2, 3, 255), 1: (250, 0, 9, 255), 2: (0, 77, 0, 255), 3: (8, 8, 8, 255), 4: (5, 5, 5, 0)}
    path = write_scene(tmp_path / "a.tif", index)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colors)
    opened = open_scene(path)
    tile = whole(opened)
    table = np.array([colors[i][:3] for i in range(5)], np.uint8)
    assert (tile.rgb == table[index[0]].transpose(2, 0, 1) * tile.valid).all()
    assert opened.stretch.is_identity
    coarse = whole(open_scene(path, resolution=2)).rgb
    assert set(np.unique(coarse)) - set(np.unique(table)), "colours are averaged, not their numbers"


@pytest.mark.fault("R42")
def test_cmyk_is_read_as_rgb(tmp_path):
    array = np.zeros((4, 20, 30), np.uint8)
    array[0], array[3] = 200, 50
    opened = open_scene(write_scene(tmp_path / "a.tif", array, photometric="cmyk"))
    assert whole(opened).rgb[:, 5, 5].tolist() == [44, 205, 205]
    assert whole(opened).valid.all()


@pytest.mark.fault("R43")
def test_jpeg_in_ycbcr_is_read_as_rgb(tmp_path):
    array = noise(64, 64) // 2
    profile = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel", "tiled": True}
    path = write_scene(tmp_path / "a.tif", array, **profile, blockxsize=64, blockysize=64)
    with rasterio.open(path) as file:
        assert (whole(open_scene(path)).rgb == file.read()).all()


@pytest.mark.fault("R46")
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_values(dtype, tmp_path):
    array = np.ones((1, 20, 20), np.complex64)
    path = tmp_path / "a.tif"
    shape = {"width": 20, "height": 20, "count": 1, "dtype": dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, crs=UTM, transform=NORTH_UP) as file:
        file.write(array)
    with refused(UnsupportedBands, "complex", path, "amplitude") as caught:
        open_scene(path)
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, ValueError)


@pytest.mark.fault("R47")
@pytest.mark.parametrize("count", [2, 5, 8, 13])
def test_bands_that_nobody_can_choose(count, tmp_path):
    path = write_scene(tmp_path / "a.tif", np.ones((count, 20, 20), np.uint16))
    with refused(UnsupportedBands, path, f"{count} bands", "`bands`"):
        open_scene(path)
    assert open_scene(path, bands=(2,)).bands == (2,)


@pytest.mark.fault("R47")
@pytest.mark.parametrize(
    ("bands", "words"), [((1, 2, 4), ["found 4"]), ((0,), ["found 0"]), ((1, 2), ["found 1,2"]), ((), ["found none"])]
)
def test_bands_that_do_not_exist(bands, words, tmp_path):
    with refused(UsageError, "`bands`", *words) as caught:
        open_scene(SCENES["north_up"](tmp_path), bands=bands)
    assert caught.value.exit_code == 2


@pytest.mark.fault("R48")
def test_five_thousand_bands(tmp_path):
    path = write_scene(tmp_path / "a.tif", np.zeros((5000, 2, 2), np.uint8), photometric="minisblack")
    with refused(UnsupportedBands, "5000 bands", "`bands`"):
        open_scene(path)


def test_a_container_of_rasters_is_no_scene(tmp_path):
    path = tmp_path / "a.gpkg"
    profile = {"driver": "GPKG", "width": 90, "height": 70, "count": 1, "dtype": "uint8", "crs": UTM}
    for table, append in (("one", "NO"), ("two", "YES")):
        options = {"RASTER_TABLE": table, "APPEND_SUBDATASET": append}
        with rasterio.open(path, "w", transform=NORTH_UP, **profile, **options) as file:
            file.write(picture()[:1])
    with refused(UnsupportedBands, path, "2 subdatasets"):
        open_scene(path)
