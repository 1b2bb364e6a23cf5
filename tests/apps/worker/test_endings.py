"""How the worker's process begins and ends, whatever happens to it or around it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from scenes import picture, write_scene
from workers import COMMAND, ENVIRONMENT, MODEL, PATIENCE, Client, Worker

from geosam.apps.worker import protocol
from geosam.apps.worker.pipes import RESERVE, ROOM

#: Within so many seconds a worker has to be gone; the machines that run tests have other things to do as well.
GONE_S = 5 + 10

#: Starts a worker, says its number, and hands messages on. With an argument another process holds the worker's input.
PARENT = """
import subprocess, sys, threading
worker = subprocess.Popen([sys.executable, "-m", "geosam", "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
fds = [worker.stdin.fileno()]
holder = subprocess.Popen(["sleep", "60"], pass_fds=fds, stdout=subprocess.DEVNULL) if len(sys.argv) > 1 else worker
print(worker.pid, holder.pid, flush=True)
def forward():
    for line in worker.stdout:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
threading.Thread(target=forward, daemon=True).start()
for line in sys.stdin.buffer:
    worker.stdin.write(line)
    worker.stdin.flush()
"""


def parent(*args, environment=ENVIRONMENT):
    """A parent, its worker's number and that of who else holds its pipe."""
    command = [sys.executable, "-c", PARENT, *args]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    return process, *map(int, process.stdout.readline().split())


def gone(pid, patience=GONE_S):
    """Whether a process ends in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def greeting():
    return protocol.request(1, "initialize", {"protocol": 1})


def busy_request(tmp_path, side=2000):
    """A run that takes long, whatever the machine."""
    path = write_scene(tmp_path / "large.tif", picture(side, side), photometric="rgb")
    params = {
        "path": str(path),
        "model": MODEL,
        "out": str(tmp_path / "out.gpkg"),
        "running": {"tile_size": 32, "overlap": 16},
    }
    return protocol.request(2, "run", params)


@pytest.mark.fault("F10")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_the_worker_is_gone_soon_after_its_parent_was_killed_and_leaves_no_temporary_file(busy, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process, pid, _ = parent(environment={**ENVIRONMENT, "TMPDIR": str(temporary)})
    process.stdin.write(greeting() + (busy_request(tmp_path) if busy else b""))
    process.stdin.flush()
    while busy and b'"done":20' not in process.stdout.readline():
        continue
    assert psutil.pid_exists(pid)
    process.kill()
    assert gone(pid)
    process.communicate()
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "out.gpkg").exists()


@pytest.mark.fault("F10")
@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not handed on there")
def test_the_worker_leaves_even_if_another_process_holds_its_pipe():
    process, pid, holder = parent("shared")
    process.stdin.write(greeting())
    process.stdin.flush()
    process.stdout.readline()
    process.kill()
    assert gone(pid)
    os.kill(holder, signal.SIGKILL)
    process.communicate()


@pytest.mark.fault("F10")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_the_worker_leaves_when_its_input_ends(busy, tmp_path):
    worker = Worker()
    worker.greet()
    if busy:
        worker.write(busy_request(tmp_path))
        worker.wait_for(lambda: any(note["done"] > 5 for note in worker.of("progress")))
    worker.close()
    assert worker.process.wait(GONE_S) == 0
    worker.end()
    codes = [reply.error["code"] for reply in worker.replies if reply.error]
    assert codes == ([protocol.CANCELLED] if busy else [])
    assert worker.errors == b""
    worker.stop()


@pytest.mark.fault("F11")
def test_nobody_who_could_read_answers_is_a_quiet_end(tmp_path):
    worker = Worker()
    worker.greet()
    worker.write(busy_request(tmp_path))
    worker.wait_for(lambda: any(note["done"] > 5 for note in worker.of("progress")))
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        incoming = worker.process.stdout.fileno()
        os.dup2(nothing.fileno(), incoming)  # the only reading end is closed
        worker.write(protocol.request(3, "status", {}))
        assert worker.process.wait(GONE_S) == 0
    assert worker.errors == b""
    worker.stop()


@pytest.mark.fault("F08")
def test_a_crash_says_where_on_standard_error(worker):
    worker.ask("status")
    os.kill(worker.process.pid, signal.SIGSEGV)
    assert worker.process.wait(PATIENCE) == -signal.SIGSEGV
    with pytest.raises(EOFError):
        worker.wait_for(lambda: False)
    deadline = time.monotonic() + PATIENCE
    while b"process.py" not in worker.errors and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b"Segmentation fault" in worker.errors


def test_a_killed_worker_is_the_end_of_its_pipe(worker):
    worker.process.kill()
    worker.process.wait(PATIENCE)
    with pytest.raises(EOFError):
        worker.wait_for(lambda: False)
    with pytest.raises(BrokenPipeError):
        worker.tell("cancel", id=1)


@pytest.mark.fault("F13")
def test_a_line_over_16_mib_is_one_error_without_id_and_the_end(worker):
    with pytest.raises(BrokenPipeError):
        worker.write(b"x" * (1 << 26))
    assert worker.process.wait(GONE_S) == 2
    worker.end()
    (refusal,) = worker.replies[1:]
    assert (refusal.id, refusal.error["code"]) == (None, protocol.INVALID_REQUEST)
    assert "16777216 bytes" in refusal.error["message"]


@pytest.mark.fault("F13")
def test_a_line_of_nearly_16_mib_is_read(worker):
    line = protocol.request("long", "open", {"path": "x" * (protocol.MAX_LINE - 200)})
    worker.write(line)
    assert worker.reply("long").error["code"] == protocol.REFUSED


@pytest.mark.fault("F15")
def test_what_is_printed_goes_to_standard_error_and_no_message_suffers(tmp_path):
    script = tmp_path / "noisy.py"
    script.write_text(
        "import os, sys\n"
        "from geosam.apps.worker.pipes import claim_pipes\n"
        "from geosam.apps.worker.process import serve\n"
        "pipes = claim_pipes()\n"
        "os.write(1, b'libtiff: warning\\n')\n"
        "os.system('echo child')\n"
        "print('from Python', flush=True)\n"
        "assert sys.stdin.fileno() == 0 and os.read(0, 1) == b''\n"
        "serve(pipes, 2**20)\n"
    )
    worker = Worker(command=[sys.executable, str(script)])
    assert worker.greet()["protocol"] == 1
    worker.ask("shutdown")
    assert worker.process.wait(PATIENCE) == 0
    deadline = time.monotonic() + PATIENCE
    while len(worker.errors.splitlines()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(worker.errors.splitlines()) == [b"child", b"from Python", b"libtiff: warning"]
    worker.stop()


@pytest.mark.serial
@pytest.mark.fault("F12")
def test_a_client_that_does_not_read_makes_nothing_grow(scene_path):
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT)
    write = process.stdin.fileno()
    for line in (greeting(), protocol.request(2, "open", {"path": str(scene_path)})):
        os.write(write, line)
        process.stdout.readline()  # so that everything is imported
    before = psutil.Process(process.pid).memory_info().rss
    os.set_blocking(write, False)

    def push(line):
        """Write as long as the worker reads; False when it does not any more."""
        for _ in range(100):
            try:
                os.write(write, line)  # less than the pipe's capacity, so all or nothing
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return True
        return False

    asked = 3
    while push(protocol.request(asked, "initialize", {"protocol": 1})):
        asked += 1
    assert psutil.Process(process.pid).memory_info().rss - before < 4 * (ROOM + RESERVE)
    os.set_blocking(write, True)
    client = Client(write, process.stdout.fileno())
    client.wait_for(lambda: len(client.replies) == asked - 3)  # now somebody reads: nothing was lost
    assert [reply.id for reply in client.replies] == list(range(3, asked))
    assert len(protocol.result(1, client.replies[0].result)) * asked > ROOM + RESERVE
    process.stdin.close()
    assert process.wait(GONE_S) == 0
    client.end()
    process.stdout.close()


@pytest.mark.fault("F03", "F04")
@pytest.mark.parametrize(
    ("number", "code", "busy"), [(signal.SIGINT, 130, False), (signal.SIGTERM, 143, False), (signal.SIGTERM, 143, True)]
)
def test_a_signal_ends_the_worker_as_it_ends_other_commands(number, code, busy, worker, tmp_path):
    if busy:
        worker.write(busy_request(tmp_path))
        worker.wait_for(lambda: any(note["done"] > 5 for note in worker.of("progress")))
    os.kill(worker.process.pid, number)
    assert worker.process.wait(GONE_S) == code
    worker.end()


def test_the_first_answer_comes_before_anything_large_is_imported():
    code = (
        "import sys; from geosam.apps.worker import process; "
        "heavy = {'numpy', 'rasterio', 'shapely', 'pyproj', 'torch', 'pyogrio'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_says_who_starts_it_and_where_the_protocol_is():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "other programs start it" in " ".join(done.stdout.split())
    assert "docs/worker.md" in done.stdout
