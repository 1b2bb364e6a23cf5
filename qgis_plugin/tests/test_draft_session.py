"""The draft session, with answers from the test in any order."""

import random

import pytest
from bench import FakeClient
from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY

from geosam_qgis import protocol
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer
from geosam_qgis.tool.acceptance import AcceptanceError
from geosam_qgis.tool.draft_session import DraftSession
from geosam_qgis.tool.drafted_object import AnswerState, ObjectOptions
from geosam_qgis.tool.feature_reference import FeatureReference

SQUARE, BAR = "POLYGON ((0 0, 0 10, 10 10, 10 0, 0 0))", "POLYGON ((0 0, 0 10, 99 10, 99 0, 0 0))"


class Desk:
    """A DraftSession with its deliveries and messages."""

    def __init__(self):
        self.client = FakeClient()
        self.delivered, self.messages, self.refusal = [], [], ""
        self.session = DraftSession(self.client, self.deliver)
        self.session.failed.connect(self.messages.append)
        self.session.set_source(RasterSource("scene.tif"))
        self.session.set_options(ObjectOptions("threshold"))

    def deliver(self, answer, revised, layer_id):
        assert layer_id == "output"
        if self.refusal:
            raise AcceptanceError(self.refusal)
        self.delivered.append((len(answer.draft.steps), answer.geometry.area(), revised))

    def click(self, x, y, label=1):
        self.session.add_point(QgsPointXY(x, y), QgsCoordinateReferenceSystem("EPSG:32633"), label)


@pytest.fixture
def desk(qgis_app):
    return Desk()


def test_a_changed_file_is_opened_again_and_its_object_requested_once_more(desk):
    desk.click(1, 2)
    changed = {"type": "UnreadableScene", "exit_code": 3}
    desk.client.fail(1, protocol.REFUSED, "changed while reading: scene.tif", changed)
    assert desk.client.forgotten == "scene.tif"
    assert (desk.messages, desk.session.state, len(desk.client.requests)) == ([], AnswerState.WAITING, 2)
    desk.client.fail(2, protocol.REFUSED, "no such file: scene.tif", changed)
    assert (desk.messages, desk.session.state) == (["no such file: scene.tif"], AnswerState.FAILED)
    assert len(desk.client.requests) == 2


def test_a_click_requests_the_first_window_and_more_only_for_a_larger_object(desk):
    desk.click(1, 2)
    assert [look for _, look, _ in desk.client.looks] == ["window"]
    assert desk.session.state is AnswerState.WAITING
    desk.client.answer(1, SQUARE, complete=False)
    assert desk.session.state is AnswerState.WAITING  # shown, and more is to come
    assert desk.session.answer.geometry.area() == 100
    assert [look for _, look, _ in desk.client.looks] == ["window", "whole"]
    desk.client.answer(2, BAR)
    assert desk.session.state is AnswerState.SHOWN
    assert desk.session.answer.geometry.area() == 990
    desk.click(1, 3)
    desk.client.answer(3, SQUARE, complete=True)
    assert desk.session.state is AnswerState.SHOWN
    assert len(desk.client.requests) == 3


def test_an_answer_to_an_earlier_draft_changes_nothing(desk):
    desk.click(1, 2)
    desk.click(3, 4)
    desk.client.answer(1, BAR)
    assert desk.session.answer is None
    desk.client.answer(2, SQUARE)
    assert desk.session.answer.geometry.area() == 100
    desk.client.answer(1, BAR)
    assert desk.session.answer.geometry.area() == 100


def test_an_answer_that_comes_after_undo_or_clear_changes_nothing_and_is_not_worked_for(desk):
    desk.click(1, 2)
    desk.session.undo()
    assert desk.client.cancelled == [1]
    desk.client.answer(1)
    assert desk.session.answer is None
    assert desk.session.state is AnswerState.IDLE
    desk.session.redo()
    desk.session.clear()
    assert desk.client.cancelled == [1, 2]
    desk.client.answer(2)
    assert desk.session.answer is None


def test_objects_accepted_before_their_answers_are_delivered_in_order_and_the_next_can_begin(desk):
    desk.click(1, 2)
    desk.session.accept("output")
    assert not desk.session.draft.steps
    desk.click(5, 6)
    desk.click(7, 8)
    desk.session.accept("output")
    desk.click(9, 9)
    first, second = (stream for stream, _, steps in desk.client.looks[:3:2])
    assert first != second  # neither takes the other's place
    desk.client.answer(3, BAR)
    desk.client.answer(1, SQUARE, complete=False)
    assert desk.delivered == []
    desk.client.answer(5, SQUARE)
    assert desk.delivered == [(1, 100.0, None), (2, 990.0, None)]
    assert len(desk.session.draft.steps) == 1
    assert desk.client.cancelled == [2]  # the two-step draft's first request alone


