"""The client against the real worker: clicks, and a process that is killed at random."""

import os
import random
import signal
import time

import pytest
from answers import Answers
from qgis.core import QgsGeometry, QgsPointXY
from qgis.PyQt.QtCore import QByteArray

from geosam_qgis import protocol
from geosam_qgis.draft import Draft


def draft(scene, name):
    return Draft(scene.authid).with_point(*scene.spot(name), 1).to_json()


def segment(client, answers, scene, name="roof"):
    """Send a click as the map tool does: open the scene, then request the object."""

    def ask(opened):
        params = {"scene": opened["scene"], "model": {"name": "threshold"}, "draft": draft(scene, name)}
        client.request("segment", params, answers.results.append, answers.failures.append)

    client.scene(scene.path, {}, ask, answers.failures.append)


def test_a_click_in_the_real_worker(client, answers, wait, scene_file):
    scene = scene_file()
    segment(client, answers, scene)
    wait(lambda: answers, 120)
    assert answers.failures == []
    found = QgsGeometry()
    found.fromWkb(QByteArray.fromBase64(answers.results[0]["object"]["wkb"].encode()))
    expected = QgsGeometry.fromPolygonXY([[QgsPointXY(*vertex) for vertex in scene.outline("roof")]])
    assert found.symDifference(expected).area() < 1e-6


@pytest.mark.fault("F08", "F10")
def test_killed_fifty_times_at_random_the_next_click_works(client, wait, scene_file):
    scene, chance = scene_file(), random.Random(5)
    for _ in range(50):
        answers = Answers()
        asked = chance.randint(1, 4)
        for _ in range(asked):
            segment(client, answers, scene)
        due = time.monotonic() + chance.choice([0, chance.uniform(0, 0.3), chance.uniform(0, 2)])
        wait(lambda: time.monotonic() > due)  # noqa: B023
        pid = int(client._worker._process.processId())
        if pid:
            os.kill(pid, signal.SIGKILL)
        wait(lambda: not client.is_running)
        assert len(answers) == asked
        client.reset()
    answers = Answers()
    segment(client, answers, scene)
    wait(lambda: answers, 120)
    assert answers.results[0]["object"]["area_m2"] == pytest.approx(80 * 60 * 0.25, rel=0.01)


def test_a_thousand_clicks_are_answered_once_each_and_in_order(client, wait, scene_file):
    scene, order = scene_file(), []
    opened = Answers()
    client.scene(scene.path, {}, opened.results.append, opened.failures.append)
    wait(lambda: opened, 120)
    for number in range(1000):
        params = {"scene": opened.results[0]["scene"], "model": {"name": "threshold"}, "draft": draft(scene, "roof")}
        client.request("segment", params, lambda _, n=number: order.append(n), order.append)
        wait(lambda n=number: len(order) > n - 20)
    wait(lambda: len(order) == 1000, 120)
    assert order == list(range(1000))


def test_a_real_worker_of_another_protocol_is_named_with_both_numbers(client, answers, wait, monkeypatch):
    monkeypatch.setattr(protocol, "VERSION", 2)
    client.request("status", {}, answers.results.append, answers.failures.append)
    wait(lambda: answers, 120)
    sentence = "uses protocol 1, this plugin uses protocol 2. Update the worker: the package geosam-toolkit."
    assert sentence in answers.failures[0].message
    assert not client.is_running
