"""A named list of tiny GeoTIFFs, one for every kind of grid and band layout that the tests run over.

``SCENES[name](tmp_path, picture)`` writes the picture, uint8 (3, H, W), as a file of that kind and returns its path.
Every file shows the same picture at the same pixels once geosam has opened it, as far as its kind allows: single band
files show the first band in grey, and the 16-bit file holds 40 times the values.
"""

import warnings

import numpy as np
import rasterio
from affine import Affine
from known_answers import flat_scene
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

UTM = "EPSG:32633"
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)


def picture(width=90, height=70, seed=5):
    """A picture (3, height, width) of flat shapes without black, which the nodata scenes need for themselves."""
    return flat_scene(np.random.default_rng(seed), height, width, 12)


def write_scene(path, array, *, transform=NORTH_UP, crs=UTM, colors=None, **profile):
    """Write an array (bands, H, W) as a GeoTIFF and return its path; `colors` names the colour interpretation."""
    bands, height, width = array.shape
    shape = {"width": width, "height": height, "count": bands, "dtype": array.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(path, "w", driver="GTiff", **shape, transform=transform, crs=crs, **profile)
    with file:
        if colors:
            file.colorinterp = [ColorInterp[name] for name in colors]
        file.write(array)
    return path


def update(path, **attributes):
    """Set attributes of a dataset, such as `gcps`, in a file that has no georeference yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as file:
            for name, value in attributes.items():
                setattr(file, name, value)
    return path


def blank(array):
    """A copy of a picture whose upper left quarter is black."""
    array = array.copy()
    array[:, : array.shape[1] // 2, : array.shape[2] // 2] = 0
    return array


def rotated(degrees=30, size=0.5):
    return Affine.translation(500_000, 5_000_000) @ Affine.rotation(degrees) @ Affine.scale(size, -size)


def _placed(transform, crs=UTM, **profile):
    def build(tmp_path, array=None):
        array = picture() if array is None else array
        return write_scene(tmp_path / "scene.tif", array, transform=transform, crs=crs, photometric="rgb", **profile)

    return build


def south_up(tmp_path, array=None):
    array = picture() if array is None else array
    t = NORTH_UP
    flipped = Affine(t.a, 0, t.c, 0, -t.e, t.f + t.e * array.shape[1])
    return write_scene(tmp_path / "scene.tif", array[:, ::-1], transform=flipped, photometric="rgb")


def east_west_flipped(tmp_path, array=None):
    array = picture() if array is None else array
    t = NORTH_UP
    flipped = Affine(-t.a, 0, t.c + t.a * array.shape[2], 0, t.e, t.f)
    return write_scene(tmp_path / "scene.tif", array[:, :, ::-1], transform=flipped, photometric="rgb")


def nodata(tmp_path, array=None):
    array = blank(picture() if array is None else array)
    return write_scene(tmp_path / "scene.tif", array, nodata=0, photometric="rgb")


def alpha(tmp_path, array=None):
    array = picture() if array is None else array
    opaque = np.full((1, *array.shape[1:]), 255, np.uint8)
    return write_scene(tmp_path / "scene.tif", np.concatenate([array, blank(opaque)]), photometric="rgb", alpha="yes")


def mask_band(tmp_path, array=None):
    array = picture() if array is None else array
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_scene(tmp_path / "scene.tif", array, photometric="rgb")
        with rasterio.open(path, "r+") as file:
            file.write_mask(blank(np.full((1, *array.shape[1:]), 255, np.uint8))[0])
    return path


def four_band_uint16(tmp_path, array=None):
    array = picture() if array is None else array
    values = np.concatenate([array, array[::-1][:1]]).astype(np.uint16) * 40
    names = ("red", "green", "blue", "undefined")
    return write_scene(tmp_path / "scene.tif", values, photometric="minisblack", colors=names)


def single_band(tmp_path, array=None):
    array = picture() if array is None else array
    return write_scene(tmp_path / "scene.tif", array[:1])


def no_crs(tmp_path, array=None):
    return _placed(NORTH_UP, None)(tmp_path, array)


#: Kinds that open without any option, by name.
SCENES = {
    "north_up": _placed(NORTH_UP),
    "south_up": south_up,
    "east_west_flipped": east_west_flipped,
    "rotated": _placed(rotated()),
    "sheared": _placed(Affine(0.5, 0.1, 500_000, 0.02, -0.5, 5_000_000)),
    "non_square_pixels": _placed(Affine(0.5, 0, 500_000, 0, -0.3, 5_000_000)),
    "geographic": _placed(Affine(1e-5, 0, 15, 0, -1e-5, 45), "EPSG:4326"),
    "antimeridian": _placed(Affine(2e-3, 0, 179.9, 0, -2e-3, 10), "EPSG:4326"),
    "tiled_deflate": _placed(NORTH_UP, tiled=True, blockxsize=32, blockysize=16, compress="deflate"),
    "nodata": nodata,
    "alpha": alpha,
    "mask_band": mask_band,
    "four_band_uint16": four_band_uint16,
    "single_band": single_band,
    "smaller_than_a_tile": lambda tmp_path, array=None: SCENES["north_up"](
        tmp_path, picture(20, 13) if array is None else array
    ),
    "one_pixel_wider_than_a_tile": lambda tmp_path, array=None: SCENES["north_up"](
        tmp_path, picture(65, 64) if array is None else array
    ),
}
#: Kinds that are refused without an option.
REFUSED = {"no_crs": no_crs}