def test_an_accepted_object_keeps_its_raster_and_its_model(desk):
    desk.click(1, 2)
    desk.session.accept("output")
    desk.session.set_source(RasterSource("other.tif"))
    desk.session.set_options(ObjectOptions("regions"))
    desk.client.answer(1, SQUARE, complete=False)
    whole = desk.client.requests[-1][1]
    assert (whole["look"], whole["scene"], whole["model"]["name"]) == ("whole", "scene.tif", "threshold")
    desk.session.set_source(None)
    desk.client.answer(-1, BAR)
    assert desk.delivered == [(1, 990.0, None)]


def test_an_object_that_waits_for_one_that_fails_is_delivered(desk):
    desk.click(1, 2)
    desk.session.accept("output")
    desk.click(5, 6)
    desk.session.accept("output")
    desk.client.answer(2, BAR)
    assert desk.delivered == []
    desk.client.fail(1)
    assert desk.delivered == [(1, 990.0, None)]
    assert desk.session.draft.steps[0].rings == (((1.0, 2.0),),)


@pytest.mark.fault("L08")
def test_a_request_to_a_busy_worker_is_repeated(desk, wait):
    desk.click(1, 2)
    desk.session.accept("output")
    desk.client.fail(1, protocol.BUSY, "too much")
    assert desk.messages == []
    wait(lambda: len(desk.client.requests) == 2)
    desk.client.answer(2, complete=False)
    desk.client.fail(3, protocol.BUSY, "too much")
    wait(lambda: len(desk.client.requests) == 4)
    assert desk.client.looks[-1][1] == "whole"
    desk.client.answer(4)
    assert desk.delivered == [(1, 100.0, None)]


@pytest.mark.fault("F08")
def test_a_dead_worker_is_a_message_the_draft_is_kept_and_the_next_click_works(desk):
    desk.click(1, 2)
    desk.client.fail(1)
    assert desk.messages == ["The worker crashed."]
    assert desk.session.state is AnswerState.FAILED
    assert len(desk.session.draft.steps) == 1
    desk.click(3, 4)
    desk.client.answer(2)
    assert desk.session.state is AnswerState.SHOWN
    desk.session.accept("output")
    assert desk.delivered == [(2, 100.0, None)]


def test_a_failed_draft_is_requested_again_when_it_is_accepted(desk):
    desk.click(1, 2)
    desk.client.fail(1)
    desk.session.accept("output")
    desk.client.answer(2)
    assert desk.delivered == [(1, 100.0, None)]


def test_an_object_whose_answer_never_came_comes_back_when_the_table_is_free(desk):
    desk.click(1, 2)
    desk.session.accept("output")
    desk.click(5, 6)
    desk.client.fail(1)
    assert desk.session.draft.steps[0].rings == (((5.0, 6.0),),)
    desk.client.answer(2)
    desk.session.accept("output")
    assert desk.session.draft.steps[0].rings == (((1.0, 2.0),),)
    desk.client.answer(3, BAR)
    desk.session.accept("output")
    assert [area for _, area, _ in desk.delivered] == [100.0, 990.0]
    assert not desk.session.draft.steps


def test_an_object_that_the_layer_refuses_stays_on_the_table(desk):
    desk.refusal = "too small"
    desk.click(1, 2)
    desk.client.answer(1)
    desk.session.accept("output")
    assert desk.messages == ["too small"]
    assert len(desk.session.draft.steps) == 1
    desk.refusal = ""
    desk.session.accept("output")
    assert len(desk.delivered) == 1


def test_what_the_worker_no_longer_wants_to_hear_is_no_failure(desk):
    desk.click(1, 2)
    desk.client.fail(1, protocol.SUPERSEDED, "superseded")
    assert desk.messages == []
    assert desk.session.state is AnswerState.WAITING


def test_another_model_or_raster_gets_the_same_draft(desk):
    desk.click(1, 2)
    desk.client.answer(1)
    desk.session.set_options(ObjectOptions("regions", simplify_m=0.5))
    assert desk.client.requests[-1][1]["model"] == {"name": "regions"}
    assert desk.client.requests[-1][1]["simplify_m"] == 0.5
    desk.session.set_source(RasterSource("other.tif"))
    assert desk.client.requests[-1][1]["scene"] == "other.tif"
    assert desk.client.cancelled == [2]
    desk.client.answer(2, BAR)
    assert desk.session.state is AnswerState.WAITING


