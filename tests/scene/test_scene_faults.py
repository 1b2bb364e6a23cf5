"""Rasters that cannot be used, or only with an option: the R rows of the catalogue of faults that end in an error."""

import hashlib
import os
import shutil
import signal
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from scenes import NORTH_UP, REFUSED, SCENES, UTM, picture, update, write_scene

from geosam.errors import GeosamError, MissingCRS, SceneError, UnreadableScene, UnsupportedBands, UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene, preflight


@contextmanager
def refused(error, *words):
    """The block ends in exactly this error, whose text is one line that holds all the words and no library talk."""
    with pytest.raises(error) as caught:
        yield caught
    text = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in text
    assert "previous exception" not in text
    assert "Traceback" not in text
    for word in words:
        assert str(word) in text
    assert text.endswith(".")


def whole(opened):
    return opened.read(opened.geobox.window)


# Damaged files


@pytest.mark.fault("R01", "R02")
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}])
def test_a_truncated_file_opens_and_fails_where_it_is_cut(profile, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    path = write_scene(tmp_path / "cut.tif", array, photometric="rgb", **profile)
    os.truncate(path, int(path.stat().st_size * 0.6))
    opened = open_scene(path)
    assert (opened.read(Window(0, 0, 512, 128)).rgb == array[:, :128]).all()
    with refused(UnreadableScene, path, "column 0, row 400", "512 x 112 px", "got ", " bytes, expected ") as caught:
        opened.read(Window(0, 400, 512, 112))
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, OSError)


@pytest.mark.fault("R01")
def test_a_file_that_is_cut_where_the_stretch_looks_is_refused_when_it_is_opened(tmp_path):
    array = np.random.default_rng(0).integers(0, 9999, (1, 512, 512), np.uint16)
    path = write_scene(tmp_path / "cut.tif", array)
    os.truncate(path, path.stat().st_size // 2)
    with refused(UnreadableScene, path, "got ", " bytes, expected "):
        open_scene(path)


@pytest.mark.fault("R63")
def test_a_file_that_is_truncated_while_it_is_open(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    path = write_scene(tmp_path / "a.tif", array, photometric="rgb")
    opened = open_scene(path)
    opened.read(Window(0, 0, 512, 10))
    os.truncate(path, 2000)
    with refused(UnreadableScene, path):
        opened.read(Window(0, 300, 512, 200))
    with refused(UnreadableScene, "changed while reading", path):
        opened.verify_unchanged()


@pytest.mark.fault("R03")
def test_an_empty_file(tmp_path):
    path = tmp_path / "z.tif"
    path.touch()
    with refused(UnreadableScene, "the file is empty", path):
        open_scene(path)


@pytest.mark.fault("R04")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello world", ['starts with "hello world"']),
        (b"<!DOCTYPE html><html><title>Sign in", ["a web page", "login"]),
        (b"\n <html><body>Sign in", ["a web page", "login"]),
        (bytes(range(200, 256)), ["starts with"]),
    ],
)
def test_a_file_that_is_no_raster_is_shown_by_its_first_bytes(content, words, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    for untrusted in (False, True):
        with refused(UnreadableScene, path, *words):
            open_scene(path, untrusted=untrusted)


@pytest.mark.fault("R05")
def test_a_header_without_a_file(tmp_path):
    path = SCENES["north_up"](tmp_path)
    os.truncate(path, 8)
    with refused(UnreadableScene, path, "directory"):
        open_scene(path)


@pytest.mark.fault("R06")
def test_a_png_under_another_name_is_a_raster_without_crs(tmp_path):
    image = Image.fromarray(picture().transpose(1, 2, 0))
    image.save(tmp_path / "a.png")
    path = (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with refused(MissingCRS, "has no CRS", path, "--crs"):
        open_scene(path)
    assert (whole(open_scene(path, assume_pixels=True)).rgb == picture()).all()


@pytest.mark.fault("R07")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", ["empty"]),
        ("-", ["standard input"]),
        ("gone.tif", ["no such file"]),
        (".", ["is a directory"]),
        ("a\0b", []),
    ],
)
def test_nothing_there(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(UnreadableScene, *words):
        open_scene(path)


@pytest.mark.fault("R07")
def test_a_file_is_no_folder(tmp_path):
    with refused(UnreadableScene, "Not a directory"):
        open_scene(SCENES["north_up"](tmp_path) / "a.tif")


@pytest.mark.fault("R08")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "p.tif")
    start = time.monotonic()
    for path in (tmp_path / "p.tif", "/dev/zero"):
        with refused(UnreadableScene, "not a regular file", path):
            open_scene(path)
    assert time.monotonic() - start < 1


