"""The scene of a call, opened with the options of the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from geosam.options import OPENING, values_for

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.scene import Scene


@contextmanager
def opened_scene(report: Report, path: str, options: dict[str, Any]) -> Iterator[Scene]:
    """Open a scene, report its warnings, and close it at the end.

    Removes the options about the scene from `options`: the library does not accept them together with an open scene.
    """
    from geosam.scene import open_scene

    # Opened here and not by `geosam.api`, so that its warnings are printed before a long run begins.
    opening = values_for(OPENING, {option.name: options.pop(option.name) for option in OPENING})
    with closing(open_scene(path, **opening)) as scene:
        report.warn(scene.warnings)
        yield scene
