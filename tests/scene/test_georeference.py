"""Georeference: CRS and transform of every origin, or a refusal with a remedy."""

import pytest
import rasterio
from affine import Affine
from raster_cases import refused, whole
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from scenes import NORTH_UP, REFUSED, SCENES, UTM, picture, update, write_scene

from geosam.errors import MissingCRS, UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene


@pytest.mark.fault("R22", "R23")
@pytest.mark.parametrize(
    ("crs", "transform"), [("EPSG:4326", Affine(2e-3, 0, 179.9, 0, -2e-3, 10)), ("EPSG:3413", NORTH_UP)]
)
def test_scenes_at_the_antimeridian_and_the_pole_keep_their_coordinates(crs, transform, tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", picture(), crs=crs, transform=transform))
    assert opened.geobox.transform == transform
    assert opened.geobox.bounds[2] == pytest.approx(transform.c + 90 * transform.a)


@pytest.mark.fault("R53")
def test_area_or_point_shifts_nothing(tmp_path):
    path = SCENES["north_up"](tmp_path)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    assert open_scene(path).geobox.transform == NORTH_UP


@pytest.mark.fault("R11")
def test_neither_crs_nor_transform(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    for options in ({}, {"crs": "EPSG:32633"}):
        with refused(MissingCRS, "has no CRS and no transform", path, "`crs`", "`assume_pixels=True`") as caught:
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
    with refused(UsageError, "`assume_pixels`", path, UTM) as caught:
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
    with refused(MissingCRS, "has no CRS", path, "`crs"):
        open_scene(path)
    opened = open_scene(path, crs="EPSG:25833")
    assert opened.geobox.crs.to_epsg() == 25833
    assert opened.geobox.transform == NORTH_UP
    assert "given by the user" in opened.describe()["georeference"]


def test_crs_is_only_for_scenes_that_have_none(tmp_path):
    path = SCENES["north_up"](tmp_path)
    assert open_scene(path, crs=UTM).geobox.crs.to_epsg() == 32633
    with refused(UsageError, "EPSG:25833", path, UTM):
        open_scene(path, crs="EPSG:25833")
    with refused(UsageError, '`crs`: found "EPSG:nonsense"', "not a CRS"):
        open_scene(path, crs="EPSG:nonsense")


WORLD_FILE = "2.0\n0\n0\n-2.0\n701\n899\n"  # the centre of the first pixel, as world files have it


@pytest.mark.fault("R14")
def test_a_world_file_places_a_raster_without_tags(tmp_path):
    path = write_scene(tmp_path / "a.tif", picture(), crs=None, transform=None)
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    with refused(MissingCRS, "has no CRS", path, "`crs"):
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
        with refused(MissingCRS, "ground control points", path, "gdalwarp -tps", "`gcps=True`"):
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
    with refused(UsageError, "`gcps`", "no ground control points"):
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
