"""Pre-flight: hashes, virtual rasters, driver prefixes, and untrusted files."""

import hashlib

import pytest
from raster_cases import refused, whole
from scenes import SCENES, UTM, picture

from geosam.errors import GeosamError, UnreadableScene, UsageError
from geosam.scene import open_scene, preflight


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
    with refused(UnreadableScene, "another file than expected", path, wrong, right) as caught:
        open_scene(path, sha256=right)
    assert caught.value.exit_code == 3


@pytest.mark.fault("R09")
@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 65])
def test_what_is_no_hash_is_refused(text, tmp_path):
    with refused(UsageError, "`sha256`", repr(text), "64 hexadecimal digits"):
        open_scene(SCENES["north_up"](tmp_path), sha256=text)


@pytest.mark.fault("R09")
def test_a_url_cannot_be_verified():
    with refused(UnreadableScene, "URL", "`sha256`"):
        open_scene("http://127.0.0.1:1/a.tif", sha256="0" * 64)


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
    with refused(UnreadableScene, "VRT", "`untrusted`", path):
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
    with refused(UnreadableScene, "URL", "`untrusted`"):
        open_scene("http://127.0.0.1:1/a.tif", untrusted=True)
    listing = tmp_path / "wms.xml"
    listing.write_text("<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:1/</ServerUrl></Service></GDAL_WMS>")
    with refused(UnreadableScene, "self-contained", listing):
        open_scene(listing, untrusted=True)


def test_first_bytes_are_shown_as_printable_text():
    assert preflight.describe_bytes(b"\x00\x01abc\n\tdef").isprintable()
