"""The journal of unfinished runs: what survives, who may use it."""

import sqlite3
import subprocess
import sys

import pytest

from geosam.errors import ExportError, JournalMismatch, LockHeld
from geosam.run.journal import Journal


def test_results_survive_and_vanish_with_the_journal(tmp_path):
    out = tmp_path / "out.gpkg"
    with Journal(out, {"a": 1}) as journal:
        journal.record(3, b"three")
        journal.record(1, b"one")
    with Journal(out, {"a": 1}) as journal:
        assert list(journal.results()) == [(1, b"one"), (3, b"three")]
        assert journal.numbers() == {1, 3}
        assert len(journal) == 2
        journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_results_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Journal(tmp_path / "out.gpkg", {}):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("F02")
def test_another_identity_is_refused_naming_the_fields(tmp_path):
    out = tmp_path / "out.gpkg"
    with Journal(out, {"model": "a", "tile": 1, "long": "x" * 90}) as journal:
        journal.record(1, b"")
    with pytest.raises(JournalMismatch, match='model was "a" and is "b"') as refused:
        Journal(out, {"model": "b", "tile": 1, "long": "x" * 90})
    assert str(out) in str(refused.value)
    assert "tile" not in str(refused.value).replace("`restart=True`", "")
    with Journal(out, {"model": "a", "tile": 1, "long": "x" * 90}) as journal:
        assert len(journal) == 1
    with Journal(out, {"model": "b"}, restart=True) as journal:
        assert len(journal) == 0


@pytest.mark.fault("F21", "O28")
def test_the_lock_is_held_by_the_process_and_vanishes_with_it(tmp_path):
    out = tmp_path / "out.gpkg"
    code = """
import os, sys
from pathlib import Path
from geosam.run.journal import Journal
journal = Journal(Path(sys.argv[1]), {})
journal.record(1, b"kept")
print("ready", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(LockHeld, match=r"out\.gpkg"):
            Journal(out, {})
        holder.kill()
    with Journal(out, {}) as journal:
        assert list(journal.results()) == [(1, b"kept")]


def test_a_damaged_journal_is_named_with_the_remedy(tmp_path):
    (tmp_path / ".out.gpkg.journal").write_bytes(b"no database at all" * 100)
    with pytest.raises(ExportError, match=r"\.out\.gpkg\.journal.*Delete"):
        Journal(tmp_path / "out.gpkg", {})


def test_published_is_remembered(tmp_path):
    with Journal(tmp_path / "out.gpkg", {}) as journal:
        journal.record(1, b"")
        assert not journal.published
        journal.mark_published()
    with Journal(tmp_path / "out.gpkg", {}) as journal:
        assert journal.published


def test_every_result_is_on_disk_when_record_returns(tmp_path):
    journal = Journal(tmp_path / "out.gpkg", {})
    journal.record(5, b"five")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob(".out*"):
        (copy / file.name).write_bytes(file.read_bytes())
    with sqlite3.connect(copy / ".out.gpkg.journal") as database:
        assert database.execute("SELECT result FROM tasks").fetchall() == [(b"five",)]
    database.close()
    journal.remove()
