"""``geosam models download``, ``verify`` and ``path``: the checkpoints on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.reporting import report_options
from geosam.errors import CheckpointError, CheckpointNotFound, UnreadableCheckpoint

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report

_UNVERIFIED = "not verified: no attested hash"


@click.command(short_help="Download checkpoints.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@report_options
@click.pass_obj
def download(report: Report, names: tuple[str, ...]) -> None:
    """Download the checkpoints of the models NAME..., unless they are present.

    Every file is compared with the hash in the manifest. An interrupted download continues where it stopped.
    """
    from geosam.segmenters.weights import download as downloads
    from geosam.segmenters.weights.manifest import official

    chosen = [official(name) for name in names]  # a misspelt name stops the call before the first download
    rows: list[dict[str, Any]] = []
    for checkpoint in chosen:
        report.note(f"{checkpoint.name}: {checkpoint.url}")
        with _progress(report, checkpoint.name) as progress:
            place = downloads.download(checkpoint.name, progress)
        rows.append({"name": checkpoint.name, "path": str(place), "verified": checkpoint.sha256 is not None})
        # After each checkpoint: an error in the next one must not hide the finished ones.
        report.result({"checkpoints": rows}, [str(place)])


@click.command(short_help="Hash checkpoints and compare them with the manifest.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@report_options
@click.pass_obj
def verify(report: Report, names: tuple[str, ...]) -> None:
    """Compare the checkpoints of the models NAME..., or all that are present, with the hashes in the manifest."""
    from geosam.segmenters.weights import folder as checkpoints
    from geosam.segmenters.weights.manifest import manifest, official

    folder = checkpoints.checkpoint_folder()
    present = (checkpoint for checkpoint in manifest.values() if checkpoints.is_there(folder / checkpoint.file))
    chosen = [official(name) for name in names] or list(present)
    if not chosen:
        report.note(f"no checkpoints in {folder}")
    problems: list[CheckpointError] = []
    rows = []
    for checkpoint in chosen:
        state, problem = "verified" if checkpoint.sha256 else _UNVERIFIED, None
        try:
            checkpoints.checkpoint_path(checkpoint.name, afresh=True)  # hashes the file even if it was verified before
        except CheckpointError as error:
            problems.append(error)
            state, problem = "missing" if isinstance(error, CheckpointNotFound) else "damaged", str(error)
        rows.append({"name": checkpoint.name, "path": str(folder / checkpoint.file), "state": state, "error": problem})
    report.result({"checkpoints": rows}, (f"{row['name']}  {row['error'] or row['state']}" for row in rows))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UnreadableCheckpoint(
            f"{len(problems)} of {len(chosen)} checkpoints are missing or damaged: {folder}.",
            remedy="Download them again.",
            code="checkpoints-damaged",
            count=len(problems),
            folder=folder,
        )


@click.command(short_help="Print where a checkpoint lies.")
@click.argument("name")
@report_options
@click.pass_obj
def path(report: Report, name: str) -> None:
    """Print the path of the checkpoint of the model NAME, after it is verified."""
    from geosam.segmenters.weights.folder import checkpoint_path

    place = str(checkpoint_path(name))
    report.result({"path": place}, [place])


@contextmanager
def _progress(report: Report, name: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function ``progress(bytes done, bytes in all)`` that draws a bar, or None without a terminal."""
    if not report.draws:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=None)

        def update(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total or None)

        yield update
