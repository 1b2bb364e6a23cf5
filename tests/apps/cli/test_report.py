"""The report of a call: each thing once, each on its own stream."""

import io
import json
import logging
import sys

import pytest

from geosam.apps.cli.report import Failure, Report


@pytest.fixture
def report():
    return Report()


def test_a_note_is_one_line_on_stderr_unless_it_is_not_asked_for(report, capsys):
    report.note("two\nlines")
    assert capsys.readouterr() == ("", "two lines\n")
    report.quiet = True
    report.note("hidden")
    report.quiet, report.json = False, True
    report.note("hidden")
    assert capsys.readouterr() == ("", "")


def test_what_modules_log_is_a_warning_or_a_note(report, capsys):
    logger = logging.getLogger("geosam.some.module")
    with report.logged():
        logger.warning("first")
        logger.warning("first")
        logger.info("by the way")
        logger.debug("never")
    logger.info("after the call")
    assert capsys.readouterr().err == "warning: first\nby the way\n"


def test_a_logger_is_left_as_it_was(report):
    logger = logging.getLogger("geosam")
    before = logger.level, list(logger.handlers)
    with pytest.raises(ZeroDivisionError), report.logged():
        raise ZeroDivisionError
    assert (logger.level, logger.handlers) == before


def test_results_add_up(report, capsys):
    report.result({"a": 1}, ["one"])
    report.result({"b": 2}, ["two"])
    report.close(0, None)
    assert capsys.readouterr().out == "one\ntwo\n"
    report.json = True
    report.close(0, None)
    assert json.loads(capsys.readouterr().out) == {"a": 1, "b": 2, "warnings": [], "exit_code": 0}


def test_a_failure_keeps_what_was_found_before_it(report, capsys):
    report.json = True
    report.result({"count": 3})
    report.close(7, Failure("some tiles\nfailed.", "partial-result", {"tiles": (1, 2)}))
    out, err = capsys.readouterr()
    assert err == "error: some tiles failed.\n"
    outcome = json.loads(out)
    assert (outcome["count"], outcome["exit_code"], outcome["values"]) == (3, 7, {"tiles": [1, 2]})


def test_no_bar_is_drawn_where_nobody_watches(report):
    with report.progress() as progress:
        assert progress is None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_drawn_on_a_terminal_and_wiped(report, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with report.progress() as progress:
        for done in range(4):
            progress(done, 3)
    assert "tiles" in terminal.getvalue()
    report.quiet = True
    with report.progress() as progress:
        assert progress is None
