"""The region of a scene, and reads outside of it."""

import pytest
from affine import Affine
from scenes import SCENES, UTM, picture, write_scene

from geosam.errors import SceneError, UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene


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
    with pytest.raises(UsageError, match="`window`"):
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
    with pytest.raises(SceneError, match=r"too large: .*huge.vrt: found 2147483647 x 2147483647 = 4.61e\+18") as caught:
        open_scene(path)
    assert caught.value.exit_code == 3
    assert "`window`" in caught.value.remedy
    assert open_scene(path, window=(10, -500, 500, -10)).region == Window(10, 10, 490, 490)
    assert open_scene(path, max_pixels=1e19).region.width == 2**31 - 1
