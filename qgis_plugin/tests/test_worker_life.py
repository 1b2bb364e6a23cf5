"""Start, crash, stop and end of the worker's process, as its client sees them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from answers import Answers, alive
from qgis.PyQt import sip

from geosam_qgis.engine.client import GONE, WorkerClient
from geosam_qgis.engine.locations import WorkerCommand

FAKE = str(Path(__file__).with_name("fake_worker.py"))


@pytest.mark.fault("F08")
def test_a_crash_ends_every_request_once_and_the_next_request_works(fake, answers, wait):
    client = fake()
    reasons = []
    client.stopped.connect(reasons.append)
    first = Answers()
    first.ask(client, "echo")
    wait(lambda: first)
    for _ in range(10):
        answers.ask(client, "silence")
    answers.ask(client, "crash")
    wait(lambda: len(answers) == 11)
    assert {failure.code for failure in answers.failures} == {GONE}
    assert "signal 11 SIGSEGV" in answers.failures[0].message
    assert reasons == [answers.failures[0].message]
    assert not client.is_running
    again = Answers()
    again.ask(client, "echo")
    wait(lambda: again)
    assert again.results[0]["pid"] != first.results[0]["pid"]
    assert len(answers) == 11


@pytest.mark.fault("F09")
def test_three_deaths_in_a_minute_are_enough_until_reset(fake, answers, wait):
    client = fake("dies")
    for number in range(5):
        answers.ask(client, "echo")
        wait(lambda: len(answers) == number + 1)  # noqa: B023 - it is called before the next turn
    assert len(client.deaths) == 3
    assert ["3 times" in failure.message for failure in answers.failures] == [False, False, False, True, True]
    client.reset()
    answers.ask(client, "echo")
    wait(lambda: len(answers) == 6)
    assert "3 times" not in answers.failures[-1].message


@pytest.mark.fault("F24")
@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("Traceback\n  x\nModuleNotFoundError: No module named 'torch'", "No module named 'torch'"),
        ("Error: internal error: ImportError: libgomp.so.1: cannot open shared object file. Report.", "libgomp.so.1"),
        ("ImportError: DLL load failed while importing _C: The specified module could not be found.", "importing _C"),
        ('OSError: [WinError 126] module not found. Error loading "c:\\torch\\lib\\c10.dll"', "c10.dll"),
        ("/usr/bin/python3: No module named geosam", "No module named geosam"),
        ("Error: No such command 'worker'. Try 'geosam --help'.", "too old"),
        ("something else\n", "Its last message: something else"),
    ],
)
def test_the_message_names_the_import_that_failed(fake, wait, monkeypatch, said, named):
    answers = Answers()
    monkeypatch.setenv("FAKE_WORKER_LAST_WORDS", said)
    answers.ask(fake("dies"), "echo")
    wait(lambda: answers)
    assert named in answers.failures[0].message


def test_a_program_that_cannot_be_started_is_one_failure_after_the_request(answers, wait, tmp_path):
    client = WorkerClient(WorkerCommand(str(tmp_path / "no such program"), ("worker",), "test"))
    answers.ask(client, "echo")
    assert len(answers) == 0
    wait(lambda: answers)
    assert answers.failures[0].code == GONE
    assert "no such program could not be started" in answers.failures[0].message


def test_a_program_that_is_not_a_worker_is_named(answers, wait):
    client = WorkerClient(WorkerCommand("/bin/echo", ("hello",), "test"))
    answers.ask(client, "echo")
    wait(lambda: answers)
    assert "/bin/echo does not answer like a geosam worker" in answers.failures[0].message


@pytest.mark.fault("F14")
@pytest.mark.parametrize("text", ["hello", "{}", '{"jsonrpc":"2.0","id":1,"result":NaN}', "[" * 5000], ids=str.__len__)
def test_nonsense_from_the_worker_ends_it_and_every_request_once(fake, answers, wait, text):
    client = fake()
    answers.ask(client, "silence")
    answers.ask(client, "nonsense", {"text": text})
    wait(lambda: len(answers) == 2)
    assert "does not answer like a geosam worker" in answers.failures[0].message
    again = Answers()
    again.ask(client, "echo")
    wait(lambda: again.results)


@pytest.mark.parametrize("mode", ["other-version", "refuses"])
def test_a_worker_of_another_protocol_is_named_with_both_numbers_and_the_update(fake, answers, wait, mode):
    client = fake(mode)
    answers.ask(client, "echo")
    wait(lambda: answers)
    assert "uses protocol 99, this plugin uses protocol 1. Update the plugin." in answers.failures[0].message
    assert not client.is_running


def test_stop_ends_all_requests_at_once_and_counts_as_no_death(fake, answers, wait):
    client = fake()
    reasons = []
    client.stopped.connect(reasons.append)
    answers.ask(client, "echo")
    wait(lambda: answers)
    answers.ask(client, "silence")
    client.stop()
    assert len(answers) == 2
    assert answers.failures[0].code == GONE
    assert not client.is_running
    wait(lambda: not client.is_ending)
    assert reasons == [""]
    assert client.deaths == ()


def test_a_worker_that_will_not_stop_is_killed(fake, answers, wait):
    client = fake("stubborn")
    answers.ask(client, "echo")
    wait(lambda: answers)
    client.stop()
    wait(lambda: not client.is_ending, 20)
    wait(lambda: not alive(answers.results[0]["pid"]))


def test_a_callback_of_stop_that_asks_again_does_not_start_another_worker(fake, wait):
    client = fake()
    late = Answers()
    client.request("silence", {}, lambda _: None, lambda _: late.ask(client, "echo"))
    client.stop()
    assert not client.is_running
    wait(lambda: late)
    assert late.failures[0].code == GONE


def test_a_scene_requested_by_the_callback_of_its_failure_is_opened_in_the_next_worker(fake, answers, wait):
    client = fake()

    def again(failure):
        answers.failures.append(failure)
        client.scene("/a.tif", {}, answers.results.append, answers.failures.append)

    client.scene("/a.tif", {}, answers.results.append, again)
    os.kill(int(client._worker._process.processId()), signal.SIGKILL)
    wait(lambda: len(answers) == 2)
    assert len(answers.failures) == 1
    assert answers.results[0]["path"] == "/a.tif"


def test_a_deleted_client_ends_its_worker(fake, answers, wait):
    client = WorkerClient(WorkerCommand(sys.executable, (FAKE, "worker"), "test"))
    answers.ask(client, "echo")
    wait(lambda: answers)
    sip.delete(client)
    wait(lambda: not alive(answers.results[0]["pid"]))


QUITTING = """
import sys
sys.path.insert(0, sys.argv[1])
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QTimer
application = QgsApplication([], False)
application.initQgis()
from geosam_qgis.engine.client import WorkerClient
from geosam_qgis.engine.locations import WorkerCommand
clients = [WorkerClient(WorkerCommand(sys.executable, (sys.argv[2], *modes, "worker"), "test"))
           for modes in ((), ("stubborn",), ("deaf",))]
def told(failure):
    print("told", flush=True)
    clients[0].request("echo", {}, print, lambda failure: None)
for client in clients:
    client.request("silence", {}, print, told)
pids = [int(client._worker._process.processId()) for client in clients]
print(*pids, flush=True)
QTimer.singleShot(1500, application.quit)
application.exec_()
application.exitQgis()
"""


def test_no_worker_outlives_qgis_and_its_end_prints_nothing():
    plugin = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", QUITTING, plugin, FAKE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *told = done.stdout.splitlines()
    assert told == ["told"] * 3
    assert not any(alive(int(pid)) for pid in first.split())


@pytest.mark.fault("F10")
def test_a_killed_qgis_leaves_no_real_worker_behind(worker_command, tmp_path):
    script = QUITTING.replace('sys.executable, (sys.argv[2], *modes, "worker")', 'sys.argv[2], ("worker",)')
    with subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parents[1]), worker_command.program], stdout=subprocess.PIPE
    ) as qgis:
        pids = [int(pid) for pid in qgis.stdout.readline().split()]
        qgis.kill()
    assert len(pids) == 3
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
