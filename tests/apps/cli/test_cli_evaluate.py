import geopandas
import pytest
import shapely


@pytest.fixture
def layers(tmp_path):
    """Three reference squares of 10 m; the prediction has the first, the second shifted by 2 m, and a false one."""
    squares = [shapely.box(x, 0, x + 10, 10) for x in (5e5, 5e5 + 20, 5e5 + 40)]
    found = [squares[0], shapely.box(5e5 + 22, 0, 5e5 + 32, 10), shapely.box(5e5 + 100, 0, 5e5 + 110, 10)]
    for name, shapes in (("reference", squares), ("predicted", found), ("within", [shapely.box(5e5, 0, 5e5 + 35, 10)])):
        geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32633").to_file(tmp_path / f"{name}.gpkg", layer="one")
    return tmp_path / "predicted.gpkg", tmp_path / "reference.gpkg", tmp_path / "within.gpkg"


def test_evaluate_as_json(layers, geosam):
    predicted, reference, within = layers
    done = geosam("evaluate", predicted, reference, "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.json["matched"], done.json["precision"], done.json["recall"]) == (
        2,
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert done.json["mean_iou_matched"] == pytest.approx((1 + 8 / 12) / 2)
    inside = geosam("evaluate", predicted, reference, "--json", "--within", within, "--iou", "0.8").json
    assert (inside["predicted"], inside["reference"], inside["matched"]) == (2, 2, 1)


def test_evaluate_as_a_table(layers, geosam):
    done = geosam("evaluate", *layers[:2], "--tolerance", "0.5")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("all: 2 of 3 found (mean IoU 0.83)\n")
    assert "an IoU of at least 0.5 " in done.out
    assert "\n3 polygons: 2 are such an object, 0 are a part of one, 1 lie elsewhere.\n" in done.out
    assert "boundary F within 0.5 m" in done.out


def test_evaluate_says_the_scores_of_each_class_first(layers, geosam):
    predicted, reference, _ = layers
    geopandas.read_file(reference).assign(**{"class": ["roof", "pond", "roof"]}).to_file(reference, layer="one")
    done = geosam("evaluate", predicted, reference)
    assert done.out.splitlines()[:3] == [
        "pond: 1 of 1 found (mean IoU 0.67)",
        "roof: 1 of 2 found (mean IoU 1.00)",
        "all:  2 of 3 found (mean IoU 0.83)",
    ]


def test_evaluate_with_layers(layers, geosam):
    predicted, reference, _ = layers
    geopandas.read_file(reference)[:1].to_file(reference, layer="two")
    unclear = geosam("evaluate", predicted, reference)
    assert unclear.code == 4
    assert "reference.gpkg" in unclear.error()
    assert geosam("evaluate", predicted, reference, "--reference-layer", "two", "--json").json["reference"] == 1
    assert geosam("evaluate", reference, predicted, "--layer", "one", "--json").json["predicted"] == 3


@pytest.mark.parametrize(
    ("args", "code"), [(("--iou", "0"), 2), (("--tolerance", "-1"), 2), (("--within", "nothing.gpkg"), 4)]
)
def test_evaluate_refuses(args, code, layers, geosam):
    done = geosam("evaluate", *layers[:2], *args)
    assert (done.code, done.out) == (code, "")
    assert done.error()


def test_nothing_found_has_no_precision(layers, geosam):
    predicted, reference, _ = layers
    geopandas.read_file(predicted)[:0].to_file(predicted, layer="one")
    done = geosam("evaluate", predicted, reference, "--json")
    assert done.code == 0
    assert (done.json["predicted"], done.json["precision"], done.json["recall"]) == (0, None, 0)
