"""Objects on their way into lines: nothing is lost, doubled or out of order."""

import base64

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geosam.apps.worker import object_messages as module
from geosam.apps.worker import protocol
from geosam.apps.worker.object_messages import bundles, object_messages

LIMIT, BUNDLE = 50, 20
sizes = st.lists(st.integers(0, 80), max_size=20)


def messages_of(lengths):
    return [{"wkb": "x" * length, "id": number} for number, length in enumerate(lengths)]


@pytest.fixture(scope="module", autouse=True)
def short_lines():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_WKB", LIMIT)
        patch.setattr(module, "_BYTES_AT_ONCE", BUNDLE)
        yield


@given(sizes)
def test_all_objects_that_fit_into_a_line_come_once_and_in_order(lengths):
    messages = messages_of(lengths)
    bundled = [message for bundle in bundles(messages) for message in bundle]
    assert bundled == [message for message in messages if len(message["wkb"]) <= LIMIT]


@given(sizes)
def test_a_bundle_is_small_unless_one_object_alone_is_large(lengths):
    for bundle in bundles(messages_of(lengths)):
        assert bundle
        assert sum(len(message["wkb"]) for message in bundle) <= BUNDLE or len(bundle) == 1


def test_an_object_carries_its_outline_and_its_columns():
    polygons = [shapely.box(0, 0, 2, 1), shapely.Point(3, 3).buffer(1)]
    messages = object_messages(polygons, {"id": [1, 2], "score": [0.5, None]})
    assert [(message["id"], message["score"]) for message in messages] == [(1, 0.5), (2, None)]
    shapes = [shapely.from_wkb(base64.b64decode(message["wkb"])) for message in messages]
    assert all(shape.equals(polygon) for shape, polygon in zip(shapes, polygons, strict=True))
    assert object_messages([], {"id": []}) == []


def test_the_largest_bundle_and_the_largest_object_fit_into_a_line():
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        largest = {"wkb": "x" * (protocol.MAX_LINE - (1 << 20)), "model": "m" * 1000}
        line = protocol.notification("objects", {"id": "i" * protocol.MAX_ID, "crs": "c" * 9999, "objects": [largest]})
    assert len(line) <= protocol.MAX_LINE + 1