def test_without_a_raster_there_are_no_requests_and_a_click_is_a_message(desk):
    desk.click(1, 2)
    desk.session.set_source(None)
    assert not desk.session.draft.steps
    desk.click(1, 2)
    assert "raster layer" in desk.messages[-1]
    desk.session.set_source(UnusableLayer("It comes from a service.", exportable=True))
    desk.click(1, 2)
    assert desk.messages[-1] == "It comes from a service."
    assert len(desk.client.requests) == 1


def test_excluding_alone_asks_nothing(desk):
    desk.click(1, 2, label=0)
    assert desk.client.requests == []
    assert len(desk.session.draft.steps) == 1
    desk.session.accept("output")
    assert desk.session.draft.steps


def test_a_draft_keeps_the_crs_of_its_first_step(desk):
    desk.click(500000, 5400000)
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    desk.session.add_point(QgsPointXY(15.0, 48.75), degrees, 1)
    assert desk.session.draft.crs == "EPSG:32633"
    ((x, y),) = desk.session.draft.steps[1].rings[0]
    assert (x, y) == pytest.approx((500000.0, 5399612.9), abs=200)
    desk.session.clear()
    desk.session.add_point(QgsPointXY(15.0, 48.75), degrees, 1)
    assert desk.session.draft.crs == "EPSG:4326"


def test_a_crs_without_a_code_of_the_epsg_travels_as_wkt(desk):
    own = QgsCoordinateReferenceSystem.fromProj("+proj=laea +lat_0=48 +lon_0=15 +datum=WGS84 +units=m +no_defs")
    desk.session.add_point(QgsPointXY(0.0, 0.0), own, 1)
    assert desk.session.draft.crs.startswith(("PROJCRS[", "BOUNDCRS["))


def test_a_place_that_a_crs_does_not_have_is_a_message(desk):
    desk.click(500000, 5400000)
    desk.session.add_point(QgsPointXY(15.0, 95.0), QgsCoordinateReferenceSystem("EPSG:4326"), 1)
    assert len(desk.session.draft.steps) == 1
    assert "but none in EPSG:" in desk.messages[-1]


def test_a_continued_draft_can_be_undone_step_by_step_and_keeps_its_feature(desk):
    desk.click(1, 2)
    desk.click(3, 4, label=0)
    draft = desk.session.draft
    desk.session.clear()
    desk.session.continue_with(draft, FeatureReference("layer", 7, QgsGeometry()))
    assert desk.session.draft == draft
    assert desk.session.undo()
    assert desk.session.draft.steps == draft.steps[:1]
    desk.client.answer(-1)
    desk.session.accept("output")
    assert desk.delivered == [(1, 100.0, FeatureReference("layer", 7, QgsGeometry()))]
    assert desk.session.revised is None


def test_the_level_of_detail_holds_for_the_objects_to_come(desk):
    desk.session.set_granularity("part")
    assert not desk.session.undo()  # nothing was said yet
    desk.click(1, 2)
    assert desk.client.requests[-1][1]["draft"]["granularity"] == "part"
    desk.client.answer(-1)
    desk.session.accept("output")
    assert desk.session.draft.granularity == "part"


def test_an_answer_without_an_object_is_a_message_and_no_delivery(desk):
    desk.click(1, 2)
    desk.client.answer(1, "")
    desk.session.accept("output")
    assert "No object was found" in desk.messages[-1]
    assert desk.delivered == []
    assert desk.session.draft.steps


@pytest.mark.fault("L06")
def test_a_thousand_clicks_lose_and_reorder_nothing_whatever_the_order_of_answers(desk):
    order = random.Random(5)
    for number in range(1000):
        desk.click(number, 0)
        if order.random() < 0.3:
            desk.click(number, 1)
        desk.session.accept("output")
    latest = {
        params["draft"]["steps"][0]["rings"][0][0][0]: n for n, (_, params, *_) in enumerate(desk.client.requests, 1)
    }
    assert len(latest) == 1000
    numbers = list(latest.values())
    order.shuffle(numbers)
    for number in numbers:
        x = desk.client.requests[number - 1][1]["draft"]["steps"][0]["rings"][0][0][0]
        desk.client.answer(number, f"POLYGON ((0 0, 0 1, {x + 1} 1, {x + 1} 0, 0 0))")
    assert [area for _, area, _ in desk.delivered] == list(range(1, 1001))
