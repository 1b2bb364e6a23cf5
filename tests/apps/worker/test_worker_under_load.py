"""A worker with many clients and requests, right and wrong ones."""

import time

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workers import MODEL, Worker, ask, draft, place, point

from geosam.apps.worker import protocol


def test_the_state_is_told(shared_worker, scene):
    ask(shared_worker, scene, point(*place(scene, 40, 30)))
    found = shared_worker.ask("status")
    assert found["pid"] == shared_worker.process.pid
    assert found["scenes"] >= 1
    assert found["models"] == 1
    assert found["windows"] >= 1
    assert found["window_bytes"] > 0
    assert found["memory_bytes"] > 2**20
    assert found["versions"]["gdal"].count(".") == 2
    assert found["versions"]["torch"]


def test_a_model_is_loaded_ahead_of_the_first_click():
    client = Worker()
    client.greet(model=MODEL)
    client.wait_for(lambda: len(client.of("loading")) == 2)
    assert client.of("loading") == [
        {"client": "", "model": "threshold", "state": state} for state in ("begun", "ended")
    ]
    assert client.ask("status")["models"] == 1
    client.stop()


@pytest.mark.serial
@pytest.mark.fault("L07")
def test_sixteen_clients_share_one_embedding_and_none_waits_three_times_as_long(worker, scene_path):
    scene = worker.ask("open", path=str(scene_path))
    sent, waited = {}, {}

    def click(client):
        asked = draft(point(*place(scene, 20 + 10 * client, 100)))
        key = worker.send("segment", scene=scene["scene"], model=MODEL, client=f"client {client}", draft=asked)
        sent[key] = client, time.monotonic()

    for client in range(16):
        click(client)
        waited[client] = []
    while min(map(len, waited.values())) < 20:
        seen = len(worker.replies)
        worker.wait_for(lambda seen=seen: len(worker.replies) > seen)
        client, began = sent.pop(worker.replies[-1].id)
        waited[client].append(time.monotonic() - began)
        click(client)
    assert [note["state"] for note in worker.of("looking")] == ["begun", "ended"]
    means = [np.mean(latencies) for latencies in waited.values()]
    assert max(means) <= 3 * min(means)
    for key in sent:
        worker.reply(key)


@pytest.mark.serial
@pytest.mark.fault("L06", "L09")
def test_a_thousand_clicks_are_all_answered_in_order_and_nothing_grows(worker, scene_path):
    scene = worker.ask("open", path=str(scene_path))
    process = psutil.Process(worker.process.pid)
    rng = np.random.default_rng(3)
    spots = [place(scene, *rng.integers(0, (300, 240))) for _ in range(250)]
    sizes, states = [], []
    first = None
    for _ in range(5):
        numbers = [
            worker.send("segment", scene=scene["scene"], model=MODEL, draft=draft(point(*spot))) for spot in spots[:200]
        ]
        for number in numbers:
            assert worker.reply(number).error is None
        replies = [reply for reply in worker.replies if reply.id in set(numbers)]
        assert [reply.id for reply in replies] == numbers
        answers = [reply.result for reply in replies]
        first = first or answers
        assert answers == first
        sizes.append(process.memory_info().rss)
        states.append((process.num_fds(), process.num_threads()))
    assert max(sizes[2:]) - sizes[1] < 8 * 2**20
    assert len(set(states[1:])) == 1


params = st.dictionaries(
    st.sampled_from(
        ["path", "scene", "model", "draft", "look", "simplify_m", "bounds", "crs", "objects", "options", "id"]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.just(MODEL)
    | st.just(draft(point(5e5, 5e6)))
    | st.just("scene-1")
    | st.sampled_from(["/dev/null", "a\0b", "nonsense", [0, 0, 1, 1], [draft(point(0, 0))]]),
)
methods = st.sampled_from(
    ["open", "close", "segment", "prefetch", "run", "evaluate", "save_prompts", "status", "cancel", "x"]
)


@pytest.mark.fault("F14")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(methods, params), max_size=10), st.binary(max_size=200))
def test_whatever_is_sent_the_worker_answers_and_lives(shared_worker, asked, noise):
    numbers = [shared_worker.send(method, **given_) for method, given_ in asked]
    shared_worker.write(noise.replace(b"\n", b"") + b"\n")
    for number in numbers:
        reply = shared_worker.reply(number)
        assert reply.error is None or reply.error["code"] != protocol.INTERNAL_ERROR, reply
    assert shared_worker.ask("status")["pid"] == shared_worker.process.pid
