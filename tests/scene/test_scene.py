import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window as FileWindow
from scenes import NORTH_UP, SCENES, UTM, blank, picture, rotated, write_scene

from geosam.errors import SceneError, UnreadableScene, UsageError
from geosam.geometry.geobox import GeoBox, Window
from geosam.scene import open_scene, pixels, raster, scene


def whole(opened):
    return opened.read(opened.geobox.window)


def copied(opened):
    return pickle.loads(pickle.dumps(opened))  # noqa: S301 - our own bytes


def random_windows(grid, count=25, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        col, row = int(rng.integers(grid.width)), int(rng.integers(grid.height))
        yield Window(col, row, int(rng.integers(1, grid.width - col + 1)), int(rng.integers(1, grid.height - row + 1)))


def noise(width, height, bands=3, dtype="uint8", seed=0):
    """Smooth random values that use most of the range of a type."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((bands, -(-height // 8) + 1, -(-width // 8) + 1))
    fine = np.kron(coarse, np.ones((8, 8)))[:, :height, :width] + rng.random((bands, height, width)) * 0.2
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1000.0
    return (fine / 1.2 * top).astype(dtype)


# What is read


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


@pytest.mark.fault("R16", "R17")
@pytest.mark.parametrize(
    "flip", [(slice(None), slice(None, None, -1)), (slice(None), slice(None), slice(None, None, -1))]
)
def test_the_stretch_of_a_flipped_copy_is_the_same_where_only_a_lattice_is_read(flip, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "_PATCH", 4)
    monkeypatch.setattr(pixels, "_LATTICES", (4, 6))
    monkeypatch.setattr(pixels, "_ENOUGH", 50)
    array = noise(101, 67, dtype="uint16")
    t, flips_y = NORTH_UP, len(flip) == 2
    other = Affine(t.a, 0, t.c, 0, -t.e, t.f) if flips_y else Affine(-t.a, 0, t.c, 0, t.e, t.f)
    here = open_scene(write_scene(tmp_path / "a.tif", array))
    there = open_scene(write_scene(tmp_path / "b.tif", array[flip], transform=other))
    assert here.stretch == there.stretch
    assert here.stretch != open_scene(tmp_path / "a.tif", stretch="p0,p100").stretch
    assert sum(map(len, here.reader.sample())) == 3 * 4 * 4 * 16  # not every pixel was looked at


@given(st.integers(1, 20_000), st.sampled_from([4, 16, 48]))
def test_the_lattice_is_the_same_seen_from_either_end(size, count):
    patches = pixels._patches(size, count)
    if size > count * pixels._PATCH:
        assert {(size - start - length, length) for start, length in patches} == set(patches)
        assert len(patches) == count
    else:
        assert np.concatenate([np.arange(start, start + length) for start, length in patches]).tolist() == list(
            range(size)
        )


def test_samples_are_bounded_on_a_large_scene(tmp_path, monkeypatch):
    path = write_scene(tmp_path / "a.tif", noise(3000, 2000, 1, "uint16"), tiled=True, compress="deflate")
    read = []
    original = pixels.PixelReader.read
    monkeypatch.setattr(pixels.PixelReader, "read", lambda self, window: read.append(window) or original(self, window))
    opened = open_scene(path)
    assert sum(w.width * w.height for w in read) == (16 * 64) ** 2
    full = np.percentile(whole(open_scene(path, stretch="none")).rgb, (2, 98))
    assert full is not None
    with rasterio.open(path) as file:
        exact = np.percentile(file.read(), (2, 98))
    assert (opened.stretch.low[0], opened.stretch.high[0]) == pytest.approx(exact, rel=0.02)


def test_the_stretch_does_not_depend_on_the_window_or_resolution(tmp_path):
    path = SCENES["four_band_uint16"](tmp_path)
    native = open_scene(path)
    west, south, _, _ = native.geobox.bounds
    assert open_scene(path, window=(west, south, west + 10, south + 10)).stretch == native.stretch
    assert open_scene(path, resolution=1.3).stretch == native.stretch


# Types and bands


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


# Valid pixels


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
    assert "the mask band says which pixels are valid" in opened.warnings[0]


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


# Resolution


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


def unit_scene(tmp_path, array, **profile):
    """A scene in a local CRS whose pixels are one metre, so that scales are exact."""
    local = 'LOCAL_CS["local",UNIT["metre",1]]'
    return write_scene(tmp_path / "unit.tif", array, crs=local, transform=Affine(1, 0, 100, 0, -1, 900), **profile)


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
    wanted = 3 * max(native.gsd_xy)
    opened = open_scene(SCENES[name](tmp_path), resolution=wanted)
    assert opened.gsd_xy == pytest.approx((wanted, wanted), rel=1e-3)
    assert opened.geobox.transform[2::3] == native.geobox.transform[2::3]


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


# Region, checks and facts


def test_the_region_is_the_window_snapped_outward_to_pixels(tmp_path):
    path = SCENES["north_up"](tmp_path)
    opened = open_scene(path, window=(500_000.6, 4_999_990.2, 500_004.9, 4_999_999.9))
    assert opened.region == Window(1, 0, 9, 20)
    assert open_scene(path).region == open_scene(path).geobox.window


@pytest.mark.fault("R57")
def test_a_window_along_pixel_edges_takes_exactly_these_pixels(tmp_path):
    size, origin = 0.3, 300_000.1
    path = write_scene(tmp_path / "a.tif", picture(), transform=Affine(size, 0, origin, 0, -size, origin))
    for first, length in ((0, 1), (3, 7), (11, 50)):
        west, north = origin + first * size, origin - first * size
        opened = open_scene(path, window=(west, north - length * size, west + length * size, north))
        assert opened.region == Window(first, first, length, length)


@pytest.mark.fault("R55")
def test_a_window_half_off_the_scene_is_clipped(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path), window=(499_000, 4_999_000, 500_010, 4_999_970))
    assert opened.region == Window(0, 60, 20, 10)


@pytest.mark.fault("R55")
@pytest.mark.parametrize("bounds", [(0, 0, 1, 1), (500_010, 4_999_990, 500_005, 4_999_995), (float("nan"), 0, 1, 1)])
def test_windows_outside_or_the_wrong_way_round_are_refused(bounds, tmp_path):
    with pytest.raises(UsageError, match="--window"):
        open_scene(SCENES["north_up"](tmp_path), window=bounds)


@pytest.mark.fault("R55")
@pytest.mark.parametrize("window", [Window(80, 0, 20, 10), Window(-1, 0, 5, 5), Window(300, 300, 10, 10)])
def test_reading_outside_is_an_error_and_never_a_smaller_tile(window, tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    with pytest.raises(ValueError, match="leaves the scene of 90 x 70 px"):
        opened.read(window)
    with pytest.raises(ValueError, match="leaves the scene"):
        opened.is_empty(window)


@pytest.mark.fault("R56")
def test_windows_are_whole_pixels(tmp_path):
    with pytest.raises(TypeError, match="integer"):
        open_scene(SCENES["north_up"](tmp_path)).read(Window(10.5, 0, 4, 4))


@pytest.mark.fault("R25")
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 50), (50, 1)])
def test_scenes_of_one_pixel_width(width, height, tmp_path):
    array = noise(width, height)
    for resolution in (None, 0.2, 3.0):
        opened = open_scene(write_scene(tmp_path / "a.tif", array), resolution=resolution)
        assert whole(opened).rgb.shape == (3, opened.geobox.height, opened.geobox.width)
    assert (whole(open_scene(tmp_path / "a.tif")).rgb == array).all()


@pytest.mark.fault("R22", "R23")
@pytest.mark.parametrize(
    ("crs", "transform"), [("EPSG:4326", Affine(2e-3, 0, 179.9, 0, -2e-3, 10)), ("EPSG:3413", NORTH_UP)]
)
def test_scenes_at_the_antimeridian_and_the_pole_keep_their_coordinates(crs, transform, tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", picture(), crs=crs, transform=transform))
    assert opened.geobox.transform == transform
    assert opened.geobox.bounds[2] == pytest.approx(transform.c + 90 * transform.a)


def huge_vrt(tmp_path, width, height):
    source = SCENES["single_band"](tmp_path)
    path = tmp_path / "huge.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{UTM}</SRS><GeoTransform>0,1,0,0,0,-1'
        f'</GeoTransform><VRTRasterBand dataType="Byte" band="1"><ColorInterp>Gray</ColorInterp><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


@pytest.mark.fault("R27")
def test_a_scene_of_three_billion_pixels_is_read_in_windows(tmp_path):
    opened = open_scene(huge_vrt(tmp_path, 60_000, 50_000))
    assert opened.read(Window(59_000, 49_000, 1000, 1000)).rgb.shape == (3, 1000, 1000)


@pytest.mark.fault("R27")
def test_a_region_beyond_max_pixels_is_refused_with_its_size(tmp_path):
    path = huge_vrt(tmp_path, 2**31 - 1, 2**31 - 1)
    with pytest.raises(SceneError, match=r"too large: .*huge.vrt: 2147483647 x 2147483647 = 4.61e\+18 px") as caught:
        open_scene(path)
    assert caught.value.exit_code == 3
    assert "--window" in str(caught.value)
    assert open_scene(path, window=(10, -500, 500, -10)).region == Window(10, 10, 490, 490)
    assert open_scene(path, max_pixels=1e19).region.width == 2**31 - 1


@pytest.mark.fault("R53")
def test_area_or_point_shifts_nothing(tmp_path):
    path = SCENES["north_up"](tmp_path)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    assert open_scene(path).geobox.transform == NORTH_UP


@pytest.mark.fault("R52")
def test_bigtiff_is_read(tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", picture(), bigtiff="yes"))
    assert (whole(opened).rgb == picture()).all()


@pytest.mark.fault("R59")
def test_any_path_a_user_may_have(tmp_path):
    folder = tmp_path / "dört ünï 文件"
    folder.mkdir()
    path = folder / "a #b?c%20 'd'.tif"
    opened = open_scene(shutil.copy(SCENES["north_up"](tmp_path), path))
    assert (whole(opened).rgb == picture()).all()
    assert str(path) in opened.describe()["scene"]


def test_a_relative_path_survives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SCENES["north_up"](tmp_path)
    opened = open_scene("scene.tif")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (whole(copied(opened)).rgb == picture()).all()


def test_a_description_is_json_and_says_what_matters(tmp_path):
    opened = open_scene(SCENES["four_band_uint16"](tmp_path), resolution=2.0)
    facts = json.loads(json.dumps(opened.describe()))
    assert facts["scene"].endswith("scene.tif")
    assert (facts["native_width"], facts["native_height"]) == (90, 70)
    assert (facts["width"], facts["height"]) == (opened.geobox.width, opened.geobox.height)
    assert facts["crs"] == UTM
    assert facts["used_bands"] == [1, 2, 3]
    assert facts["gsd_m"] == pytest.approx([2, 2], rel=1e-3)
    assert facts["stretch"] == opened.stretch.to_json()
    assert facts["dtype"] == ["uint16"]
    for key in ("why", "valid_pixels", "bounds", "overviews", "compression", "georeference", "block", "warnings"):
        assert key in facts


def test_provenance_tells_how_to_open_the_scene_again(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path), resolution=2.0)
    told = json.loads(json.dumps(opened.provenance()))
    assert told == {
        "scene": opened.path,
        "bands": [1, 2, 3],
        "stretch": opened.stretch.to_json(),
        "resolution": 2.0,
    }
    native = open_scene(opened.path)
    assert native.provenance()["resolution"] == list(native.gsd_xy)


def test_describing_a_scene_loads_neither_torch_nor_geopandas(tmp_path):
    code = (
        "import sys; from geosam.scene import open_scene; open_scene(sys.argv[1]).describe(); "
        "loaded = {'torch', 'geopandas', 'pyogrio', 'skimage'} & set(sys.modules); sys.exit(' '.join(loaded) or 0)"
    )
    command = [sys.executable, "-c", code, str(SCENES["north_up"](tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Content, threads, processes


def test_the_fingerprint_follows_the_content_only(tmp_path):
    path = SCENES["north_up"](tmp_path)
    first = open_scene(path).fingerprint
    os.utime(path, (1, 1))
    copy = shutil.copy(path, tmp_path / "copy.tif")
    assert open_scene(path).fingerprint == first
    assert open_scene(copy).fingerprint == first
    changed = picture()
    changed[0, 5, 5] ^= 1
    assert open_scene(write_scene(path, changed, photometric="rgb")).fingerprint != first


@pytest.mark.fault("R15")
def test_sidecars_are_part_of_the_fingerprint(tmp_path):
    path = SCENES["north_up"](tmp_path)
    first = open_scene(path).fingerprint
    path.with_name("scene.tif.aux.xml").write_text("<PAMDataset><GeoTransform>7,1,0,7,0,-1</GeoTransform></PAMDataset>")
    assert open_scene(path).fingerprint != first


def test_the_fingerprint_of_a_large_file_samples_its_whole_length(tmp_path, monkeypatch):
    from geosam.scene import fingerprint

    monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "_BLOCK_BYTES", 64)
    path = tmp_path / "large"
    data = bytearray(200_000)
    prints = set()
    for place in (None, 0, 100_000 - 30, 199_999):
        changed = bytearray(data)
        if place is not None:
            changed[place // 784 * 784 if 0 < place < 199_999 else place] = 1
        path.write_bytes(changed)
        prints.add(fingerprint.content_fingerprint([str(path)]))
    assert len(prints) >= 3
    path.write_bytes(data[:-1])
    assert fingerprint.content_fingerprint([str(path)]) not in prints


@pytest.mark.parametrize("name", ["nodata", "south_up", "four_band_uint16"])
def test_pickling_drops_the_handle_and_keeps_the_pixels(name, tmp_path):
    opened = open_scene(SCENES[name](tmp_path), resolution=0.7)
    other = copied(opened)
    assert (whole(other).rgb == whole(opened).rgb).all()
    assert other.geobox == opened.geobox
    assert other.fingerprint == opened.fingerprint


@pytest.mark.fault("R67")
def test_eight_threads_read_what_one_reads(tmp_path):
    array = noise(640, 640)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    opened = open_scene(write_scene(tmp_path / "a.tif", array, **profile))
    windows = [Window(col, row, 64, 64) for row in range(0, 640, 64) for col in range(0, 640, 64)] * 6
    handles = set()

    def right(window):
        with opened.reader.raster.handle() as handle:
            handles.add((threading.get_ident(), id(handle)))
        return (opened.read(window).rgb == array[:, *window.slices_rc]).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, windows))
    assert len({thread for thread, _ in handles}) == len({handle for _, handle in handles}) == len(handles)


@pytest.mark.fault("R68")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_opens_its_own_handle(tmp_path):
    array = noise(256, 256)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    opened = open_scene(write_scene(tmp_path / "a.tif", array, **profile))
    opened.read(Window(0, 0, 10, 10))
    children = []
    for _ in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons dislike forks of threaded processes
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if all((whole(opened).rgb == array).all() for _ in range(5)) else 1
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]


def test_closing_closes_the_handles_of_all_threads_and_reading_opens_again(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    with opened.reader.raster.handle() as handle:
        pass
    opened.close()
    assert handle.closed
    assert (whole(opened).rgb == picture()).all()


def test_handles_of_finished_threads_are_released(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    for _ in range(5):
        thread = threading.Thread(target=whole, args=(opened,))
        thread.start()
        thread.join()
    assert len(opened.reader.raster._open) <= 2


@pytest.mark.fault("R61")
def test_nothing_is_written_beside_the_raster(tmp_path):
    for name in ("four_band_uint16", "mask_band", "nodata"):
        path = SCENES[name](tmp_path)
        before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        opened = open_scene(path, resolution=1.1)
        whole(opened)
        opened.close()
        assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


@pytest.mark.fault("R69")
def test_the_block_cache_is_sized_for_strips_and_bounded(tmp_path, monkeypatch):
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    monkeypatch.setattr(raster, "_cache_bytes", 0)
    sizes = []
    monkeypatch.setattr(raster, "set_gdal_config", lambda name, value: sizes.append((name, value)))
    open_scene(SCENES["north_up"](tmp_path))
    strips = {"width": 40_000, "height": 4000, "count": 3, "dtype": "uint8", "blockysize": 1, "sparse_ok": True}
    for number, dtype in enumerate(["uint8", "float64"]):
        path = tmp_path / f"{number}.tif"
        shape = {**strips, "dtype": dtype, "interleave": "pixel", "bigtiff": "yes"}
        with rasterio.open(path, "w", driver="GTiff", **shape, crs=UTM, transform=NORTH_UP):
            pass
        opened = open_scene(path, stretch="0,255")
    assert sizes == [
        ("GDAL_CACHEMAX", 64 * 2**20),
        ("GDAL_CACHEMAX", 1025 * 40_000 * 3 * 5 // 4),
        ("GDAL_CACHEMAX", 768 * 2**20),
    ]
    assert "a tiled copy is read much faster" in opened.warnings[0]
    monkeypatch.setenv("GDAL_CACHEMAX", "100")
    monkeypatch.setattr(raster, "_cache_bytes", 0)
    open_scene(path, stretch="0,255")
    assert len(sizes) == 3, "the user's own setting is left alone"
    monkeypatch.delenv("GDAL_CACHEMAX")
    copied(opened).read(Window(0, 0, 1, 1))
    assert sizes[3:] == sizes[2:3], "a process that gets the scene sizes its own cache"


@pytest.mark.fault("R71")
def test_a_large_window_is_read_in_calls_that_return_soon(tmp_path, monkeypatch):
    array = noise(120, 90)
    monkeypatch.setattr(raster, "_MAX_CALL_PX", 1000)
    calls = []
    original = raster._bands

    def spied(ds, indexes, window):
        calls.append(window.width * window.height)
        return original(ds, indexes, window)

    monkeypatch.setattr(raster, "_bands", spied)
    opened = open_scene(write_scene(tmp_path / "a.tif", array))
    assert (whole(opened).rgb == array).all()
    assert len(calls) >= 10
    assert max(calls) <= 1000


@pytest.mark.fault("R62", "R64")
def test_files_that_change_while_they_are_read_are_noticed(tmp_path):
    path = SCENES["north_up"](tmp_path)
    opened = open_scene(path)
    opened.verify_unchanged()
    info = path.stat()
    other = write_scene(tmp_path / "other.tif", picture(seed=9), photometric="rgb")
    other.replace(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(UnreadableScene, match=r"changed while reading: .*scene\.tif"):
        opened.verify_unchanged()
    path.unlink()
    with pytest.raises(UnreadableScene, match="changed while reading"):
        opened.verify_unchanged()
