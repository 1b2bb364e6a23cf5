import hashlib

import pytest
import rasterio


def test_info_describes_the_scene(tiny, geosam):
    done = geosam("info", tiny)
    assert (done.code, done.err) == (0, "")
    with rasterio.open(tiny) as oracle:
        facts = {"native width": oracle.width, "native height": oracle.height, "band count": 3, "crs": "EPSG:32633"}
    lines = dict(line.split("  ", 1) for line in done.out.splitlines())
    assert {name: lines[name].strip() for name in facts} == {name: str(value) for name, value in facts.items()}


def test_info_as_json(tiny, geosam):
    done = geosam("info", tiny, "--json")
    with rasterio.open(tiny) as oracle:
        assert done.json["native_width"] == oracle.width
        assert done.json["bounds"] == list(oracle.bounds)
    assert geosam("info", tiny, "--json", "--resolution", "4").json["width"] == 33  # of 4 m on the ground, not in UTM
    assert (done.json["exit_code"], done.json["warnings"]) == (0, [])


def test_info_of_a_scene_without_crs_names_the_remedy(tmp_path, geosam):
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 3, "dtype": "uint8"}
    with rasterio.open("bare.tif", "w", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 5e6), **profile):
        pass
    refused = geosam("info", tmp_path / "bare.tif")
    assert refused.code == 3
    assert "--crs" in refused.error()
    assert geosam("info", "bare.tif", "--crs", "EPSG:32633", "--json").json["crs"] == "EPSG:32633"


def test_info_of_nothing(geosam):
    done = geosam("info", "no such.tif", "--json")
    assert done.code == done.json["exit_code"] == 3
    assert "no such.tif" in done.error()


@pytest.mark.fault("R09")
def test_a_scene_is_verified_where_that_is_asked_for(tiny, geosam):
    right = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert geosam("info", tiny, "--verify", right).code == 0
    refused = geosam("info", tiny, "--verify", "0" * 64)
    assert refused.code == 3
    assert right in refused.error()
    assert geosam("info", tiny, "--verify", "abc").code == 2


def test_a_warning_is_not_repeated_in_the_table(tmp_path, geosam):
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 4, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open("four.tif", "w", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 5e6), **profile):
        pass
    done = geosam("info", tmp_path / "four.tif")
    assert done.code == 0
    assert done.err.startswith("warning: ")
    assert not any(line.startswith("warnings") for line in done.out.splitlines())
