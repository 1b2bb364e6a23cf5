"""``--granularity``: the choice among the masks of an ambiguous prompt, with a segmenter that has three for each."""

import geopandas
import pytest
from calls import RECTANGLES, centre
from known_answers import RefiningSegmenter

#: Areas in pixels of the first rectangle, of it with the background that touches it, and of the whole scene.
PART = 20 * 10
WHOLE = 64 * 48 - 25 * 30 - 15 * 18
GROUP = 64 * 48


@pytest.fixture
def ambiguous(tiny, geosam, monkeypatch):
    """Segment the tiny scene; gives the area in pixels of each prompt's object."""
    monkeypatch.setattr("geosam.run.inputs.load_segmenter", lambda *_, **__: RefiningSegmenter())

    def areas(*args):
        done = geosam("segment", tiny, "-o", "out.gpkg", "--overwrite", *args)
        assert done.code == 0, done.err
        table = geopandas.read_file("out.gpkg")
        return dict(zip(table["prompt_id"], (table.area / 4).tolist(), strict=True))

    return areas


@pytest.mark.parametrize(
    ("option", "area"),
    [
        ((), WHOLE),
        (("--granularity", "auto"), WHOLE),
        (("--granularity", "part"), PART),
        (("--granularity", "whole"), WHOLE),
        (("--granularity", "group"), GROUP),
    ],
)
def test_a_click_gives_the_level_that_is_asked_for(option, area, ambiguous):
    assert ambiguous("--point", centre(RECTANGLES[0]), *option) == {"1": area}


def test_rows_of_a_layer_that_state_a_level_keep_it(ambiguous):
    x, y = centre(RECTANGLES[0]).split(",")
    points = geopandas.GeoSeries.from_wkt([f"POINT ({x} {y})"] * 4, crs="EPSG:32633")
    levels = {"granularity": ["part", "auto", None, "group"], "label": [1] * 4}
    geopandas.GeoDataFrame(levels, geometry=points).to_file("prompts.gpkg")
    layer = ("--prompts", "prompts.gpkg")
    assert ambiguous(*layer) == {"1": PART, "2": WHOLE, "3": WHOLE, "4": GROUP}
    assert ambiguous(*layer, "--granularity", "part") == {"1": PART, "2": PART, "3": PART, "4": GROUP}


@pytest.mark.parametrize("level", ["part", "whole", "group"])
def test_a_level_without_a_prompt_is_refused(level, tiny, geosam):
    done = geosam("segment", tiny, "--model", "threshold", "--granularity", level)
    assert (done.code, done.out) == (2, "")
    assert f"--granularity {level}" in done.error()
    assert not list(tiny.parent.glob("*.gpkg"))


def test_an_unknown_level_is_refused_with_those_there_are(tiny, geosam):
    done = geosam("segment", tiny, "--point", centre(RECTANGLES[0]), "--granularity", "huge")
    assert done.code == 2
    assert all(level in done.error() for level in ("auto", "part", "whole", "group"))


def test_auto_without_a_prompt_means_everything(tiny, geosam):
    assert geosam("segment", tiny, "--model", "threshold", "--granularity", "auto", "--json").json["count"] == 4
