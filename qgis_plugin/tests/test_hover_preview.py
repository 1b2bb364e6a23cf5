"""The preview under the cursor, and the drawings on the canvas."""

import pytest
from bench import FakeClient, polygon_layer
from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY, QgsProject, QgsRectangle
from qgis.gui import QgsRubberBand

from geosam_qgis.draft import Draft
from geosam_qgis.jobs.sources import RasterSource
from geosam_qgis.tool.answer import WorkerAnswer
from geosam_qgis.tool.canvas_bands import CanvasBands
from geosam_qgis.tool.draft_session import DraftSession
from geosam_qgis.tool.drafted_object import AnswerState, ObjectOptions
from geosam_qgis.tool.hover_preview import HoverPreview

UTM = "EPSG:32633"
WINDOW = [[0, 0], [0, 1024], [1024, 1024], [1024, 0]]


class Desk:
    def __init__(self):
        self.client, self.messages, self.seen = FakeClient(), [], []
        self.session = DraftSession(self.client, lambda *answer: None)
        self.preview = HoverPreview(self.client, self.session)
        self.session.failed.connect(self.messages.append)
        self.session.set_source(RasterSource("scene.tif"))
        self.session.set_options(ObjectOptions("threshold"))
        self.preview.changed.connect(lambda: self.seen.append(self.ghost_x()))

    def hover(self, x):
        self.preview.hover(QgsPointXY(x, 0), QgsCoordinateReferenceSystem(UTM))

    def ghost_x(self):
        bands = self.preview.answer
        return None if bands is None else bands.draft.steps[-1].rings[0][0][0]

    def hovers(self):
        return [
            params["draft"]["steps"][-1]["rings"][0][0][0]
            for _, params, _, _, s in self.client.requests
            if s == "hover"
        ]


@pytest.fixture
def desk(qgis_app):
    return Desk()


def test_one_hover_is_on_its_way_at_a_time_and_the_newest_place_is_next(desk):
    for x in range(1, 6):
        desk.hover(x)
    assert desk.hovers() == [1]
    assert desk.client.requests[0][1]["look"] == "known"
    desk.client.answer(1)
    assert desk.hovers() == [1, 5]
    assert desk.ghost_x() == 1
    desk.client.answer(2)
    assert desk.ghost_x() == 5
    desk.hover(5)
    assert desk.hovers() == [1, 5]


def test_a_ghost_that_comes_after_a_click_is_dropped(desk):
    desk.hover(1)
    desk.session.add_point(QgsPointXY(1, 0), QgsCoordinateReferenceSystem(UTM), 1)
    desk.client.answer(1)
    assert desk.preview.answer is None
    desk.hover(2)
    assert desk.hovers() == [1, 2]
    assert len(desk.client.requests[-1][1]["draft"]["steps"]) == 2  # what another click would give


def test_a_ghost_that_comes_after_the_cursor_left_is_dropped(desk):
    desk.hover(1)
    desk.preview.leave()
    desk.hover(3)
    desk.client.answer(1)
    assert desk.preview.answer is None
    desk.client.answer(2)
    assert desk.ghost_x() == 3


def test_a_preview_is_silent_after_a_failure_and_continues(desk):
    desk.hover(1)
    desk.hover(2)
    desk.client.fail(1)
    assert desk.messages == []
    assert desk.preview.answer is None
    assert desk.hovers() == [1, 2]
    desk.client.answer(-1)
    assert desk.ghost_x() == 2


def test_an_unknown_place_has_no_preview_until_its_window_is_embedded(desk):
    desk.hover(1)
    desk.client.answer(1, "", ready=False, complete=False)
    assert desk.preview.answer is None
    told = {"client": "", "scene": "scene.tif", "window": WINDOW}
    desk.client.notified.emit("looking", {**told, "state": "begun"})
    assert len(desk.preview.windows) == 1
    desk.client.notified.emit("looking", {**told, "state": "ended"})
    assert desk.preview.windows == []
    assert desk.hovers() == [1, 1]  # asked again
    desk.client.answer(2)
    assert desk.ghost_x() == 1


def test_windows_of_other_scenes_are_none_of_ours(desk):
    desk.hover(1)
    told = {"client": "", "scene": "other.tif", "window": WINDOW, "state": "begun"}
    desk.client.notified.emit("looking", told)
    assert desk.preview.windows == []


