"""Fixtures of the tests of fine-tuning."""

from contextlib import closing

import pytest
from finetune_cases import discs, discs_scene, layer, lite_weights

from geosam.scene import open_scene
from geosam.vector.polygons import read_polygons


@pytest.fixture
def scene(tmp_path):
    with closing(open_scene(discs_scene(tmp_path))) as opened:
        yield opened


@pytest.fixture
def polygons(tmp_path):
    return read_polygons(layer(tmp_path / "discs.gpkg", discs()))


@pytest.fixture
def lite(tmp_path):
    """A file with small weights of geosam_lite."""
    return lite_weights(tmp_path / "lite.safetensors")
