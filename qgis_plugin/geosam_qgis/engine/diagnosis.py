"""What is the matter with the worker: findings for people, and a report to be copied."""

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
from geosam_qgis.engine.locations import environments, find_worker, places
from geosam_qgis.settings import Settings
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.engine.client import WorkerClient

#: With less space than this, in bytes, something will fail soon.
LITTLE_SPACE = 1_000_000_000


class Finding(NamedTuple):
    """One thing that was looked at."""

    is_well: bool
    """Whether it is as it should be."""
    text: str
    """What was found, and the remedy if it is not."""


class Diagnosis(NamedTuple):
    """All that is known."""

    findings: list[Finding]
    """The most important first."""
    report: str
    """Plain text, with everything."""


def diagnose(client: WorkerClient, status: dict[str, Any] | None) -> Diagnosis:
    """Look at everything that can be seen without waiting.

    Args:
        client: The worker in question.
        status: Its answer to *status*; None if there is none.
    """
    findings = [*_worker_findings(client, status), *_model_findings(client.greeting or {}), *_space_findings()]
    sections = {
        tr("Findings"): [f"{'+' if finding.is_well else '!'} {finding.text}" for finding in findings],
        tr("Programs"): _programs(),
        tr("Where a worker was looked for"): _places(),
        tr("Variables of QGIS that the worker does not get"): dropped(QProcessEnvironment.systemEnvironment()),
        tr("Proxy of QGIS"): [without_password(proxy_variables().get("HTTPS_PROXY", ""))],
        tr("The worker"): [client.program, *_known(client.greeting), *_known(status)],
        tr("How it ended lately"): _deaths(client),
        tr("What it printed last"): client.stderr.splitlines()[-40:],
    }
    report = "\n\n".join(f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in sections.items())
    return Diagnosis(findings, report)


def without_password(address: str) -> str:
    """An address that may be shown to others."""
    return re.sub(r"//[^/@]*@", "//***@", address)


def plugin_version() -> str:
    """As metadata.txt says."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(Path(__file__).parents[1] / "metadata.txt", encoding="utf-8")
    return metadata.get("general", "version", fallback="?")


def _worker_findings(client: WorkerClient, status: dict[str, Any] | None) -> Iterator[Finding]:
    command = find_worker()
    if command is None:
        named = Settings().worker
        text = tr("There is no worker at {}, which the settings name.").format(named) if named else tr("No worker.")
        yield Finding(False, f"{text} " + tr("Install one, or choose one."))
        return
    yield Finding(True, tr("Worker: {} ({}).").format(" ".join([command.program, *command.arguments]), command.source))
    if client.greeting and status:
        text = tr("It runs: geosam {}, protocol {}.")
        yield Finding(True, text.format(client.greeting.get("geosam"), client.greeting.get("protocol")))
    elif client.deaths:
        yield Finding(False, client.deaths[-1].reason)
    else:
        yield Finding(False, tr("It has not answered yet."))


def _model_findings(greeting: dict[str, Any]) -> Iterator[Finding]:
    models = [model for model in greeting.get("models", []) if isinstance(model, dict)]
    ready = [str(model.get("name")) for model in models if model.get("ready")]
    if models:
        text = tr("Models whose weights are here: {}.").format(", ".join(ready) or tr("none"))
        yield Finding(bool(ready), text)


def _space_findings() -> Iterator[Finding]:
    for place in dict.fromkeys([_existing(environments()), Path(tempfile.gettempdir())]):
        free = shutil.disk_usage(place).free
        yield Finding(free > LITTLE_SPACE, tr("{:.1f} GB are free in {}.").format(free / 1e9, place))


def _programs() -> list[str]:
    return [
        f"QGIS {Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}, Python {platform.python_version()} ({sys.prefix})",
        f"geosam_qgis {plugin_version()}, protocol {protocol.VERSION}",
        platform.platform(),
    ]


def _places() -> list[str]:
    return [
        f"{'+' if look.command else '-'} {look.source}: {look.path or tr('not given')}" for look in places(Settings())
    ]


def _known(answer: dict[str, Any] | None) -> list[str]:
    return [f"{name}: {value}" for name, value in (answer or {}).items() if name != "models"]


def _deaths(client: WorkerClient) -> list[str]:
    lines = []
    for death in client.deaths:
        lines.append(tr("{:.0f} s ago: {}").format(time.monotonic() - death.at, death.reason))
        lines += [f"  {line}" for line in death.stderr.splitlines()[-40:]]
    return lines


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest one above that is there."""
    return next(folder for folder in (place, *place.parents) if folder.exists())