def test_hovering_starts_no_worker(desk):
    desk.client.is_running = False
    desk.hover(1)
    assert desk.client.requests == []


def test_the_windows_and_previews_of_a_dead_worker_disappear(desk):
    desk.hover(1)
    desk.client.answer(1)
    desk.client.notified.emit("looking", {"client": "", "scene": "scene.tif", "window": WINDOW, "state": "begun"})
    desk.client.stopped.emit("crashed")
    assert desk.preview.answer is None
    assert desk.preview.windows == []


def test_the_view_is_embedded_ahead_in_a_stream_of_its_own(desk):
    desk.preview.look_ahead(QgsRectangle(1, 2, 3, 4), QgsCoordinateReferenceSystem("EPSG:3857"))
    method, params, _, on_error, stream = desk.client.requests[-1]
    assert (method, stream) == ("prefetch", "prefetch")
    assert params["bounds"] == [1, 2, 3, 4]
    assert params["crs"] == "EPSG:3857"
    on_error(None)
    assert desk.messages == []


def test_only_the_same_draft_keeps_the_previewed_answer(desk):
    desk.hover(1)
    desk.client.answer(1)
    bands = desk.preview.answer
    desk.session.add_point(QgsPointXY(2, 0), QgsCoordinateReferenceSystem(UTM), 1)
    desk.session.show_preview(bands)
    assert desk.session.answer is None
    desk.session.undo()
    desk.session.add_point(QgsPointXY(1, 0), QgsCoordinateReferenceSystem(UTM), 1)
    desk.session.show_preview(bands)
    assert desk.session.answer is bands
    assert desk.session.state is AnswerState.WAITING


# On the canvas


@pytest.fixture
def bands(map_canvas):
    map_canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    bands = CanvasBands(map_canvas)
    yield bands
    bands.remove()


def answer(wkt, crs=UTM):
    geometry, crs = QgsGeometry.fromWkt(wkt), QgsCoordinateReferenceSystem(crs)
    return WorkerAnswer(Draft(UTM), crs, geometry, {}, None, ready=True, complete=True)


SQUARE = "POLYGON ((500000 5400000, 500000 5400010, 500010 5400010, 500010 5400000, 500000 5400000))"


def test_outlines_are_drawn_where_the_canvas_has_them(bands):
    bands.show_answer(answer(SQUARE))
    drawn = bands.object.asGeometry().boundingBox()
    assert drawn.xMinimum() == pytest.approx(1669792.36, abs=0.01)
    assert drawn.width() == pytest.approx(10 / 0.6593, rel=0.01)
    bands.show_hover(answer(SQUARE))
    bands.show_hover(None)
    assert bands.hover.asGeometry().isEmpty()
    assert not bands.object.asGeometry().isEmpty()


def test_points_and_boxes_are_marked_by_their_labels(bands):
    draft = Draft(UTM).with_point(500000, 5400000, 1).with_point(500005, 5400005, 0).with_point(500006, 5400006, 0)
    bands.show_draft(draft.with_box([(500000, 5400000), (500010, 5400000), (500010, 5400010), (500000, 5400010)]))
    assert (bands.include.numberOfVertices(), bands.exclude.numberOfVertices()) == (1, 2)
    assert bands.box.asGeometry().area() > 0
    bands.show_draft(Draft(""))
    assert bands.include.numberOfVertices() == 0
    assert bands.box.asGeometry().isEmpty()


def test_what_the_canvas_cannot_show_is_not_drawn(bands):
    bands.show_answer(answer("POLYGON ((15 94, 15 95, 16 95, 15 94))", "EPSG:4326"))
    assert bands.object.asGeometry().isEmpty()


def test_nothing_is_left_on_the_canvas(map_canvas):
    before = len(map_canvas.scene().items())
    bands = CanvasBands(map_canvas)
    bands.show_answer(answer(SQUARE))
    assert len(map_canvas.scene().items()) == before + len(bands.all)
    bands.clear()
    assert bands.object.asGeometry().isEmpty()
    bands.remove()
    assert not [item for item in map_canvas.scene().items() if isinstance(item, QgsRubberBand)]


def test_a_ghost_is_in_no_layer(bands):
    layer = polygon_layer(UTM)
    bands.show_answer(answer(SQUARE))
    assert layer.featureCount() == 0
    QgsProject.instance().removeMapLayer(layer)
