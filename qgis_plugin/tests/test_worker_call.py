"""A call that waits for the worker, in the main thread and in others."""

import os
import sys
import time

import pytest
from qgis.core import QgsApplication, QgsProcessingException, QgsProcessingFeedback, QgsTask

from geosam_qgis.processing.worker_call import call_worker

SLOW_WORKER = """
import json, os, sys, time
def say(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n"); sys.stdout.flush()
polite = "deaf" not in sys.argv[0]
running = None
for line in sys.stdin:
    message = json.loads(line)
    method, number = message["method"], message.get("id")
    if method == "initialize":
        say(id=number, result={"protocol": 1, "geosam": "0", "pid": os.getpid(), "models": []})
    elif method == "run":
        running = number
        say(method="progress", params={"id": number, "done": 1, "total": 4})
    elif method == "evaluate":
        os.abort()
    elif method == "cancel" and polite:
        say(id=running, error={"code": -32001, "message": "cancelled"})
    elif method == "shutdown" and polite:
        say(id=number, result={})
        sys.exit()
while not polite:
    time.sleep(1)
"""


@pytest.fixture
def slow_worker(tmp_path, monkeypatch):
    """A worker that never finishes a run and dies during an evaluation; a `deaf` one ignores requests, too."""

    def make(name="slow"):
        program = tmp_path / name
        program.write_text(f"#!{sys.executable}\n{SLOW_WORKER}")
        program.chmod(0o755)
        monkeypatch.setenv("GEOSAM_WORKER", str(program))

    return make


@pytest.fixture
def feedback(qgis_app):
    return QgsProcessingFeedback(False)


def cancel_soon(feedback):
    """Cancel after the first progress, and return all progress."""
    seen = []

    def notice(percent):
        seen.append(percent)
        feedback.cancel()

    feedback.progressChanged.connect(notice)
    return seen


def test_the_answer_of_the_worker_comes_back(feedback, worker_command):
    answer = call_worker("status", {}, feedback)
    assert answer["scenes"] == 0
    assert answer["pid"] > 0


def test_the_process_is_gone_after_the_call(feedback, worker_command):
    pid = call_worker("status", {}, feedback)["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_refusal_keeps_the_words_of_the_worker(feedback, worker_command, tmp_path):
    params = {"path": str(tmp_path / "no.tif"), "model": {"name": "threshold"}, "out": str(tmp_path / "out.gpkg")}
    with pytest.raises(QgsProcessingException, match=r"no such file: .*no\.tif: expected an existing raster"):
        call_worker("run", params, feedback)


def test_without_a_worker_the_call_says_so(feedback, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOSAM_WORKER", str(tmp_path / "nowhere"))
    with pytest.raises(QgsProcessingException, match=r"was not found\. Press Diagnose"):
        call_worker("status", {}, feedback)


def test_cancelling_is_passed_on_and_reported(feedback, slow_worker):
    slow_worker()
    seen = cancel_soon(feedback)
    with pytest.raises(QgsProcessingException, match=r"Cancelled\."):
        call_worker("run", {}, feedback)
    assert seen == [25.0]


@pytest.mark.fault("F12")
def test_a_worker_that_does_not_listen_is_ended(feedback, slow_worker, monkeypatch):
    monkeypatch.setattr("geosam_qgis.processing.worker_call.PATIENCE_MS", 300)
    slow_worker("deaf")
    cancel_soon(feedback)
    begun = time.monotonic()
    with pytest.raises(QgsProcessingException, match=r"Cancelled\."):
        call_worker("run", {}, feedback)
    assert time.monotonic() - begun < 30


@pytest.mark.fault("F08")
def test_a_worker_that_dies_is_a_sentence(feedback, slow_worker):
    slow_worker()
    with pytest.raises(QgsProcessingException, match="The worker"):
        call_worker("evaluate", {}, feedback)


def test_a_call_works_in_a_thread_of_a_task(feedback, worker_command, wait):
    found = []

    class Asking(QgsTask):
        def run(self):
            found.extend(call_worker("status", {}, feedback)["waiting"] for _ in range(2))
            return True

    task = Asking("asks")
    ended = []
    task.taskCompleted.connect(lambda: ended.append("completed"))
    task.taskTerminated.connect(lambda: ended.append("terminated"))
    QgsApplication.taskManager().addTask(task)
    wait(lambda: ended)
    assert ended == ["completed"]
    assert len(found) == 2
