"""The outbox: bounded, whoever reads or does not."""

import os
import threading
import time

import pytest

from geosam.apps.worker.pipes import RESERVE, ROOM, Outbox, read_lines
from geosam.apps.worker.protocol import MAX_LINE, ProtocolError

PATIENCE = 30


@pytest.fixture
def pipe():
    incoming, outgoing = os.pipe()
    yield incoming, outgoing
    for descriptor in (incoming, outgoing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def drain(incoming, count):
    found = b""
    while len(found) < count:
        found += os.read(incoming, 1 << 16)
    return found


def test_lines_arrive_in_their_order(pipe):
    outbox = Outbox(pipe[1], lambda: None)
    lines = [b"%d\n" % number for number in range(1000)]
    for line in lines:
        outbox.send(line)
    assert drain(pipe[0], sum(map(len, lines))) == b"".join(lines)
    outbox.close(PATIENCE)


@pytest.mark.fault("F12")
def test_answers_wait_for_a_client_that_does_not_read(pipe):
    outbox = Outbox(pipe[1], lambda: None)
    line = b"x" * (1 << 20) + b"\n"
    sent = []

    def produce():
        for number in range(20):
            outbox.send(line)
            sent.append(number)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    time.sleep(0.5)
    # the room, the line that overflows it, and the one that the pipe has begun to take
    assert len(sent) <= ROOM // len(line) + 2
    assert producer.is_alive()
    drain(pipe[0], 20 * len(line))
    producer.join(PATIENCE)
    assert len(sent) == 20
    outbox.close(PATIENCE)


@pytest.mark.fault("F12")
def test_notes_that_nobody_has_to_see_are_dropped_meanwhile(pipe):
    outbox = Outbox(pipe[1], lambda: None)
    for _ in range(100_000):
        outbox.offer(b"x" * 99 + b"\n")
    outbox.send(b"end\n")
    found = b""
    while not found.endswith(b"end\n"):
        found += os.read(pipe[0], 1 << 16)
    assert len(found) < 1 << 20
    outbox.close(PATIENCE)


@pytest.mark.fault("F12")
def test_a_line_that_waits_is_dropped_when_it_is_not_needed_any_more(pipe):
    outbox = Outbox(pipe[1], lambda: None)
    outbox.send(b"x" * 2 * ROOM)
    needed = [True]
    waiting = threading.Thread(target=outbox.send, args=(b"stale\n", lambda: needed[0]), daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    needed[0] = False
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    outbox.send(b"error\n", room=2 * ROOM + RESERVE)  # does not wait
    assert drain(pipe[0], 2 * ROOM + 6).endswith(b"xerror\n")
    outbox.close(PATIENCE)


@pytest.mark.fault("F11")
def test_a_broken_pipe_is_told_once_and_nobody_waits_for_it(pipe):
    broken = threading.Event()
    outbox = Outbox(pipe[1], broken.set)
    os.close(pipe[0])
    outbox.send(b"x\n")
    assert broken.wait(PATIENCE)
    for _ in range(10):
        outbox.send(b"x" * ROOM)
    outbox.close(PATIENCE)


@pytest.mark.fault("F13")
def test_a_line_without_end_is_refused_before_it_is_collected(pipe):
    piece = b"x" * (1 << 16)

    def flood():
        for _ in range(MAX_LINE // len(piece) + 2):
            try:
                os.write(pipe[1], piece)
            except OSError:
                return

    threading.Thread(target=flood, daemon=True).start()
    with pytest.raises(ProtocolError, match="more than 16777216 bytes"):
        list(read_lines(pipe[0]))


def test_the_end_of_the_pipe_is_the_end_and_a_begun_line_is_dropped(pipe):
    os.write(pipe[1], b"one\ntwo\nbegun")
    os.close(pipe[1])
    assert list(read_lines(pipe[0])) == [b"one", b"two"]
