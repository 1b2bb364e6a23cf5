"""Cases of the tests of scenes: pictures, windows, and errors that read well."""

import pickle
import re
from contextlib import contextmanager

import numpy as np
import pytest
from affine import Affine
from scenes import write_scene

from geosam.geometry.geobox import Window


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


def unit_scene(tmp_path, array, **profile):
    """A scene in a local CRS whose pixels are one metre, so that scales are exact."""
    local = 'LOCAL_CS["local",UNIT["metre",1]]'
    return write_scene(tmp_path / "unit.tif", array, crs=local, transform=Affine(1, 0, 100, 0, -1, 900), **profile)


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
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", caught.value.code)
    assert text == " ".join(filter(None, (caught.value.message, caught.value.remedy)))
    assert caught.value.message.endswith(".")
