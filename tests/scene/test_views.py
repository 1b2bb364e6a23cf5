"""A scene as people see it: properties, a line of text, a thumbnail, a card for notebooks, a plot."""

import base64
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from raster_cases import noise, refused, whole
from rasterio.enums import Resampling
from rasterio.windows import Window as FileWindow
from scenes import NORTH_UP, SCENES, UTM, picture, write_scene

from geosam.errors import UnreadableScene, UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene, pixels, views


def read_pixels(monkeypatch):
    """Numbers of pixels of each read from a file."""
    counts = []
    original = pixels.PixelReader.read
    monkeypatch.setattr(
        pixels.PixelReader,
        "read",
        lambda self, window: counts.append(window.width * window.height) or original(self, window),
    )
    return counts


# Properties


@pytest.mark.parametrize("name", SCENES)
def test_properties_are_those_of_rasterio(name, tmp_path):
    path = SCENES[name](tmp_path)
    opened = open_scene(path)
    with rasterio.open(path) as file:
        assert opened.crs.to_wkt() == opened.geobox.crs.to_wkt()
        assert opened.crs.to_epsg() == file.crs.to_epsg()
        assert opened.shape == (file.height, file.width)
        if file.transform.b == file.transform.d == 0:
            left, right = sorted([file.bounds.left, file.bounds.right])
            bottom, top = sorted([file.bounds.bottom, file.bounds.top])
            assert opened.bounds == pytest.approx((left, bottom, right, top))
    assert opened.resolution == opened.gsd_xy
    assert whole(opened).rgb.shape[1:] == opened.shape


def test_bounds_and_shape_are_those_of_the_region(tmp_path):
    window = (500_005, 4_999_970, 500_030, 4_999_990)
    opened = open_scene(SCENES["north_up"](tmp_path), window=window)
    assert opened.bounds == window
    assert opened.shape == (40, 50)
    assert opened.read(opened.region).rgb.shape == (3, *opened.shape)


def test_a_scene_is_a_context_manager_that_closes_its_handles(tmp_path):
    with open_scene(SCENES["north_up"](tmp_path)) as opened, opened.reader.raster.handle() as handle:
        assert not handle.closed
    assert handle.closed
    with pytest.raises(ZeroDivisionError), open_scene(opened.path):
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["north_up", "geographic", "non_square_pixels", "single_band"])
def test_a_scene_prints_as_one_line(name, tmp_path):
    folder = tmp_path / ("a folder with a long name " * 5)
    folder.mkdir()
    opened = open_scene(SCENES[name](folder))
    text = repr(opened)
    assert text == str(opened)
    assert "\n" not in text
    assert len(text) < 170
    assert "scene.tif" in text
    assert "90 x 70 px" in text
    assert opened.crs.to_authority()[1] in text


# Thumbnail


def test_a_thumbnail_of_a_small_scene_is_the_scene(tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", picture(), crs='LOCAL_CS["local",UNIT["metre",1]]'))
    image = opened.thumbnail()
    assert image.mode == "RGB"
    assert (np.asarray(image) == picture().transpose(1, 2, 0)).all()


@pytest.mark.parametrize("size", [1, 7, 32, 64])
def test_a_thumbnail_is_the_mean_of_the_pixels(tmp_path, size):
    array = noise(256, 128)
    local = 'LOCAL_CS["local",UNIT["metre",1]]'
    opened = open_scene(write_scene(tmp_path / "a.tif", array, crs=local), stretch="none")
    image = np.asarray(opened.thumbnail(size)).astype(int)
    assert max(image.shape[:2]) == size
    if size in (32, 64):
        factor = 256 // size
        means = array.reshape(3, size // 2, factor, size, factor).mean(axis=(2, 4)).transpose(1, 2, 0)
        assert np.abs(image - means).max() <= 0.5 + 1e-6


def test_a_thumbnail_shows_the_stretched_picture(tmp_path):
    array = noise(90, 70, dtype="uint16")
    opened = open_scene(write_scene(tmp_path / "a.tif", array, crs='LOCAL_CS["local",UNIT["metre",1]]'))
    low, high = (np.array(limits)[:, None, None] for limits in (opened.stretch.low, opened.stretch.high))
    expected = np.rint(np.clip((array - low) * (255 / (high - low)), 0, 255))
    assert np.abs(np.asarray(opened.thumbnail()).transpose(2, 0, 1) - expected).max() <= 1


def test_a_thumbnail_shows_the_region_alone(tmp_path):
    array = np.zeros((3, 70, 90), np.uint8) + 50
    array[:, 20:40, 30:60] = 200
    opened = open_scene(
        write_scene(tmp_path / "a.tif", array), stretch="none", window=(500_015, 4_999_980, 500_030, 4_999_990)
    )
    image = np.asarray(opened.thumbnail(10))
    assert image.shape[1] == 10
    assert image.shape[0] in (7, 8)  # a UTM pixel is not quite square on the ground
    assert (image[1:-2, 1:-1] == 200).all()


@pytest.mark.parametrize("name", ["non_square_pixels", "geographic"])
def test_pixels_of_a_thumbnail_are_square_on_the_ground(name, tmp_path):
    opened = open_scene(SCENES[name](tmp_path))
    image = opened.thumbnail(60)
    (height, width), (across, down) = opened.shape, opened.gsd_xy
    assert image.width / image.height == pytest.approx(width * across / (height * down), abs=0.06)
    assert max(image.size) <= 60


def test_invalid_pixels_of_a_thumbnail_are_black(tmp_path):
    opened = open_scene(SCENES["nodata"](tmp_path))
    coarse = opened.zoom(2, 2)
    valid = coarse.read(coarse.region).valid
    image = np.asarray(opened.thumbnail(45))
    assert (image[~valid] == 0).all()
    assert image[valid].any(axis=1).all()


def test_a_thumbnail_of_a_large_scene_reads_its_overview(tmp_path, monkeypatch):
    path = write_scene(tmp_path / "a.tif", noise(1600, 1200, 1), tiled=True, compress="deflate")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8], Resampling.average)
    opened = open_scene(path, stretch="none")
    opened.thumbnail(200)
    counts = read_pixels(monkeypatch)
    coarse = opened.zoom(*views.square_scale(opened, 190))
    assert coarse.reader.raster.overview == 2
    counts.clear()
    coarse.read(coarse.region)
    assert sum(counts) < 1600 * 1200 / 50


