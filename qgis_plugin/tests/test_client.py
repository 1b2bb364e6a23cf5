"""Requests, streams, scenes and callbacks of the client, against a worker that misbehaves on demand."""

import sys
import time

import pytest
from answers import Answers
from qgis.PyQt.QtCore import QEventLoop

from geosam_qgis import protocol


def test_a_request_starts_the_worker_and_gets_its_result(fake, answers, wait):
    client = fake()
    assert not client.is_running
    answers.ask(client, "echo", {"text": "Gr\u00fc\u00dfe"})
    assert client.is_running
    assert len(answers) == 0
    wait(lambda: answers)
    assert answers.results[0]["text"] == "Gr\u00fc\u00dfe"


def test_requests_before_the_handshake_wait_and_are_answered_in_order(fake, answers, wait):
    client = fake()
    started = []
    client.started.connect(started.append)
    for number in range(50):
        answers.ask(client, "echo", {"number": number})
    wait(lambda: len(answers) == 50)
    assert [result["number"] for result in answers.results] == list(range(50))
    assert started[0]["protocol"] == 1
    assert client.greeting == started[0]


def test_a_refusal_of_the_worker_keeps_code_message_and_data(fake, answers, wait):
    answers.ask(fake(), "fail")
    wait(lambda: answers)
    assert answers.failures == [(-32000, "as told", {"type": "GeosamError", "exit_code": 3})]


def test_notifications_carry_the_id_of_their_request(fake, answers, wait):
    client = fake()
    told = []
    client.notified.connect(lambda method, params: told.append((method, params)))
    id_ = answers.ask(client, "tell", {"times": 3})
    wait(lambda: answers)
    assert told == [("progress", {"id": id_, "done": n, "total": 3}) for n in range(3)]


def test_an_exception_in_a_callback_is_reported_and_loses_no_other_answer(fake, answers, wait, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: reported.append(error))
    client = fake()
    client.request("echo", {}, lambda _: 1 / 0, answers.failures.append)
    client.request("silence", {}, answers.results.append, lambda _: 1 / 0)
    answers.ask(client, "echo")
    wait(lambda: answers)
    answers.ask(client, "silence")
    client.stop()
    assert len(answers) == 2
    assert [type(error) for error in reported] == [ZeroDivisionError, ZeroDivisionError]


def test_a_callback_that_opens_a_dialog_neither_stops_nor_reorders_the_answers(fake, answers, wait):
    client = fake()
    loop = QEventLoop()
    client.request("echo", {}, lambda _: loop.exec_(), answers.failures.append)
    for number in range(5):
        answers.ask(client, "echo", {"number": number})
    client.request("echo", {}, lambda _: loop.quit(), answers.failures.append)  # answered while the loop runs, or never
    wait(lambda: len(answers) == 5, 120)
    assert [result["number"] for result in answers.results] == list(range(5))


def test_cancel_before_sending_ends_the_request_here(fake, answers, wait):
    client = fake()
    client.cancel(answers.ask(client, "echo"))
    assert len(answers) == 0
    wait(lambda: answers)
    assert answers.failures[0].code == protocol.CANCELLED


def test_cancel_of_what_was_sent_tells_the_worker(fake, answers, wait):
    client = fake()
    answers.ask(client, "echo")
    wait(lambda: answers)
    id_ = answers.ask(client, "silence")
    client.cancel(id_)
    client.cancel(4711)
    wait(lambda: f"cancel {{'id': {id_}}}" in client.stderr)
    assert len(answers) == 1


@pytest.mark.fault("F12")
def test_a_deaf_worker_does_not_block_and_what_waits_is_bounded(fake, wait):
    client = fake("deaf")
    hover = Answers()
    for _ in range(500):
        hover.ask(client, "segment", {"draft": "x" * 1000}, stream="hover")
    wait(lambda: len(hover) == 499)
    assert {failure.code for failure in hover.failures} == {protocol.SUPERSEDED}
    client.stop()
    assert len(hover) == 500


