"""Samples for the stretch: the lattice of patches."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from raster_cases import noise, whole
from scenes import NORTH_UP, SCENES, write_scene

from geosam.scene import open_scene, pixels


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
