"""A lane: one thread, one service, one answer for each task."""

import errno
import json
import queue

import pytest
from workers import PATIENCE

from geosam.apps.worker import protocol
from geosam.apps.worker.lanes import Lane, refusal
from geosam.apps.worker.parameters import ParameterError
from geosam.apps.worker.tasks import Stopped, Task
from geosam.errors import GeosamError, OutputExists


class Counting:
    """A service that counts its calls and does what it is told."""

    made = 0

    def __init__(self, start=0):
        type(self).made += 1
        self.calls = start
        self.methods = {"count": self.count, "steps": self.steps, "fail": self.fail}

    def counts(self):
        return {"calls": self.calls}

    def count(self, _):
        self.calls += 1
        return self.calls

    def steps(self, _, number):
        for _step in range(number):
            self.calls += 1
            yield
        return "done"

    def fail(self, _):
        raise OutputExists("it exists: a.gpkg.", remedy="Use `overwrite=True`.", code="output-exists", path="a.gpkg")


@pytest.fixture
def lane():
    Counting.made = 0
    answers = queue.Queue()
    lane = Lane("test", f"{__name__}:Counting", {"start": 10}, lambda task, line: answers.put((task.id, line)))
    lane.answers = answers
    yield lane
    lane.join(PATIENCE)
    assert not lane.busy


def put(lane, id_, method, **arguments):
    lane.waiting.put(Task(id_, method, arguments, None))


def answer(lane):
    number, line = lane.answers.get(timeout=PATIENCE)
    return number, json.loads(line)


def test_the_service_is_made_once_and_when_the_first_task_comes(lane):
    assert (lane.counts(), Counting.made) == ({}, 0)
    for number in range(3):
        put(lane, number, "count")
        assert answer(lane) == (number, {"jsonrpc": "2.0", "id": number, "result": 11 + number})
    assert (lane.counts(), Counting.made) == ({"calls": 13}, 1)


def test_a_method_of_steps_is_answered_at_its_end(lane):
    put(lane, 1, "steps", number=5)
    assert answer(lane)[1]["result"] == "done"
    assert lane.counts() == {"calls": 15}


def test_a_task_without_an_id_gets_an_empty_line(lane):
    put(lane, None, "count")
    assert lane.answers.get(timeout=PATIENCE) == (None, b"")


def test_a_stopped_task_is_not_begun(lane):
    task = Task(1, "count", {}, None, stop=Stopped(protocol.CANCELLED, "cancelled"))
    lane.waiting.put(task)
    assert answer(lane)[1]["error"] == {"code": protocol.CANCELLED, "message": "cancelled"}
    assert lane.counts() == {}


def test_an_error_is_an_answer_with_its_code_and_values(lane):
    put(lane, 1, "fail")
    error = answer(lane)[1]["error"]
    assert error["message"] == "it exists: a.gpkg. Use `overwrite=True`."
    assert error["data"] == {
        "type": "OutputExists",
        "exit_code": 6,
        "code": "output-exists",
        "values": {"path": "a.gpkg"},
        "remedy": "Use `overwrite=True`.",
    }


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (Stopped(protocol.SUPERSEDED, "replaced"), protocol.SUPERSEDED, None),
        (ParameterError("params.x: missing"), protocol.INVALID_PARAMS, None),
        (GeosamError("why."), protocol.REFUSED, "geosam-error"),
        (MemoryError(), protocol.REFUSED, "out-of-memory"),
        (OSError(errno.EDQUOT, "quota"), protocol.REFUSED, "disk-full"),
        (RuntimeError("CUDA error: failed"), protocol.REFUSED, "device-failed"),
        (RuntimeError("other"), protocol.INTERNAL_ERROR, None),
        (KeyboardInterrupt(), protocol.INTERNAL_ERROR, None),
    ],
)
def test_every_error_has_its_code(error, code, name):
    reply = json.loads(refusal(7, error))
    assert (reply["id"], reply["error"]["code"]) == (7, code)
    assert reply["error"].get("data", {}).get("code") == name


@pytest.mark.parametrize(
    "error",
    [
        ParameterError("x" * 10**5),
        GeosamError("x" * 10**5, remedy="x" * 10**5, name="x" * 10**5),
        ValueError("x" * 10**5),
    ],
)
def test_the_line_of_an_error_stays_short(error):
    assert len(refusal(1, error)) < 50_000
