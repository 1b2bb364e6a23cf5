"""Every way a call can end: exit code, one line on stderr, one object on stdout."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import click
import pytest
from calls import ENVIRONMENT, GEOSAM

from geosam import errors
from geosam.apps.cli import main as boundary
from geosam.apps.cli import outcome
from geosam.apps.cli.options.reporting import report_options


@pytest.fixture
def failing(monkeypatch):
    """A command `geosam fail` that raises what it is told to."""

    def register(error, facts=MappingProxyType({"count": 3})):
        @click.command()
        @report_options
        @click.pass_obj
        def fail(report):
            report.result(facts, ["three"])
            report.warn(["first", "second", "first"])
            if error is not None:
                raise error

        monkeypatch.setitem(boundary.cli.commands, "fail", fail)

    return register


LEAVES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.GeosamError)]


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
def test_every_error_of_the_tree_ends_in_its_exit_code(cls, failing, geosam):
    failing(cls("something is wrong: a.tif: found 1, expected 2. Do this."))
    done = geosam("fail", "--json")
    assert done.code == cls.exit_code == done.json["exit_code"]
    assert done.error() == done.json["error"]
    if not issubclass(cls, errors.Interrupted):
        assert done.error() == "something is wrong: a.tif: found 1, expected 2. Do this."


def test_an_error_is_worded_and_its_code_and_values_are_json(failing, geosam):
    message = "something is wrong: a.tif: `tile_size`: found 2."
    values = {"path": Path("a.tif"), "tile_size": 2, "ratio": float("nan")}
    failing(errors.SceneError(message, remedy="Use `tile_size=4`.", code="too-small", **values))
    done = geosam("fail", "--json")
    assert done.error() == done.json["error"] == "something is wrong: a.tif: --tile-size: found 2. Use --tile-size 4."
    assert (done.json["code"], done.json["values"]) == ("too-small", {"path": "a.tif", "tile_size": 2, "ratio": None})


def test_warnings_and_lines_for_people_are_worded_and_facts_are_not(geosam, monkeypatch):
    @click.command()
    @report_options
    @click.pass_obj
    def warn(report):
        report.warn(["given: `crs`"])
        report.result({"source": "given by `crs`"}, ["given by `crs`"])

    monkeypatch.setitem(boundary.cli.commands, "warn", warn)
    done = geosam("warn")
    assert (done.out, done.err) == ("given by --crs\n", "warning: given: --crs\n")
    assert geosam("warn", "--json").json["source"] == "given by `crs`"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out-of-memory"),
        (OSError(errno.ENOSPC, "full", "out.gpkg"), "disk-full"),
        (KeyError("lost"), "internal-error"),
        (errors.Terminated(), "terminated"),
        (errors.MissingCRS("no CRS."), "missing-crs"),
    ],
)
def test_every_failure_has_a_code(error, code, failing, geosam, monkeypatch):
    monkeypatch.setattr(outcome, "_bug_notice", lambda *_: "")
    failing(error)
    assert geosam("fail", "--json").json["code"] == code


def test_success_ends_in_0_with_warnings_said_once(failing, geosam):
    failing(None)
    done = geosam("fail")
    assert (done.code, done.out, done.err) == (0, "three\n", "warning: first\nwarning: second\n")
    assert geosam("fail", "--json").json == {"count": 3, "warnings": ["first", "second"], "exit_code": 0}


def test_a_message_stays_one_line(failing, geosam):
    failing(errors.SceneError("one\ntwo\r\nthree"))
    assert geosam("fail").error() == "one two three"


def test_numbers_that_are_not_finite_become_null(failing, geosam):
    failing(None, {"a": [float("nan"), {1: float("inf")}]})
    assert geosam("fail", "--json").json["a"] == [None, {"1": None}]


def test_a_bug_ends_in_1_with_the_traceback_in_a_file(failing, geosam):
    failing(KeyError("lost"))
    done = geosam("fail")
    assert done.code == 1
    message = done.error()
    assert message.startswith("internal error: KeyError: 'lost'")
    crash = Path(re.search(r"report it with (.*)\.$", message)[1])
    text = crash.read_text()
    crash.unlink()
    assert "Traceback (most recent call last)" in text
    assert "KeyError: 'lost'" in text


def test_debug_shows_the_traceback_instead(failing, geosam):
    failing(ZeroDivisionError("oops"))
    done = geosam("fail", "--debug")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert "geosam-crash" not in done.err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_in_8_and_names_the_file(number, failing, geosam):
    failing(OSError(number, os.strerror(number), "out.gpkg"))
    done = geosam("fail")
    assert done.code == 8
    assert "out.gpkg" in done.error()


@pytest.mark.fault("F06")
def test_lack_of_memory_ends_in_8_with_what_to_lower(failing, geosam):
    failing(MemoryError("Unable to allocate 4.00 EiB"))
    done = geosam("fail")
    assert done.code == 8
    assert "4.00 EiB" in done.error()
    assert "--tile-size" in done.error()


def test_an_interruption_that_a_library_swallowed_still_counts(failing, geosam, monkeypatch):
    failing(errors.UnreadableScene("tile r0 c0 cannot be read: x.tif: found nothing, expected pixels. Check it."))
    monkeypatch.setattr(boundary.Signals, "received", errors.Terminated(), raising=False)
    monkeypatch.setattr(boundary.Signals, "__init__", lambda _: None)
    done = geosam("fail")
    assert (done.code, done.error()) == (143, "terminated.")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], None),
        (["--help"], None),
        (["nonsense"], "No such command 'nonsense'"),
        (["segment"], "Missing argument 'SCENE'"),
        (["segment", "a.tif", "--nonsense"], "No such option"),
        (["segment", "a.tif", "--point", "1"], "'1' is not X,Y: 2 numbers"),
        (["segment", "a.tif", "--point", "1, 2,3"], "is not X,Y"),
        (["segment", "a.tif", "--box", "1,2,3"], "is not XMIN,YMIN,XMAX,YMAX: 4 numbers"),
        (["segment", "a.tif", "--window", "3,0,1,1"], "encloses no area"),
        (["segment", "a.tif", "--window", "nan,0,1,1"], "encloses no area"),
        (["segment", "a.tif", "--bands", "0,1,2"], "names no bands"),
        (["segment", "a.tif", "--bands", "1,2"], "names no bands"),
        (["segment", "a.tif", "--crs", "EPSG:999999"], "no CRS that PROJ knows"),
        (["segment", "a.tif", "--layout", "flat"], "'flat' is not one of"),
        (["segment", "a.tif", "--min-area", "-1"], "-1"),
        (["segment", "a.tif", "--resolution", "0"], "0"),
        (["segment", "a.tif", "--workers", "0"], "0"),
    ],
)
def test_usage_errors_end_in_2_and_name_the_option(args, told, geosam):
    done = geosam(*args)
    if told is None:
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("Usage: geosam")
        return
    assert (done.code, done.out) == (2, "")
    assert told in done.error()
    for option in (arg for arg in args if arg.startswith("--") and arg != "--nonsense"):
        assert option in done.error()
    assert "--help" in done.error()


def test_the_help_of_every_command_loads_neither_numpy_nor_gdal_nor_proj():
    code = (
        "import sys; from geosam.apps.cli.main import cli, run; from geosam.apps.cli.report import Report; "
        "from geosam.apps.cli.signals import Signals\n"
        "for name in cli.commands: run([name, '--help'], Report(), Signals())\n"
        "sys.exit(str(heavy) if (heavy := {'numpy', 'rasterio', 'pyproj', 'shapely'} & set(sys.modules)) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(boundary.cli.commands)


def test_a_usage_error_is_json_as_well(geosam):
    done = geosam("segment", "--json", "a.tif", "--layout", "flat")
    assert done.json["exit_code"] == done.code == 2
    assert done.json["error"] == done.error()
    assert (done.json["code"], done.json["values"]) == ("usage-error", {})


def test_stdout_that_nobody_reads_is_no_error():
    process = subprocess.Popen(
        [*GEOSAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    process.stdout.close()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_stdout_that_is_full_ends_in_8(tiny):
    with Path("/dev/full").open("w") as full:
        command = [*GEOSAM, "info", str(tiny)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 8
    assert done.stderr.startswith("error: the result cannot be written to stdout")
    assert len(done.stderr.splitlines()) == 1


def in_ascii(*args):
    """Call the command where the terminal knows no more than ASCII."""
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    return subprocess.run([*GEOSAM, *args], capture_output=True, env=environment, check=False, timeout=60)


@pytest.mark.fault("R59")
def test_names_beyond_the_terminal_s_encoding(tiny):
    odd = tiny.rename(tiny.with_name("dört ünï 文件 #?%' Σ.tif"))
    for args in (["info", odd], ["info", "--json", odd]):
        done = in_ascii(*args)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"#?%'" in done.stdout
    assert json.loads(done.stdout)["scene"] == str(odd)


@pytest.mark.fault("R59")
def test_names_that_are_not_text(tiny):
    odd = os.fsencode(tiny.parent) + b"/caf\xe9.tif"
    os.rename(tiny, odd)  # noqa: PTH104 - no Path holds it
    for command, code in ((["info"], 3), (["info", "--json"], 3), (["evaluate", "x"], 4), (["nonsense"], 2)):
        done = in_ascii(*command, odd)
        assert done.returncode == code
        assert done.stderr.startswith(b"error: ")
        assert len(done.stderr.splitlines()) == 1
