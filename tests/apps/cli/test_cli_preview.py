import geopandas
import pytest
import shapely
from PIL import Image


@pytest.fixture
def polygons(tmp_path):
    path = tmp_path / "polygons.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(500010, 4999920, 500060, 4999980)], crs="EPSG:32633").to_file(path)
    return path


def test_preview_writes_a_picture(tiny, polygons, geosam):
    done = geosam("preview", tiny, polygons, "-o", "picture.png")
    assert (done.code, done.out) == (0, "")
    with Image.open(tiny.parent / "picture.png") as picture:
        assert picture.width >= 64
    again = geosam("preview", tiny, polygons, "-o", "picture.png")
    assert again.code == 6
    assert "picture.png" in again.error()
    done = geosam("preview", tiny, polygons, "-o", "picture.png", "--overwrite", "--json")
    assert done.json == {"output": "picture.png", "warnings": [], "exit_code": 0}


@pytest.mark.parametrize(
    ("args", "code"),
    [(["-o", "picture.jpg"], 2), (["-o", "no/picture.png"], 6), ([], 2), (["-o", "p.png", "--layer", "nonsense"], 4)],
)
def test_preview_refuses(args, code, tiny, polygons, geosam):
    done = geosam("preview", tiny, polygons, *args)
    assert (done.code, done.out) == (code, "")
    assert done.error()
    assert not (tiny.parent / "p.png").exists()
