"""The server: one answer for every request, in the order that clients can rely on."""

import json
import os
import threading
import time

import fake_service
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workers import PATIENCE, LocalServer

from geosam import options
from geosam.apps.worker import protocol, server
from geosam.apps.worker.parameters import PARAMETERS
from geosam.apps.worker.pipes import RESERVE, ROOM, Outbox
from geosam.apps.worker.server import MAX_WAITING

VIEW = {"model": {"name": "threshold"}, "bounds": [0, 0, 1, 1], "crs": "EPSG:4326"}


def hold(local, name="a", **params):
    """Keep the thread busy; returns the id of the request that does."""
    number = local.send("open", path=f"wait:{name}", **params)
    assert fake_service.begun[name].wait(PATIENCE)
    return number


def code(reply):
    return None if reply.error is None else reply.error["code"]


def test_the_worker_says_who_it_is_and_which_models_there_are(local):
    found = local.ask("initialize", protocol=1)
    assert found["protocol"] == 1
    assert [model["name"] for model in found["models"][:3]] == ["geosam_lite", "regions", "threshold"]
    assert all(model["ready"] for model in found["models"][:3])


def test_the_worker_describes_every_option(local):
    described = local.ask("options")
    assert described.keys() == options.GROUPS.keys()
    tile_size = next(option for option in described["run"] if option["name"] == "tile_size")
    assert (tile_size["kind"], tile_size["default"], tile_size["least"]) == ("integer", 1024, 3)
    choices = {option["name"]: option["choices"] for option in described["model"] if option["kind"] == "choice"}
    assert choices["device"] == ["auto", "cpu", "cuda"]


def test_another_protocol_is_refused():
    client = LocalServer()
    error = client.refused("initialize", protocol=2)
    values = {"protocol": 2, "expected": 1}
    assert error["message"].endswith(f" {error['data'].pop('remedy')}")
    assert error["data"] == {"type": "UsageError", "exit_code": 2, "code": "protocol-mismatch", "values": values}
    assert client.refused("status")["code"] == protocol.INVALID_REQUEST  # still not greeted
    assert client.stop()


@pytest.mark.fault("F14")
def test_an_id_that_waits_cannot_be_used_again_and_one_that_is_answered_can(local):
    number = hold(local)
    local.write(protocol.request(number, "status", {}))
    assert code(local.reply(number)) == protocol.INVALID_REQUEST
    fake_service.may_go["a"].set()
    local.wait_for(lambda: len(local.replies) == 3)
    assert local.replies[-1].result == {"path": "wait:a"}
    local.write(protocol.request(number, "status", {}))
    local.wait_for(lambda: len(local.replies) == 4)
    assert local.replies[-1].result["scenes"] == 7


@pytest.mark.fault("F06", "F25")
@pytest.mark.parametrize(
    ("path", "expected", "kind", "told"),
    [
        ("fail:geosam", protocol.REFUSED, "PromptOutsideScene", "why"),
        ("fail:memory", protocol.REFUSED, "OutOfMemory", "out of memory"),
        ("full:", protocol.REFUSED, "DiskFull", "no space left"),
        ("cuda:", protocol.REFUSED, "DeviceUnavailable", "the device failed: CUDA error: unspecified launch failure. "),
        ("fail:bug", protocol.INTERNAL_ERROR, None, "internal error: KeyError"),
        ("fail:exit", protocol.INTERNAL_ERROR, None, "internal error: SystemExit"),
        ("nan:", protocol.INTERNAL_ERROR, None, "internal error: ValueError"),
        (f"large:{protocol.MAX_LINE}", protocol.INTERNAL_ERROR, None, "internal error: ValueError: a message is too"),
    ],
)
def test_an_error_is_an_answer_and_the_worker_goes_on(path, expected, kind, told, local):
    error = local.refused("open", path=path)
    assert error["code"] == expected
    assert error["message"].startswith(told)
    assert error["data"].get("type") == kind
    assert ("traceback" in error["data"]) == (kind is None)
    assert local.ask("open", path="next") == {"path": "next"}