def test_a_thumbnail_of_a_scene_without_overviews_is_read_in_parts(tmp_path, monkeypatch):
    opened = open_scene(write_scene(tmp_path / "a.tif", noise(900, 700, 1)), stretch="none")
    monkeypatch.setattr("geosam.scene.scene._RESAMPLE_PX", 128)
    counts = read_pixels(monkeypatch)
    assert max(opened.thumbnail(100).size) == 100
    assert max(counts) <= 150**2


@pytest.mark.parametrize("size", [0, -3])
def test_a_thumbnail_has_a_pixel(tmp_path, size):
    with refused(UsageError, "`size`", size):
        open_scene(SCENES["north_up"](tmp_path)).thumbnail(size)


# Zoom


WINDOWS = st.builds(Window, st.integers(0, 40), st.integers(0, 40), st.integers(1, 50), st.integers(1, 30))


@given(st.floats(0.3, 9), st.floats(0.3, 9), WINDOWS)
def test_a_scaled_window_covers_the_ground_of_the_window(scale_x, scale_y, window):
    coarse = views.scaled(window, scale_x, scale_y, Window(0, 0, 10_000, 10_000))
    tolerance = 1e-5 * max(scale_x, scale_y)
    assert coarse.col_off * scale_x <= window.col_off
    assert coarse.row_off * scale_y <= window.row_off
    assert coarse.col_end * scale_x >= window.col_end - tolerance
    assert coarse.row_end * scale_y >= window.row_end - tolerance
    assert (coarse.width - 2) * scale_x < window.width
    assert (coarse.height - 2) * scale_y < window.height


def test_a_zoomed_scene_is_the_scene_opened_at_that_resolution(tmp_path):
    opened = open_scene(SCENES["nodata"](tmp_path))
    zoomed, scale = opened.zoom(3, 3), 3 * opened.gsd_xy[0]
    stated = open_scene(opened.path, resolution=scale)
    assert zoomed.shape == zoomed.geobox.window.shape_hw
    assert zoomed.gsd_xy == pytest.approx((scale, 3 * opened.gsd_xy[1]))
    assert np.abs(whole(zoomed).rgb.astype(int) - whole(stated).rgb).max() <= 1
    assert opened.zoom(1, 1) is opened


def test_zooming_twice_is_zooming_once(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path), resolution=1.0)
    twice, once = opened.zoom(2, 2).zoom(1.5, 1.5), opened.zoom(3, 3)
    assert twice.shape == once.shape
    assert (whole(twice).rgb == whole(once).rgb).all()
    assert twice.recipe.resampling == once.recipe.resampling


# Card and plot


def shown(card):
    """The picture on a card."""
    data = re.search(r'src="data:image/png;base64,([^"]*)"', card)
    return data and Image.open(io.BytesIO(base64.b64decode(data[1])))


def test_a_card_shows_facts_and_the_thumbnail(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path))
    card = opened._repr_html_()
    for word in ("scene.tif", UTM, "90 x 70 px", "red, green and blue", "500000"):
        assert word in card
    assert (np.asarray(shown(card)) == np.asarray(opened.thumbnail(384))).all()
    assert len(card) < 50_000


