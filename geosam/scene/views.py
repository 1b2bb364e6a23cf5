"""Views of a scene for people: a line of text, a small picture, a card for notebooks, a plot."""

from __future__ import annotations

import base64
import html
import io
import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam.errors import GeosamError, UsageError
from geosam.geometry.geobox import SNAP_PX, Window, crs_name

if TYPE_CHECKING:
    from PIL.Image import Image

    from geosam.scene import Scene

#: Pixels whose sides differ by less than this share are shown as squares.
_SQUARE = 0.01
#: Most characters of a path that a line shows.
_PATH_CHARACTERS = 60
#: Longest side of the picture on a card (pixels), and most pixels that are read for it: a notebook must not wait.
_CARD_PX, _CARD_READ_PX = 384, 64e6


def headline(scene: Scene) -> str:
    """Describe a scene in one line."""
    name = scene.path if len(scene.path) <= _PATH_CHARACTERS else f"...{scene.path[-_PATH_CHARACTERS:]}"
    height, width = scene.shape
    bands = ", ".join(map(str, scene.bands))
    return f"Scene {name}: {width} x {height} px of {_sides(scene)} m, {crs_name(scene.crs)}, bands {bands}"


def square_scale(scene: Scene, size: int) -> tuple[float, float]:
    """Return the factors along x and y that make pixels square on the ground, and the region at most `size` px long.

    Pixels never become smaller than the shorter side of the scene's own pixels.

    Raises:
        UsageError: `size` is less than one pixel.
    """
    if size < 1:
        raise UsageError(
            f"the picture has no pixel: `size`: found {size}, expected at least 1.",
            remedy="Leave it out for a usual size.",
            code="size-below-one",
            size=size,
        )
    (gsd_x, gsd_y), region = scene.gsd_xy, scene.region
    if abs(gsd_x - gsd_y) < _SQUARE * gsd_x:  # no resampling for a difference that nobody sees
        gsd_y = gsd_x
    metres = max(max(region.width * gsd_x, region.height * gsd_y) / size, min(gsd_x, gsd_y))
    return metres / gsd_x, metres / gsd_y


def scaled(window: Window, scale_x: float, scale_y: float, whole: Window) -> Window:
    """Return the window that covers the same ground on a grid with larger pixels.

    Args:
        window: the window on the original grid.
        scale_x: width of the larger pixels, in original pixels.
        scale_y: their height.
        whole: all pixels of the larger grid, to which the result is clipped.
    """
    col, row = int(window.col_off / scale_x), int(window.row_off / scale_y)
    col_end = min(math.ceil(window.col_end / scale_x - SNAP_PX), whole.width)
    row_end = min(math.ceil(window.row_end / scale_y - SNAP_PX), whole.height)
    return Window(col, row, max(1, col_end - col), max(1, row_end - row))


def thumbnail(scene: Scene, size: int) -> Image:
    """Draw a scene; see :meth:`Scene.thumbnail`."""
    return _drawn(_coarse(scene, size))


def card(scene: Scene) -> str:
    """Describe a scene as HTML, with a picture if reading one is quick and succeeds."""
    height, width = scene.shape
    left, bottom, right, top = scene.bounds
    rows = {
        "size": f"{width} x {height} px of {_sides(scene)} m",
        "CRS": crs_name(scene.crs),
        "bounds": f"{left:.10g}, {bottom:.10g}, {right:.10g}, {top:.10g}",
        "bands": f"{', '.join(map(str, scene.bands))} ({scene.reader.plan.reason})",
    }
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
    return (
        f"<div><b>Scene</b> <code>{html.escape(Path(scene.path).name)}</code>"
        f"<table>{cells}</table>{_picture_tag(scene)}</div>"
    )


def plot(scene: Scene, ax: Any, size: int) -> Any:
    """Draw a scene on matplotlib axes; see :meth:`Scene.plot`."""
    try:
        pyplot, transforms = import_module("matplotlib.pyplot"), import_module("matplotlib.transforms")
    except ImportError:
        raise UsageError(
            "matplotlib is not installed.",
            remedy="Install it (pip install matplotlib), or show the picture of `thumbnail()`.",
            code="matplotlib-missing",
        ) from None
    coarse = _coarse(scene, size)
    axes = pyplot.subplots()[1] if ax is None else ax
    grid = coarse.geobox.crop(coarse.region)
    t = grid.transform
    # The affine moves the picture, so that rotated and sheared grids lie where they belong.
    placed = transforms.Affine2D.from_values(t.a, t.d, t.b, t.e, t.c, t.f) + axes.transData
    axes.imshow(_drawn(coarse), extent=(0, grid.width, grid.height, 0), transform=placed)
    left, bottom, right, top = grid.bounds
    axes.set(xlim=(left, right), ylim=(bottom, top), title=Path(scene.path).name)
    # With one metre per pixel on both axes the aspect is 1; in degrees it depends on the latitude.
    axes.set_aspect(t.a * coarse.gsd_xy[1] / -t.e / coarse.gsd_xy[0] if t.b == t.d == 0 and t.e else "equal")
    return axes


def _sides(scene: Scene) -> str:
    across, down = (f"{side:.3g}" for side in scene.gsd_xy)
    return across if across == down else f"{across} x {down}"


def _coarse(scene: Scene, size: int) -> Scene:
    return scene.zoom(*square_scale(scene, size))


def _drawn(scene: Scene) -> Image:
    image: Image = import_module("PIL.Image").fromarray(scene.read(scene.region).rgb.transpose(1, 2, 0))
    return image


def _picture_tag(scene: Scene) -> str:
    try:
        coarse = _coarse(scene, _CARD_PX)
        share = math.prod(coarse.shape) / math.prod(coarse.geobox.window.shape_hw)
        if coarse.reader.width * coarse.reader.height * share > _CARD_READ_PX:
            return "<p><code>thumbnail()</code> reads the whole file, which has no overview of a fitting size.</p>"
        picture = io.BytesIO()
        _drawn(coarse).save(picture, format="PNG")
    except GeosamError as error:  # a notebook shows the card of a damaged file, too
        return f"<p>{html.escape(str(error))}</p>"
    return f'<img src="data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}">'