@pytest.mark.fault("F14")
def test_an_error_carries_its_code_and_the_values_it_is_made_of(local):
    data = local.refused("open", path="code:short")["data"]
    assert (data["code"], data["values"]) == ("far-away", {"path": "a.tif", "reach": None})
    assert local.refused("open", path="code:long")["data"]["values"] == {}


def test_unknown_methods_and_parameters_are_refused_with_the_id(local):
    assert local.refused("fly")["code"] == protocol.UNKNOWN_METHOD
    assert local.refused("prepare")["code"] == protocol.UNKNOWN_METHOD
    error = local.refused("open", file="a")
    assert (error["code"], error["message"]) == (protocol.INVALID_PARAMS, "params.path: missing")


def test_a_newer_request_of_a_stream_takes_the_place_of_waiting_and_running_ones(local):
    running = hold(local, stream="hover")
    other = local.send("open", path="other", stream="click")
    waiting = local.send("open", path="old", stream="hover")
    newest = local.send("open", path="new", stream="hover")
    assert [code(local.reply(number)) for number in (running, waiting)] == [protocol.SUPERSEDED] * 2
    assert local.reply(other).result == {"path": "other"}
    assert local.reply(newest).result == {"path": "new"}
    assert "old" not in fake_service.done


def test_streams_of_different_clients_have_nothing_to_do_with_each_other(local):
    running = hold(local, stream="hover", client="a")
    local.ask("status", stream="hover", client="b")
    number = local.send("open", path="b", stream="hover", client="b")
    fake_service.may_go["a"].set()
    assert local.reply(running).error is None
    assert local.reply(number).error is None


def test_cancelled_requests_are_answered_at_once_even_if_their_thread_is_deaf(local):
    deaf = local.send("open", path="deaf:d")
    assert fake_service.begun["d"].wait(PATIENCE)
    waiting = local.send("open", path="never")
    began = time.monotonic()
    local.tell("cancel", id=waiting)
    local.tell("cancel", id=deaf)
    assert code(local.reply(waiting)) == code(local.reply(deaf)) == protocol.CANCELLED
    assert time.monotonic() - began < 10
    fake_service.may_go["d"].set()
    assert local.ask("open", path="next") == {"path": "next"}
    assert "never" not in fake_service.done
    assert len([reply for reply in local.replies if reply.id == deaf]) == 1


def test_a_cancelled_run_is_answered_when_it_has_stopped(local):
    number = local.send("run", path="deaf:r", model={"name": "threshold"}, out="o.gpkg")
    assert fake_service.begun["r"].wait(PATIENCE)
    local.tell("cancel", id=number)
    assert local.ask("open", path="beside") == {"path": "beside"}  # runs have a thread of their own
    assert not any(reply.id == number for reply in local.replies)
    fake_service.may_go["r"].set()
    assert local.reply(number).result == {"path": "deaf:r"}  # it was done before it could stop
    local.tell("cancel", id=number)
    local.tell("cancel", id="unknown")
    assert local.ask("cancel", id=number) == {}


@pytest.mark.fault("L08")
def test_more_requests_than_may_wait_are_told_so(local):
    hold(local)
    numbers = [local.send("open", path=f"{n}", client=f"{n % 16}") for n in range(MAX_WAITING + 5)]
    busy = [local.reply(number) for number in numbers[MAX_WAITING:]]
    assert {code(reply) for reply in busy} == {protocol.BUSY}
    assert local.ask("status")["waiting"] == MAX_WAITING
    fake_service.may_go["a"].set()
    assert all(local.reply(number).error is None for number in numbers[:MAX_WAITING])
    assert local.ask("open", path="again") == {"path": "again"}


@pytest.mark.fault("L07")
def test_clients_are_served_in_turn(local):
    hold(local, client="0")
    for number in range(8):
        for client in "abc":
            local.send("open", path=f"{client}{number}", client=client)
    fake_service.may_go["a"].set()
    local.ask("open", path="last", client="c")
    order = [path for path in fake_service.done if path[0] in "abc" and path[1:].isdecimal()]
    assert order == [f"{client}{number}" for number in range(8) for client in "abc"]