@pytest.mark.fault("F12")
def test_streams_are_refused_while_too_much_waits(fake, answers, wait):
    client = fake()
    answers.ask(client, "echo")
    wait(lambda: answers)
    for _ in range(64):
        answers.ask(client, "silence")
    hover, click = Answers(), Answers()
    hover.ask(client, "echo", stream="hover")
    click.ask(client, "echo")
    wait(lambda: hover and click)
    assert hover.failures[0].code == protocol.BUSY
    assert click.results


def test_the_interface_is_never_held_up_by_what_is_written_or_read(fake, wait, qgis_app):
    client = fake()
    ready, flood = Answers(), Answers()
    ready.ask(client, "echo")
    wait(lambda: ready)
    flood.ask(client, "stall", {"seconds": 1.0})
    begun = time.monotonic()
    for _ in range(60):
        flood.ask(client, "echo", {"text": "x" * 100_000})
    assert time.monotonic() - begun < 1.0
    wait(lambda: len(flood) == 61)
    assert len(flood.results) == 61


def test_scenes_are_opened_once_for_each_worker(fake, answers, wait):
    client = fake()
    for _ in range(3):
        client.scene("/a.tif", {"bands": [1]}, answers.results.append, answers.failures.append)
    assert len(answers) == 0
    wait(lambda: len(answers) == 3)
    client.scene("/a.tif", {"bands": [1]}, answers.results.append, answers.failures.append)
    client.scene("/a.tif", {}, answers.results.append, answers.failures.append)
    assert len(answers) == 3
    wait(lambda: len(answers) == 5)
    assert len({result["scene"] for result in answers.results}) == 1
    Answers().ask(client, "crash")
    wait(lambda: not client.is_running)
    client.scene("/a.tif", {"bands": [1]}, answers.results.append, answers.failures.append)
    wait(lambda: len(answers) == 6)
    assert len({result["scene"] for result in answers.results}) == 2


def test_a_scene_that_could_not_be_opened_is_requested_again(fake, answers, wait):
    client = fake()
    client.scene("/a.tif", {}, answers.results.append, answers.failures.append)
    client.stop()
    assert len(answers.failures) == 1
    client.scene("/a.tif", {}, answers.results.append, answers.failures.append)
    wait(lambda: answers.results)
    client.forget_scene("/a.tif")
    client.scene("/a.tif", {}, answers.results.append, answers.failures.append)
    wait(lambda: len(answers.results) == 2)


def test_a_message_that_is_no_json_ends_only_itself(fake, answers, wait):
    client = fake()
    answers.ask(client, "echo", {"x": float("nan")})
    answers.ask(client, "echo")
    wait(lambda: len(answers) == 2)
    assert answers.failures[0].code == protocol.INVALID_PARAMS


def test_only_the_last_of_what_the_worker_prints_is_kept(fake, answers, wait):
    client = fake()
    for _ in range(5):
        answers.ask(client, "say", {"text": "x" * 30_000})
    answers.ask(client, "say", {"text": "the end"})
    wait(lambda: len(answers) == 6 and client.stderr.rstrip().endswith("the end"))
    assert len(client.stderr) <= 65536


def test_the_model_to_load_first_is_named_in_the_greeting(fake, answers, wait):
    client = fake()
    client.model = {"name": "threshold"}
    answers.ask(client, "echo")
    wait(lambda: answers)
    assert client.greeting["asked"] == {"protocol": 1, "model": {"name": "threshold"}}


def test_variables_of_qgis_do_not_reach_the_worker(fake, answers, wait, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/opt/qgis")
    monkeypatch.setenv("PROJ_LIB", "/opt/qgis/proj")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    client = fake()
    answers.ask(client, "echo")
    wait(lambda: answers)
    environment = client.greeting["environment"]
    assert {"PYTHONHOME", "PROJ_LIB"} & set(environment) == set()
    assert environment["HTTPS_PROXY"] == "http://proxy.example.org:3128"
