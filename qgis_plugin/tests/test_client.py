"""The client against a worker that can be told to misbehave, and against the real one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from qgis.core import QgsGeometry, QgsPointXY
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QByteArray, QEventLoop

from geosam_qgis import protocol
from geosam_qgis.draft import Draft
from geosam_qgis.engine.client import GONE, WorkerClient
from geosam_qgis.engine.locations import WorkerCommand

FAKE = str(Path(__file__).with_name("fake_worker.py"))


class Answers:
    """Callbacks that keep what they got."""

    def __init__(self):
        self.results, self.failures = [], []

    def __len__(self):
        return len(self.results) + len(self.failures)

    def ask(self, client, method, params=None, **more):
        return client.request(method, params or {}, self.results.append, self.failures.append, **more)


@pytest.fixture
def answers():
    return Answers()


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


def test_a_program_that_cannot_be_started_says_so_once_and_not_inside_the_request(answers, wait, tmp_path):
    client = WorkerClient(WorkerCommand(str(tmp_path / "no such program"), ("worker",), "test"))
    answers.ask(client, "echo")
    assert len(answers) == 0
    wait(lambda: answers)
    assert answers.failures[0].code == GONE
    assert "no such program could not be started" in answers.failures[0].message


def test_a_program_that_is_no_worker_is_told_from_one(answers, wait):
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
def test_another_protocol_is_told_with_both_numbers_and_what_to_update(fake, answers, wait, mode):
    client = fake(mode)
    answers.ask(client, "echo")
    wait(lambda: answers)
    assert "uses protocol 99, this plugin uses protocol 1. Update the plugin." in answers.failures[0].message
    assert not client.is_running


def test_stop_ends_what_waits_at_once_and_says_nothing_went_wrong(fake, answers, wait):
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


def test_scenes_are_opened_once_a_life(fake, answers, wait):
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


def test_a_scene_that_could_not_be_opened_is_asked_for_again(fake, answers, wait):
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


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


def draft(scene, name):
    return Draft(scene.authid).with_point(*scene.spot(name), 1).to_json()


def segment(client, answers, scene, name="roof"):
    """A click as the map tool makes it: open, then ask, in whichever life of the worker."""

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


def test_no_worker_outlives_qgis_and_nothing_is_said_at_its_end():
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


def test_a_scene_asked_for_again_by_the_callback_of_its_failure_is_opened_in_the_next_life(fake, answers, wait):
    client = fake()

    def again(failure):
        answers.failures.append(failure)
        client.scene("/a.tif", {}, answers.results.append, answers.failures.append)

    client.scene("/a.tif", {}, answers.results.append, again)
    os.kill(int(client._worker._process.processId()), signal.SIGKILL)
    wait(lambda: len(answers) == 2)
    assert len(answers.failures) == 1
    assert answers.results[0]["path"] == "/a.tif"


def test_a_client_that_is_gone_takes_its_worker_along(fake, answers, wait):
    client = WorkerClient(WorkerCommand(sys.executable, (FAKE, "worker"), "test"))
    answers.ask(client, "echo")
    wait(lambda: answers)
    sip.delete(client)
    wait(lambda: not alive(answers.results[0]["pid"]))
