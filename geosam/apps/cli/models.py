"""``geosam models``: the models by name, and their checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.checkpoints import download, path, verify
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.report import Report

if TYPE_CHECKING:
    from geosam.segmenters.weights.manifest import Checkpoint


@click.group(invoke_without_command=True, short_help="List the models; download and verify checkpoints.")
@report_options
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models for `geosam segment --model`, the default first, and manage their checkpoints.

    Checkpoints lie in the user's cache folder, or in the folder that the environment variable GEOSAM_CHECKPOINTS
    names. You may copy files there yourself, under their official names.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Report))


@models.command("list", short_help="List the models.")
@report_options
@click.pass_obj
def list_models(report: Report) -> None:
    """List the models, the default first, and show which checkpoints are present."""
    _list(report)


for command in (download, verify, path):
    models.add_command(command)


def _list(report: Report) -> None:
    from geosam.segmenters.registry import registry

    report.warn(registry.warnings)
    facts = list(_facts())
    width = max(len(model["name"]) for model in facts)
    report.result({"models": facts}, (f"{model['name']:{width}}  {_line(model)}" for model in facts))


def _facts() -> Iterator[dict[str, Any]]:
    """Yield the registered models in their order, then the checkpoints that no model uses yet."""
    from geosam.segmenters.registry import registry
    from geosam.segmenters.weights.manifest import manifest

    for name, info in registry.items():
        checkpoint = _checkpoint(manifest[name]) if name in manifest else None
        yield {
            "name": name,
            "description": info.description,
            "devices": list(info.devices),
            "checkpoint": checkpoint,
        }
    for name, entry in manifest.items():
        if name not in registry:
            text = "checkpoint only, no model of this version runs it"
            yield {"name": name, "description": text, "devices": [], "checkpoint": _checkpoint(entry)}


def _checkpoint(entry: Checkpoint) -> dict[str, Any]:
    from geosam.segmenters.weights.folder import checkpoint_folder, is_there

    place = checkpoint_folder() / entry.file
    return {
        "path": str(place),
        "present": is_there(place),
        "bytes": place.stat().st_size if is_there(place) else entry.bytes,
        "sha256": entry.sha256,
        "attested": entry.attested,
        "licence": entry.licence,
        "url": entry.url,
    }


def _line(model: dict[str, Any]) -> str:
    devices, checkpoint = ", ".join(model["devices"]), model["checkpoint"]
    line = f"{model['description']} ({devices})" if devices else str(model["description"])
    if checkpoint is None:
        return line
    size = f", {checkpoint['bytes'] / 1e6:,.0f} MB" if checkpoint["bytes"] else ""
    return f"{line} [{'present' if checkpoint['present'] else 'not downloaded'}{size}]"