def test_a_card_escapes_names(tmp_path):
    path = SCENES["north_up"](tmp_path).rename(tmp_path / "<b>&.tif")
    assert "&lt;b&gt;&amp;.tif" in open_scene(path)._repr_html_()


def test_a_card_of_a_damaged_file_says_so(tmp_path):
    opened = open_scene(write_scene(tmp_path / "a.tif", noise(300, 300), photometric="rgb"))
    with Path(opened.path).open("r+b") as file:
        file.truncate(9_000)
    card = opened._repr_html_()
    assert shown(card) is None
    assert "cannot read" in card
    with pytest.raises(UnreadableScene):
        opened.thumbnail()


def test_a_card_of_a_huge_file_without_overviews_reads_nothing(tmp_path, monkeypatch):
    path = tmp_path / "huge.tif"
    shape = {"width": 60_000, "height": 60_000, "count": 1, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", **shape, sparse_ok=True, crs=UTM, transform=NORTH_UP) as file:
        file.write(noise(256, 256, 1), window=FileWindow(0, 0, 256, 256))
    opened = open_scene(path, stretch="none")
    counts = read_pixels(monkeypatch)
    card = opened._repr_html_()
    assert "no overview" in card
    assert shown(card) is None
    assert counts == []
    west, _, _, north = opened.bounds
    part = open_scene(path, stretch="none", window=(west, north - 100, west + 100, north))
    assert shown(part._repr_html_()) is not None


def test_a_plot_without_matplotlib_ends_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with refused(UsageError, "matplotlib is not installed", "pip install matplotlib", "`thumbnail()`"):
        open_scene(SCENES["north_up"](tmp_path)).plot()


class FakeAxes:
    """Axes that note what is drawn on them."""

    def __init__(self):
        self.transData = np.eye(3)

    def imshow(self, image, extent, transform):
        self.image, self.extent, self.transform = image, extent, transform

    def set(self, **settings):
        self.settings = settings

    def set_aspect(self, aspect):
        self.aspect = aspect


class FakeAffine2D(np.ndarray):
    """A matrix that is built, and added to what comes after it, as matplotlib does."""

    @classmethod
    def from_values(cls, *numbers):
        return np.vstack([np.reshape(numbers, (3, 2)).T, [0, 0, 1.0]]).view(cls)

    def __add__(self, other):
        return np.asarray(other) @ np.asarray(self)


@pytest.fixture
def matplotlib(monkeypatch):
    """A stand-in for matplotlib, which the tests do not need to be installed."""
    axes = FakeAxes()
    package, pyplot, transforms = (ModuleType(f"matplotlib{end}") for end in ("", ".pyplot", ".transforms"))
    pyplot.subplots = lambda: (None, axes)
    transforms.Affine2D = FakeAffine2D
    for module in (package, pyplot, transforms):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return axes


@pytest.mark.parametrize("name", ["north_up", "rotated", "sheared", "geographic"])
def test_a_plot_places_the_picture_on_the_map(name, tmp_path, matplotlib):
    opened = open_scene(SCENES[name](tmp_path))
    axes = opened.plot(size=40)
    assert axes is matplotlib
    left, right, bottom, top = axes.extent
    assert (right - left, bottom - top) == (axes.image.width, axes.image.height)
    placed = [np.asarray(axes.transform @ [x, y, 1])[:2] for x, y in ((0, 0), (right, 0), (right, bottom), (0, bottom))]
    height, width = opened.shape
    corners = opened.geobox.to_map([(0, 0), (width, 0), (width, height), (0, height)])
    pixel = np.abs(opened.geobox.to_map([(3, 3)]) - opened.geobox.to_map([(0, 0)])).max()
    assert np.abs(np.array(placed) - corners).max() < pixel
    assert axes.settings["xlim"] == pytest.approx(opened.bounds[::2], abs=pixel)
    assert axes.settings["ylim"] == pytest.approx(opened.bounds[1::2], abs=pixel)


@pytest.mark.usefixtures("matplotlib")
def test_a_degree_of_a_plot_is_as_long_as_on_the_ground(tmp_path):
    opened = open_scene(SCENES["geographic"](tmp_path))
    assert opened.plot().aspect == pytest.approx(1 / np.cos(np.deg2rad(45)), rel=0.01)
    assert open_scene(SCENES["north_up"](tmp_path)).plot().aspect == pytest.approx(1, rel=0.01)


def test_a_plot_draws_on_the_axes_of_the_caller(tmp_path, matplotlib):
    axes = FakeAxes()
    assert open_scene(SCENES["north_up"](tmp_path)).plot(axes) is axes
    assert axes.settings["title"] == "scene.tif"
    assert not hasattr(matplotlib, "image")