# rasterio fails to decode what GDAL says about some damaged tags, where nobody can catch it.
@pytest.mark.fault("R10")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("compress", ["none", "lzw", "deflate", "packbits", "zstd"])
def test_damaged_bytes_never_raise_anything_but_our_own_errors(compress, tmp_path):
    rng = np.random.default_rng(len(compress))
    good = write_scene(tmp_path / "good.tif", picture(), compress=compress, nodata=3, photometric="rgb").read_bytes()
    path = tmp_path / "bad.tif"
    opened = 0
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            place = rng.integers(len(data)) if rng.random() < 0.7 else rng.integers(min(600, len(data)))
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data))] if rng.random() < 0.2 else data)
        with suppress(SceneError):
            scene = open_scene(path, stretch="p2,p98", max_pixels=1e6)
            whole(scene)
            scene.is_empty(scene.geobox.window)
            opened += 1
    assert opened, "some damage goes unnoticed; otherwise this tests nothing"


@pytest.mark.fault("R09")
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits"])
def test_one_damaged_byte_is_noticed_by_the_codec_or_cannot_be(compress, tmp_path):
    good = write_scene(tmp_path / "good.tif", picture(), compress=compress, photometric="rgb", tiled=True)
    data, path, rng = good.read_bytes(), tmp_path / "bad.tif", np.random.default_rng(9)
    for place in rng.integers(len(data) // 2, len(data), 20):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with suppress(UnreadableScene):
            assert whole(open_scene(path)).rgb.shape == (3, 70, 90)


@pytest.mark.fault("R70")
def test_thousands_of_siblings_do_not_matter(tmp_path):
    for number in range(5000):
        (tmp_path / f"{number}.tif.txt").touch()
    assert whole(open_scene(SCENES["north_up"](tmp_path))).valid.all()


@pytest.mark.fault("R60")
def test_a_file_that_may_not_be_read():
    # In a folder of its own: the folders of pytest are closed to other users.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = SCENES["north_up"](folder)
        path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with refused(UnreadableScene, "permission denied", path):
                open_scene(path)
        finally:
            os.seteuid(user)
    finally:
        shutil.rmtree(folder)


@pytest.mark.fault("R61")
def test_a_raster_in_a_folder_that_cannot_be_written(tmp_path):
    path = SCENES["four_band_uint16"](tmp_path)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert whole(open_scene(path)).valid.all()
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.fault("R71")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_an_interrupt_ends_one_large_read_soon(tmp_path):
    path = tmp_path / "large.tif"
    shape = {"width": 12_000, "height": 12_000, "count": 3, "dtype": "uint8", "tiled": True, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **shape, sparse_ok=True, crs=UTM, transform=NORTH_UP):
        pass
    opened = open_scene(path)

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            opened.read(Window(0, 0, 12_000, 12_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - start < 2


# Georeference


@pytest.mark.fault("R11")
def test_neither_crs_nor_transform(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    for options in ({}, {"crs": "EPSG:32633"}):
        with refused(MissingCRS, "has no CRS and no transform", path, "--crs", "--assume-pixels") as caught:
            open_scene(path, **options)
        assert caught.value.exit_code == 3


@pytest.mark.fault("R11")
def test_assumed_pixels_are_the_pixels_of_the_file_with_y_upwards(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    opened = open_scene(path, assume_pixels=True)
    assert opened.geobox.transform == Affine(1, 0, 0, 0, -1, 0)
    assert not opened.geobox.crs.is_projected
    assert not opened.geobox.crs.is_geographic
    assert opened.gsd_xy == (1, 1)
    assert (whole(opened).rgb == picture()).all()
    assert whole(open_scene(path, assume_pixels=True, resolution=2)).rgb.shape == (3, 35, 45)


@pytest.mark.fault("R11")
def test_pixels_are_not_assumed_where_the_place_is_known(tmp_path):
    path = SCENES["north_up"](tmp_path)
    with refused(UsageError, "--assume-pixels", path, UTM) as caught:
        open_scene(path, assume_pixels=True)
    assert caught.value.exit_code == 2


@pytest.mark.fault("R12")
def test_a_crs_without_transform(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), transform=None)
    for options in ({}, {"crs": UTM}):
        with refused(MissingCRS, "has a CRS but no transform", path, UTM):
            open_scene(path, **options)
    assert open_scene(path, assume_pixels=True).geobox.transform == Affine(1, 0, 0, 0, -1, 0)


@pytest.mark.fault("R13")
def test_a_transform_without_crs(tmp_path):
    path = REFUSED["no_crs"](tmp_path)
    with refused(MissingCRS, "has no CRS", path, "--crs"):
        open_scene(path)
    opened = open_scene(path, crs="EPSG:25833")
    assert opened.geobox.crs.to_epsg() == 25833
    assert opened.geobox.transform == NORTH_UP
    assert "--crs" in opened.describe()["georeference"]


def test_crs_is_only_for_scenes_that_have_none(tmp_path):
    path = SCENES["north_up"](tmp_path)
    assert open_scene(path, crs=UTM).geobox.crs.to_epsg() == 32633
    with refused(UsageError, "EPSG:25833", path, UTM):
        open_scene(path, crs="EPSG:25833")
    with refused(UsageError, '--crs "EPSG:nonsense"', "not a CRS"):
        open_scene(path, crs="EPSG:nonsense")


WORLD_FILE = "2.0\n0\n0\n-2.0\n701\n899\n"  # the centre of the first pixel, as world files have it


@pytest.mark.fault("R14")
def test_a_world_file_places_a_raster_without_tags(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    with refused(MissingCRS, "has no CRS", path, "--crs"):
        open_scene(path)
    assert open_scene(path, crs=UTM).geobox.transform == Affine(2, 0, 700, 0, -2, 900)


@pytest.mark.fault("R14")
def test_tags_win_over_a_world_file(tmp_path):
    path = SCENES["north_up"](tmp_path)
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    assert open_scene(path).geobox.transform == NORTH_UP


PAM = "<PAMDataset><SRS>EPSG:32645</SRS><GeoTransform>700,2,0,900,0,-2</GeoTransform></PAMDataset>"


@pytest.mark.fault("R15")
def test_the_sidecar_wins_over_the_tags_as_in_qgis(tmp_path):
    path = SCENES["north_up"](tmp_path)
    path.with_name("scene.tif.aux.xml").write_text(PAM)
    opened = open_scene(path)
    assert opened.geobox.transform == Affine(2, 0, 700, 0, -2, 900)
    assert opened.geobox.crs.to_epsg() == 32645
    assert opened.read(Window(0, 0, 5, 5)).geobox.crs.to_epsg() == 32645


@pytest.mark.fault("R15")
def test_sidecars_of_untrusted_files_are_ignored(tmp_path):
    path = SCENES["north_up"](tmp_path)
    path.with_name("scene.tif.aux.xml").write_text(PAM)
    opened = open_scene(path, untrusted=True)
    assert opened.geobox.transform == NORTH_UP
    assert (whole(opened).rgb == picture()).all()


GCPS = [GroundControlPoint(row=r, col=c, x=5e5 + 0.5 * c, y=5e6 - 0.5 * r) for r in (0, 70) for c in (0, 90)]


def gcp_scene(tmp_path, array, **profile):
    path = write_scene(tmp_path / "a.tif", array, crs=None, transform=None, photometric="rgb", **profile)
    return update(path, gcps=(GCPS, rasterio.CRS.from_user_input(UTM)))


@pytest.mark.fault("R19")
def test_ground_control_points_only(tmp_path):
    path = gcp_scene(tmp_path, picture())
    for options in ({}, {"crs": UTM}):
        with refused(MissingCRS, "ground control points", path, "gdalwarp -tps", "--gcps"):
            open_scene(path, **options)


@pytest.mark.fault("R19")
def test_ground_control_points_are_read_through_a_warp_if_asked(tmp_path):
    opened = open_scene(gcp_scene(tmp_path, picture()), gcps=True)
    assert opened.geobox.crs.to_epsg() == 32633
    assert opened.geobox.transform[:6] == pytest.approx(NORTH_UP[:6])
    full = whole(opened)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert (full.rgb[inner] == picture()[inner]).mean() > 0.99
    window = Window(13, 7, 50, 40)
    assert (opened.read(window).rgb == full.rgb[:, *window.slices_rc]).all()


@pytest.mark.fault("R19")
def test_a_warp_knows_which_pixels_are_valid(tmp_path):
    array = picture()
    array[:, :, :30] = 0
    opened = open_scene(gcp_scene(tmp_path, array, nodata=0), gcps=True)
    valid = whole(opened).valid
    assert not valid[:, :29].any()
    assert valid[1:-1, 31:-1].all()


@pytest.mark.fault("R19")
def test_gcps_is_only_for_scenes_that_have_them(tmp_path):
    with refused(UsageError, "--gcps", "no ground control points"):
        open_scene(SCENES["north_up"](tmp_path), gcps=True)


@pytest.mark.fault("R20")
def test_rational_polynomials_only(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    coefficients = {
        name: [1.0] + [0.0] * 19 for name in ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff")
    }
    scales = dict.fromkeys(["height", "lat", "line", "long", "samp"], 1.0)
    values = {f"{name}_{kind}": value for name, value in scales.items() for kind in ("off", "scale")}
    update(path, rpcs=RPC(**coefficients, **values))
    with refused(MissingCRS, "RPC", path, "gdalwarp -rpc"):
        open_scene(path)


@pytest.mark.fault("R54")
@pytest.mark.parametrize("transform", ["nan,1,0,5,0,-1", "5,0,0,5,0,0", "5,1,1,5,1,1", "5,inf,0,5,0,-1"])
def test_a_transform_that_places_nothing(transform, tmp_path):
    path = SCENES["single_band"](tmp_path)
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>{UTM}</SRS><GeoTransform>{transform}</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{path}</SourceFilename></SimpleSource>'
        f"</VRTRasterBand></VRTDataset>"
    )
    with refused(MissingCRS, "transform", vrt):
        open_scene(vrt)


@pytest.mark.fault("R24")
def test_a_local_crs_is_kept(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs='LOCAL_CS["local",UNIT["metre",1]]')
    opened = open_scene(path)
    assert opened.gsd_xy == (0.5, 0.5)
    assert opened.geobox.crs.name == "local"


# Bands


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
    with refused(UnsupportedBands, path, f"{count} bands", "--bands"):
        open_scene(path)
    assert open_scene(path, bands=(2,)).bands == (2,)


@pytest.mark.fault("R47")
@pytest.mark.parametrize(
    ("bands", "words"), [((1, 2, 4), ["no band 4"]), ((0,), ["no band 0"]), ((1, 2), ["2 bands"]), ((), [])]
)
def test_bands_that_do_not_exist(bands, words, tmp_path):
    with refused(UsageError, "--bands", *words) as caught:
        open_scene(SCENES["north_up"](tmp_path), bands=bands)
    assert caught.value.exit_code == 2


@pytest.mark.fault("R48")
def test_five_thousand_bands(tmp_path):
    path = write_scene(tmp_path / "a.tif", np.zeros((5000, 2, 2), np.uint8), photometric="minisblack")
    with refused(UnsupportedBands, "5000 bands", "--bands"):
        open_scene(path)


@pytest.mark.parametrize("resolution", [0, -1, float("nan"), float("inf"), 1e-9, 1e9])
def test_resolutions_that_are_none(resolution, tmp_path):
    with refused(UsageError, "--resolution"):
        open_scene(SCENES["north_up"](tmp_path), resolution=resolution)


# Files that have to be the very ones


@pytest.mark.fault("R09")
def test_a_file_with_another_hash_is_refused_before_it_is_opened(tmp_path):
    path = SCENES["north_up"](tmp_path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (whole(open_scene(path, sha256=right.upper())).rgb == picture()).all()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert open_scene(path)
    wrong = hashlib.sha256(data).hexdigest()
    with refused(UnreadableScene, "not the file that was expected", path, wrong, right) as caught:
        open_scene(path, sha256=right)
    assert caught.value.exit_code == 3


@pytest.mark.fault("R09")
@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 65])
def test_what_is_no_hash_is_refused(text, tmp_path):
    with refused(UsageError, "--verify", repr(text), "64 hexadecimal digits"):
        open_scene(SCENES["north_up"](tmp_path), sha256=text)


@pytest.mark.fault("R09")
def test_a_url_cannot_be_verified():
    with refused(UnreadableScene, "URL", "--verify"):
        open_scene("http://127.0.0.1:1/a.tif", sha256="0" * 64)


# Virtual rasters, prefixes, untrusted files


def vrt(path, source, *, relative=False, attributes=""):
    path.write_text(
        f'<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>{UTM}</SRS><GeoTransform>5,1,0,5,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1" {attributes}><SimpleSource>'
        f'<SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename></SimpleSource></VRTRasterBand>'
        "</VRTDataset>"
    )
    return path


@pytest.mark.fault("R28")
def test_a_vrt_whose_source_is_missing_names_the_source(tmp_path):
    path = vrt(tmp_path / "a.vrt", "gone.tif", relative=True)
    with refused(UnreadableScene, "missing", path, tmp_path / "gone.tif"):
        open_scene(path)
    outer = vrt(tmp_path / "outer.vrt", path)
    with refused(UnreadableScene, "missing", outer, tmp_path / "gone.tif"):
        open_scene(outer)


@pytest.mark.fault("R29")
def test_a_vrt_under_another_name_is_read_only_if_trusted(tmp_path):
    path = vrt(tmp_path / "a.tif", SCENES["single_band"](tmp_path))
    assert (whole(open_scene(path)).rgb == picture()[0]).all()
    with refused(UnreadableScene, "VRT", "--untrusted", path):
        open_scene(path, untrusted=True)


def raw_vrt(path, secret, band='subClass="VRTRawRasterBand"'):
    path.write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>{UTM}</SRS><GeoTransform>5,1,0,5,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1" {band}><SourceFilename relativetoVRT="0">{secret}</SourceFilename>'
        "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>4</LineOffset></VRTRasterBand></VRTDataset>"
    )
    return path


@pytest.mark.fault("R30")
@pytest.mark.parametrize(
    "band", ['subClass="VRTRawRasterBand"', "subclass='vrtRAWrasterband'", 'subClass="&#86;RTRawRasterBand"']
)
def test_raw_bands_are_never_read(band, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret of this machine")
    path = raw_vrt(tmp_path / "a.vrt", secret, band)
    inline = vrt(tmp_path / "inline.vrt", path.read_text().replace("&", "&amp;").replace("<", "&lt;"))
    for name in (path, vrt(tmp_path / "outer.vrt", "a.vrt", relative=True), inline):
        with refused(UnreadableScene, "VRTRawRasterBand", name):
            open_scene(name)


@pytest.mark.fault("R30")
def test_a_vrt_that_is_no_xml_or_reads_itself(tmp_path):
    path = tmp_path / "a.vrt"
    path.write_text('<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand')
    with refused(UnreadableScene, "not valid XML", path):
        open_scene(path)
    path = vrt(tmp_path / "itself.vrt", "itself.vrt", relative=True)
    with pytest.raises(GeosamError):
        whole(open_scene(path))


@pytest.mark.fault("R31")
@pytest.mark.parametrize(
    "path",
    [
        "/vsicurl/http://localhost/a.tif",
        "/vsimem/a.tif",
        "/vsizip/a.zip",
        "GTIFF_DIR:1:scene.tif",
        "<VRTDataset></VRTDataset>",
        "MEM:::DATAPOINTER=1,PIXELS=2,LINES=2",
        "s3://bucket/a.tif",
        "zip://a.zip!a.tif",
        "file:///etc/hostname",
        "WMS:http://x",
    ],
)
def test_only_files_and_http_are_opened(path, tmp_path, monkeypatch):
    monkeypatch.chdir(SCENES["north_up"](tmp_path).parent)
    with refused(UnreadableScene):
        open_scene(path)


@pytest.mark.fault("R31")
def test_a_file_whose_name_looks_like_a_driver_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SCENES["north_up"](tmp_path).rename(tmp_path / "GTIFF_DIR:2:a.tif")
    assert (whole(open_scene("GTIFF_DIR:2:a.tif")).rgb == picture()).all()


@pytest.mark.fault("R31")
def test_untrusted_files_hold_everything_themselves(tmp_path):
    path = SCENES["north_up"](tmp_path)
    assert (whole(open_scene(path, untrusted=True)).rgb == picture()).all()
    with refused(UnreadableScene, "URL", "--untrusted"):
        open_scene("http://127.0.0.1:1/a.tif", untrusted=True)
    listing = tmp_path / "wms.xml"
    listing.write_text("<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:1/</ServerUrl></Service></GDAL_WMS>")
    with refused(UnreadableScene, "self-contained", listing):
        open_scene(listing, untrusted=True)


def test_a_container_of_rasters_is_no_scene(tmp_path):
    path = tmp_path / "a.gpkg"
    profile = {"driver": "GPKG", "width": 90, "height": 70, "count": 1, "dtype": "uint8", "crs": UTM}
    for table, append in (("one", "NO"), ("two", "YES")):
        options = {"RASTER_TABLE": table, "APPEND_SUBDATASET": append}
        with rasterio.open(path, "w", transform=NORTH_UP, **profile, **options) as file:
            file.write(picture()[:1])
    with refused(UnsupportedBands, path, "2 subdatasets"):
        open_scene(path)


@pytest.mark.fault("R10")
def test_whatever_escapes_from_the_library_becomes_our_error(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    path = SCENES["north_up"](tmp_path)
    opened = open_scene(path)
    monkeypatch.setattr("geosam.scene.raster.rasterio.open", broken)
    with refused(UnreadableScene, path, "invalid start byte"):
        open_scene(path)
    with refused(UnreadableScene, path):
        opened.close()
        opened.read(Window(0, 0, 5, 5))


def test_memory_errors_are_left_to_the_caller(tmp_path, monkeypatch):
    def greedy(*_, **__):
        raise MemoryError

    monkeypatch.setattr("geosam.scene.raster._bands", greedy)
    with pytest.raises(MemoryError):
        whole(open_scene(SCENES["north_up"](tmp_path)))


def test_first_bytes_are_shown_as_printable_text():
    assert preflight.describe_bytes(b"\x00\x01abc\n\tdef").isprintable()
