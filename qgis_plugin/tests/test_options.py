"""Choices and defaults of the plugin are those of the library, as its worker describes them."""

import json
import os
import subprocess

import pytest

from geosam_qgis.draft import GRANULARITIES
from geosam_qgis.jobs.run_request import DEVICES, LAYOUTS, MODELS, POLYGONS
from geosam_qgis.processing.provider import GeosamProvider

#: Options of the library, as (group, name), by the parameters of algorithms that set them.
NUMBERS = {
    "TILE_SIZE": ("run", "tile_size"),
    "OVERLAP": ("run", "overlap"),
    "SIMPLIFY": ("run", "simplify_m"),
    "MIN_AREA": ("run", "min_area_m2"),
    "FILL_HOLES": ("run", "fill_holes_m2"),
    "RESOLUTION": ("opening", "resolution"),
    "IOU": ("evaluation", "iou"),
    "TOLERANCE": ("evaluation", "tolerance_m"),
}
FLAGS = {
    "ALLOW_PARTIAL": ("run", "allow_partial"),
    "RESTART": ("run", "restart"),
    "SKIP_OUTSIDE": ("prompts", "skip_outside"),
}
CHOICES = {
    "DEVICE": ("model", "device"),
    "LAYOUT": ("run", "layout"),
    "POLYGONS": ("prompts", "polygons"),
    "GRANULARITY": ("prompts", "granularity"),
}
TEXTS = {"STRETCH": ("opening", "stretch"), "MODEL": ("model", "model")}


@pytest.fixture(scope="module")
def described():
    """Options by group and name, as the worker describes them."""
    calls = (("initialize", {"protocol": 1}), ("options", {}), ("shutdown", {}))
    messages = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    command = [os.environ["GEOSAM_WORKER"], "worker"]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=True, timeout=120)
    replies = {reply["id"]: reply for reply in map(json.loads, done.stdout.splitlines())}
    return {(group, option["name"]): option for group, table in replies[1]["result"].items() for option in table}


@pytest.fixture(scope="module")
def parameters(qgis_app, qgis_processing):
    """Parameters of all algorithms: (name, definition)."""
    provider = GeosamProvider()
    provider.loadAlgorithms()
    provider.refreshAlgorithms()
    found = [(one.name(), one) for algorithm in provider.algorithms() for one in algorithm.parameterDefinitions()]
    assert {name for name, _ in found} > {*NUMBERS, *FLAGS, *CHOICES, *TEXTS}
    return [(name, one.clone()) for name, one in found]


def test_what_is_offered_is_what_the_library_takes(described):
    assert list(DEVICES) == described["model", "device"]["choices"]
    assert list(LAYOUTS) == described["run", "layout"]["choices"]
    assert list(POLYGONS) == described["prompts", "polygons"]["choices"]
    assert list(GRANULARITIES) == described["prompts", "granularity"]["choices"]
    assert MODELS[0] == described["model", "model"]["default"]


def test_defaults_and_limits_of_algorithms_are_the_library_s(described, parameters):
    for name, definition in parameters:
        if name in NUMBERS:
            option = described[NUMBERS[name]]
            assert definition.defaultValue() == option["default"], name
            assert definition.minimum() == option.get("least", option.get("above")), name
            assert option.get("most") in (None, definition.maximum()), name
        if name in {**FLAGS, **TEXTS}:
            assert definition.defaultValue() == described[{**FLAGS, **TEXTS}[name]]["default"], name
        if name in CHOICES:
            option = described[CHOICES[name]]
            assert len(definition.options()) == len(option["choices"]), name
            assert option["choices"][definition.defaultValue()] == option["default"], name
