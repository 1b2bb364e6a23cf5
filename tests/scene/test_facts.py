"""Facts about a scene: description, provenance, paths."""

import json
import shutil
import subprocess
import sys

import pytest
from raster_cases import copied, whole
from scenes import SCENES, UTM, picture

from geosam.scene import open_scene


@pytest.mark.fault("R59")
def test_any_path_a_user_may_have(tmp_path):
    folder = tmp_path / "dört ünï 文件"
    folder.mkdir()
    path = folder / "a #b?c%20 'd'.tif"
    opened = open_scene(shutil.copy(SCENES["north_up"](tmp_path), path))
    assert (whole(opened).rgb == picture()).all()
    assert str(path) in opened.describe()["scene"]


def test_a_relative_path_survives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SCENES["north_up"](tmp_path)
    opened = open_scene("scene.tif")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (whole(copied(opened)).rgb == picture()).all()


def test_a_description_is_json_and_says_what_matters(tmp_path):
    opened = open_scene(SCENES["four_band_uint16"](tmp_path), resolution=2.0)
    facts = json.loads(json.dumps(opened.describe()))
    assert facts["scene"].endswith("scene.tif")
    assert (facts["native_width"], facts["native_height"]) == (90, 70)
    assert (facts["width"], facts["height"]) == (opened.geobox.width, opened.geobox.height)
    assert facts["crs"] == UTM
    assert facts["used_bands"] == [1, 2, 3]
    assert facts["gsd_m"] == pytest.approx([2, 2], rel=1e-3)
    assert facts["stretch"] == opened.stretch.to_json()
    assert facts["dtype"] == ["uint16"]
    for key in ("why", "valid_pixels", "bounds", "overviews", "compression", "georeference", "block", "warnings"):
        assert key in facts


def test_provenance_tells_how_to_open_the_scene_again(tmp_path):
    opened = open_scene(SCENES["north_up"](tmp_path), resolution=2.0)
    told = json.loads(json.dumps(opened.provenance()))
    assert told == {
        "scene": opened.path,
        "bands": [1, 2, 3],
        "stretch": opened.stretch.to_json(),
        "resolution": 2.0,
    }
    native = open_scene(opened.path)
    assert native.provenance()["resolution"] == list(native.gsd_xy)


def test_describing_a_scene_loads_neither_torch_nor_geopandas(tmp_path):
    code = (
        "import sys; from geosam.scene import open_scene; open_scene(sys.argv[1]).describe(); "
        "loaded = {'torch', 'geopandas', 'pyogrio', 'skimage'} & set(sys.modules); sys.exit(' '.join(loaded) or 0)"
    )
    command = [sys.executable, "-c", code, str(SCENES["north_up"](tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