def test_requests_go_first_between_the_steps_of_a_prefetch(local):
    number = local.send("prefetch", scene="3", **VIEW)
    assert fake_service.begun["step 0"].wait(PATIENCE)
    local.send("open", path="click")
    assert local.ask("status")["waiting"] == 1
    for step in range(3):
        fake_service.may_go[f"step {step}"].set()
    assert local.reply(number).result == {"windows": 3}
    assert [what for what in fake_service.done if what != "prepare"] == ["step 0", "click", "step 1", "step 2"]


def test_a_cancelled_prefetch_takes_no_further_step(local):
    number = local.send("prefetch", scene="3", **VIEW)
    assert fake_service.begun["step 0"].wait(PATIENCE)
    local.tell("cancel", id=number)
    assert code(local.reply(number)) == protocol.CANCELLED
    fake_service.may_go["step 0"].set()
    local.ask("open", path="next")
    assert "step 1" not in fake_service.done


def test_shutdown_answers_everything_and_itself_last():
    client = LocalServer()
    with pytest.MonkeyPatch.context() as patch:
        fake_service.reset()
        patch.setitem(server.SERVICES, "interactive", "fake_service:Fake")
        client.ask("initialize", protocol=1)
        running = hold(client, "z")
        waiting = client.send("open", path="never")
        last = client.send("shutdown")
        assert client.ended.wait(PATIENCE)
        assert client.stop()
    assert [reply.id for reply in client.replies[1:]] == [running, waiting, last]
    assert [code(reply) for reply in client.replies[1:]] == [protocol.CANCELLED, protocol.CANCELLED, None]


@pytest.mark.fault("F10", "F12")
def test_the_end_does_not_wait_for_a_client_that_does_not_read():
    unread, outgoing = os.pipe()
    outbox = Outbox(outgoing, lambda: None)
    outbox.send(b"x" * 2 * (ROOM + RESERVE))
    serving = server.Server(outbox, lambda: None, {})
    greeting = threading.Thread(target=serving.handle, args=(protocol.request(1, "initialize", {"protocol": 1}),))
    greeting.start()
    greeting.join(0.5)
    assert greeting.is_alive()  # there is no room for its answer
    serving.close(PATIENCE)
    greeting.join(PATIENCE)
    assert not greeting.is_alive()
    os.close(unread)
    outbox.close(PATIENCE)
    os.close(outgoing)


names = st.sampled_from([*PARAMETERS, "fly", ""])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
given_params = st.dictionaries(
    st.sampled_from(
        ["path", "scene", "model", "draft", "protocol", "id", "stream", "client", "objects", "look", "bounds"]
    ),
    trees | st.just({"name": "threshold"}) | st.just("x"),
    max_size=4,
)
messages = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": names.filter(lambda name: name != "shutdown")},
    optional={"id": st.integers(-5, 5) | st.text(max_size=2) | trees, "params": given_params | trees},
).map(lambda message: json.dumps(message).encode())


@pytest.mark.fault("F14")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(messages | st.binary(max_size=40) | trees.map(lambda value: json.dumps(value).encode()), max_size=8))
def test_whatever_is_sent_the_next_request_is_answered(local, lines):
    local.replies.clear()
    for line in lines:
        local.write(line.replace(b"\n", b"") + b"\n")
    expected = 0
    for line in lines:
        try:
            message = protocol.decode(line.replace(b"\n", b""))
        except protocol.ProtocolError:
            expected += 1
        else:
            expected += isinstance(message, protocol.Request) and message.id is not None
    marker = f"marker {time.monotonic_ns()}"
    local.write(protocol.request(marker, "open", {"path": "marker"}))
    assert local.reply(marker).result == {"path": "marker"}
    local.wait_for(lambda: len(local.replies) >= expected + 1)
    assert len(local.replies) == expected + 1
