"""The state of the worker: findings for the user, and a report to copy."""

from __future__ import annotations

import configparser
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qgis.core import Qgis
from qgis.PyQt.QtCore import QT_VERSION_STR, QProcessEnvironment

from geosam_qgis import protocol
from geosam_qgis.engine.environment import dropped, proxy_variables
from geosam_qgis.engine.locations import environments, find_worker, search_order
from geosam_qgis.settings import Settings
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.engine.client import WorkerClient

#: Free space below which a finding warns, in bytes.
LITTLE_SPACE = 1_000_000_000
#: Number of lines of the worker's output in a report, from the end.
_LAST_LINES = 40


class Finding(NamedTuple):
    """One fact about the worker, good or bad."""

    is_well: bool
    """True if it is as expected."""
    text: str
    """A sentence with the fact, and with the remedy if it is bad."""


class Diagnosis(NamedTuple):
    """All findings, and a report with every detail."""

    findings: list[Finding]
    """Findings, the most important first."""
    report: str
    """Plain text with every detail."""


def diagnose(client: WorkerClient, status: dict[str, Any] | None) -> Diagnosis:
    """Collect everything that can be known without waiting.

    Args:
        client: Client of the worker.
        status: The worker's answer to *status*; None without an answer.
    """
    findings = [*_worker_findings(client, status), *_model_findings(client.greeting or {}), *_space_findings()]
    sections = {
        tr("Findings"): [f"{'+' if finding.is_well else '!'} {finding.text}" for finding in findings],
        tr("Programs"): _programs(),
        tr("Places of the search for a worker"): _locations(),
        tr("Variables of QGIS that the worker does not get"): dropped(QProcessEnvironment.systemEnvironment()),
        tr("Proxy of QGIS"): [without_password(proxy_variables().get("HTTPS_PROXY", ""))],
        tr("The worker"): [client.program, *_lines(client.greeting), *_lines(status)],
        tr("Last ends of the worker"): _deaths(client),
        tr("Last output of the worker"): client.stderr.splitlines()[-_LAST_LINES:],
    }
    report = "\n\n".join(f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in sections.items())
    return Diagnosis(findings, report)


def without_password(address: str) -> str:
    """Return an address without its user and password, fit for a report."""
    return re.sub(r"//[^/@]*@", "//***@", address)


def plugin_version() -> str:
    """Return the version in metadata.txt."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(Path(__file__).parents[1] / "metadata.txt", encoding="utf-8")
    return metadata.get("general", "version", fallback="?")


def _worker_findings(client: WorkerClient, status: dict[str, Any] | None) -> Iterator[Finding]:
    command = find_worker()
    if command is None:
        path = Settings().worker
        text = tr("There is no worker at {}, the path in the settings.").format(path) if path else tr("No worker.")
        yield Finding(False, f"{text} " + tr("Press Install or Choose worker."))
        return
    yield Finding(True, tr("Worker: {} ({}).").format(" ".join([command.program, *command.arguments]), command.source))
    if client.greeting and status:
        text = tr("The worker runs: geosam {}, protocol {}.")
        yield Finding(True, text.format(client.greeting.get("geosam"), client.greeting.get("protocol")))
    elif client.deaths:
        yield Finding(False, client.deaths[-1].reason)
    else:
        yield Finding(False, tr("The worker has not answered yet."))


def _model_findings(greeting: dict[str, Any]) -> Iterator[Finding]:
    models = [model for model in greeting.get("models", []) if isinstance(model, dict)]
    ready = [str(model.get("name")) for model in models if model.get("ready")]
    if models:
        text = tr("Models with weights on this computer: {}.").format(", ".join(ready) or tr("none"))
        yield Finding(bool(ready), text)


def _space_findings() -> Iterator[Finding]:
    # installers unpack packages in the temporary folder, which is often on another disk
    for place in dict.fromkeys([_existing(environments()), Path(tempfile.gettempdir())]):
        free = shutil.disk_usage(place).free
        yield Finding(free > LITTLE_SPACE, tr("{:.1f} GB are free in {}.").format(free / 1e9, place))


def _programs() -> list[str]:
    return [
        f"QGIS {Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}, Python {platform.python_version()} ({sys.prefix})",
        f"geosam_qgis {plugin_version()}, protocol {protocol.VERSION}",
        platform.platform(),
    ]


def _locations() -> list[str]:
    return [
        f"{'+' if place.command else '-'} {place.source}: {place.path or tr('none')}"
        for place in search_order(Settings())
    ]


def _lines(answer: dict[str, Any] | None) -> list[str]:
    # the models have a finding of their own
    return [f"{name}: {value}" for name, value in (answer or {}).items() if name != "models"]


def _deaths(client: WorkerClient) -> list[str]:
    lines = []
    for death in client.deaths:
        lines.append(tr("{:.0f} s ago: {}").format(time.monotonic() - death.at, death.reason))
        lines += [f"  {line}" for line in death.stderr.splitlines()[-_LAST_LINES:]]
    return lines


def _existing(place: Path) -> Path:
    """Return the folder itself, or the nearest parent that exists."""
    return next(folder for folder in (place, *place.parents) if folder.exists())
