"""A call ends within two seconds of a signal, with one line, and takes its workers with it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from calls import ENVIRONMENT

#: A command `geosam busy`, kept busy in a way that the test chooses.
PROGRAM = """
import concurrent.futures, hashlib, sys, time
import click
from geosam.apps.cli import main
from geosam.apps.cli.report import Report

def in_python():
    while True:
        time.sleep(0.01)

def in_a_long_c_call():  # signals are not looked at before it returns
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

def in_a_worker():
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(time.sleep, 60).result()

def swallowing():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@click.command()
@click.argument("how")
@click.option("--resumable", is_flag=True)
@click.pass_obj
def busy(report: Report, how: str, resumable: bool):
    report.resumable = resumable
    print("ready", flush=True)
    globals()[how]()

if __name__ == "__main__":
    main.cli.add_command(busy)
    main.main()
"""


@pytest.fixture
def busy(tmp_path):
    script = tmp_path / "busy.py"
    script.write_text(PROGRAM)
    started = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, str(script), "busy", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.serial
@pytest.mark.fault("F03", "F04")
@pytest.mark.parametrize("how", ["in_python", "in_a_long_c_call", "in_a_worker", "swallowing"])
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_call_within_two_seconds(how, number, code, word, busy):
    process = busy(how)
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert (process.returncode, out, err) == (code, "", f"error: {word}.\n")
    _, alive = psutil.wait_procs(children, timeout=1)
    assert alive == []


@pytest.mark.fault("F03")
def test_a_signal_sent_again_and_again_changes_nothing(busy):
    process = busy("in_a_worker")
    for _ in range(20):
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
        time.sleep(0.01)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "error: interrupted.\n")


@pytest.mark.fault("F03")
def test_the_line_says_that_the_run_resumes(busy):
    process = busy("in_python", "--resumable")
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert err == "error: interrupted. Finished tiles are kept: the same command continues from there.\n"
