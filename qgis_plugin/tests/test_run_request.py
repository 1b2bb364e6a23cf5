"""The parameters of a run, as the worker's method *run* takes them."""

import dataclasses
import json

from geosam_qgis.jobs.run_request import PromptSource, RunRequest
from geosam_qgis.jobs.sources import RasterSource

SOURCE = RasterSource("/data/scene.tif", {"crs": "EPSG:32633"})


def test_a_run_without_choices_has_the_raster_the_output_and_the_model():
    assert RunRequest(SOURCE, "/out.gpkg", "regions").params() == {
        "path": "/data/scene.tif",
        "options": {"crs": "EPSG:32633"},
        "model": {"name": "regions", "device": "auto"},
        "out": "/out.gpkg",
        "window": None,
        "running": {},
        "send_objects": False,
    }


def test_prompts_bring_their_file_and_the_options_for_reading_it():
    prompts = PromptSource("/clicks.gpkg", "mask", "whole", skip_outside=True)
    params = RunRequest(SOURCE, "/out.gpkg", "regions", prompts=prompts).params()
    assert params["prompts"] == "/clicks.gpkg"
    assert params["prompting"] == {"polygons": "mask", "granularity": "whole", "skip_outside": True}


def test_a_cache_is_left_out_where_there_is_none():
    assert "cache" not in RunRequest(SOURCE, "/out.gpkg", "regions").params()
    assert RunRequest(SOURCE, "/out.gpkg", "regions", cache="/cache").params()["cache"] == "/cache"


def test_every_choice_reaches_the_request_and_can_be_written_as_json():
    request = RunRequest(
        SOURCE,
        "/out.gpkg",
        "sam_vit_b",
        device="cpu",
        window=(1.0, 2.0, 3.0, 4.0),
        running={"tile_size": 512},
        send_objects=True,
    )
    params = json.loads(json.dumps(request.params()))
    assert params["model"] == {"name": "sam_vit_b", "device": "cpu"}
    assert params["window"] == [1.0, 2.0, 3.0, 4.0]
    assert params["running"] == {"tile_size": 512}
    assert params["send_objects"] is True
    assert len(params) >= len(dataclasses.fields(request)) - 2  # prompts and cache are not chosen
