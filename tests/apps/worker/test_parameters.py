"""Parameters: what is refused, and with which words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.apps.worker.parameters import PARAMETERS, ParameterError, arguments
from geosam.prompts.draft import Draft

DRAFT = {"crs": "EPSG:4326", "steps": [{"kind": "point", "label": 1, "rings": [[[1, 2]]]}]}
MODEL = {"name": "threshold"}
SEGMENT = {"scene": "s", "model": MODEL, "draft": DRAFT}
RUN = {"path": "a.tif", "model": MODEL, "out": "o.gpkg"}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("initialize", {}, "params.protocol: missing"),
        ("initialize", {"protocol": True}, "params.protocol: found True, expected a whole number"),
        ("initialize", {"protocol": 1.0}, "params.protocol: found 1.0, expected a whole number"),
        ("open", {"path": ""}, "params.path: found '', expected the name of a file"),
        ("open", {"path": "a\0b"}, "params.path: found 'a\\x00b', expected the name of a file"),
        ("open", {"path": "\ud800"}, "params.path: found '\\ud800', expected the name of a file"),
        ("open", {"path": None}, "params.path: found None, expected the name of a file"),
        ("open", {"path": "a", "colour": 1}, "params: 'colour' is none of path, options, client, stream"),
        ("open", {"path": "a", "options": []}, "params.options: found [], expected an object"),
        (
            "open",
            {"path": "a", "options": {"bands": [1, 0, 2]}},
            "params.options.bands[1]: found 0, expected a whole number, at least 1",
        ),
        (
            "open",
            {"path": "a", "options": {"resolution": 0}},
            "params.options.resolution: found 0, expected a number, above 0",
        ),
        ("open", {"path": "a", "options": {"resolution": 10**400}}, "params.options.resolution: found 1000000000000"),
        (
            "open",
            {"path": "a", "options": {"window": [0, 0, 0, 1]}},
            "params.options.window: found [0, 0, 0, 1], expected [xmin, ymin, xmax, ymax] with xmin < xmax",
        ),
        (
            "open",
            {"path": "a", "options": {"window": [0, 0, "1", 1]}},
            "params.options.window: found '1', expected a finite number",
        ),
        ("open", {"path": "a", "options": {"gcps": 1}}, "params.options.gcps: found 1, expected true or false"),
        ("segment", {**SEGMENT, "scene": 1}, "params.scene: found 1, expected a text"),
        (
            "segment",
            {**SEGMENT, "look": "everywhere"},
            "params.look: found 'everywhere', expected one of known, window, whole",
        ),
        (
            "segment",
            {**SEGMENT, "model": {"name": "a", "device": "tpu"}},
            "params.model.device: found 'tpu', expected one of auto, cpu, cuda",
        ),
        ("segment", {**SEGMENT, "model": "threshold"}, "params.model: found 'threshold', expected an object"),
        ("segment", {**SEGMENT, "simplify_m": -1}, "params.simplify_m: found -1, expected a number, at least 0"),
        ("segment", {**SEGMENT, "draft": {**DRAFT, "steps": 1}}, "params.draft: draft.steps: expected an array"),
        (
            "segment",
            {**SEGMENT, "draft": {**DRAFT, "crs": "\ud800"}},
            "params.draft.crs: found '\\ud800', expected a text",
        ),
        ("segment", {**SEGMENT, "client": 1}, "params.client: found 1, expected a text of at most 1000 characters"),
        ("prefetch", {**SEGMENT, "bounds": [0, 0, 1, 1]}, "params.crs: missing"),
        (
            "run",
            {**RUN, "running": {"workers": 0}},
            "params.running.workers: found 0, expected a whole number, at least 1, at most 1024",
        ),
        (
            "run",
            {**RUN, "running": {"layout": "flat"}},
            "params.running.layout: found 'flat', expected one of overlapping, planar",
        ),
        (
            "run",
            {**RUN, "running": {"keep": {"min_stability": 2}}},
            "params.running.keep.min_stability: found 2, expected a number, at least 0, at most 1",
        ),
        ("run", {**RUN, "running": {"command": "x"}}, "params.running: 'command' is none of"),
        ("evaluate", {"predicted": "a"}, "params.reference: missing"),
        (
            "evaluate",
            {"predicted": "a", "reference": "b", "options": {"iou": 0}},
            "params.options.iou: found 0, expected a number, above 0, at most 1",
        ),
        ("save_prompts", {"path": "a", "objects": [{"id": 1}]}, "params.objects[0].draft: missing"),
        (
            "save_prompts",
            {"path": "a", "objects": [{"id": 1, "draft": DRAFT, "attributes": {"b": [1]}}]},
            "params.objects[0].attributes.b: found [1], expected a text or a whole number of 64 bits",
        ),
        (
            "save_prompts",
            {"path": "a", "objects": [{"id": 2**63, "draft": DRAFT}]},
            "params.objects[0].id: found 9223372036854775808, expected a text or a whole number",
        ),
        ("cancel", {"id": 1.5}, "params.id: found 1.5, expected the id of a request"),
        ("status", {"loud": True}, "params: 'loud' is none of client, stream"),
    ],
)
def test_wrong_parameters_are_named(method, params, message):
    with pytest.raises(ParameterError) as caught:
        arguments(method, params)
    assert str(caught.value).startswith(message)


@given(values)
def test_a_message_quotes_what_was_sent_and_stays_short(value):
    with pytest.raises(ParameterError) as caught:
        arguments("segment", {**SEGMENT, "look": [value, "x" * 10_000]})
    assert len(str(caught.value)) < 1000


def test_right_parameters_come_as_the_methods_want_them():
    found = arguments("segment", {**SEGMENT, "look": None, "client": "me", "simplify_m": 1})
    assert found == {"scene": "s", "model": MODEL, "draft": Draft.from_json(DRAFT), "client": "me", "simplify_m": 1.0}
    found = arguments("run", {**RUN, "window": [0, 1, 2, 3], "running": {"automatic": {"spacing_px": 16}}})
    assert found["window"] == (0.0, 1.0, 2.0, 3.0)
    assert found["running"] == {"automatic": {"spacing_px": 16}}


def test_the_documentation_names_every_parameter():
    text = Path(__file__).parents[3].joinpath("docs", "worker.md").read_text(encoding="utf-8")
    for method, (required, optional) in PARAMETERS.items():
        _, _, described = text.partition(f"\n**{method}** ")
        if not described:
            _, _, described = text.partition(f"\n**{method}** (a notification)")
        signature = described.split("}`", 1)[0]
        for name in (*required, *optional):
            assert name in signature, (method, name)


@pytest.mark.fault("F14")
@given(st.sampled_from(sorted(PARAMETERS)), st.data())
def test_whatever_comes_is_accepted_or_a_parameter_is_named(method, data):
    required, optional = PARAMETERS[method]
    names = st.sampled_from([*required, *optional, "client", "stream", "other"])
    params = data.draw(st.dictionaries(names, values | st.just(MODEL) | st.just(DRAFT) | st.just([0, 0, 1, 1])))
    try:
        found = arguments(method, params)
    except ParameterError as error:
        assert str(error).startswith("params")  # noqa: PT017 - either is fine
    else:
        assert set(required) <= set(found) <= {*required, *optional, "client", "stream"}
