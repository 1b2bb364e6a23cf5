"""The scene of a call, opened as the options say."""

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
    """Open a scene, report its warnings, and close it in the end.

    Options about the scene leave `options`: a call that gets an open scene takes none of them.
    """
    from geosam.scene import open_scene

    # Opened here and not by the door, so that its warnings are read before a long run begins.
    opening = values_for(OPENING, {option.name: options.pop(option.name) for option in OPENING})
    with closing(open_scene(path, **opening)) as scene:
        report.warn(scene.warnings)
        yield scene
