"""The spool: numbers follow the first pixel, whatever came first."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geosam.geometry.corners import corners_of
from geosam.geometry.geobox import Window
from geosam.objects.scene_object import SceneObject
from geosam.run.spool import ObjectSpool

REGION = Window(0, 0, 100, 100)


def rectangle(x, y, width, height, score=0.5):
    form = corners_of(np.ones((height, width), bool), x, y)
    return SceneObject(form, score, 0.9, 2, touches_edge=False, truncated=True, prompt_index=3, class_id=4)


def spooled(objects):
    spool = ObjectSpool(REGION)
    spool.add(objects)
    spool.seal()
    return spool


SIDES = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 40), st.integers(1, 40))


@pytest.mark.fault("Q7")
@given(st.lists(SIDES, max_size=20), st.randoms(use_true_random=False))
def test_numbers_do_not_depend_on_arrival(sides, random):
    objects = [rectangle(*side) for side in sides]
    with spooled(objects) as spool, spooled(random.sample(objects, len(objects))) as other:
        first = [(number, item.corners.tobytes()) for number, item in spool.objects()]
        assert first == [(number, item.corners.tobytes()) for number, item in other.objects()]
        keys = [(item.corners[0, 1], item.corners[0, 0]) for _, item in spool.objects()]
        assert keys == sorted(keys)
        assert [number for number, _ in first] == list(range(len(objects)))


def test_objects_come_back_as_they_were():
    with spooled([rectangle(1, 2, 3, 4, score=0.25)]) as spool:
        ((_, item),) = spool.objects()
    assert (item.score, item.stability, item.n_tiles) == (0.25, 0.9, 2)
    assert (item.touches_edge, item.truncated) == (False, True)
    assert (item.prompt_index, item.class_id) == (3, 4)


@given(st.lists(SIDES, max_size=15), SIDES)
def test_meeting_finds_what_shapely_finds(sides, where):
    window = Window(*where)
    with spooled([rectangle(*side) for side in sides]) as spool:
        spool.index_boxes()
        found = [(item.number, item.area_px, item.polygon) for item in spool.meeting(window)]
        area = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
        expected = []
        for number, item in spool.objects():
            x0, y0 = item.corners[:, :2].min(axis=0)
            x1, y1 = item.corners[:, :2].max(axis=0)
            box = shapely.box(x0, y0, x1, y1)
            if box.intersection(area).area:
                expected.append((number, box.area, box))
    assert [(number, px) for number, px, _ in found] == [(number, px) for number, px, _ in expected]
    assert all(a.equals(b) for (_, _, a), (_, _, b) in zip(found, expected, strict=True))


def test_pieces_are_kept_by_number_in_order():
    with spooled([]) as spool:
        spool.add_piece(4, shapely.Point(0, 1))
        spool.add_piece(2, shapely.Point(0, 2))
        spool.add_piece(4, shapely.Point(0, 3))
        assert [point.y for point in spool.pieces(4)] == [1, 3]
        assert spool.pieces(9) == []
