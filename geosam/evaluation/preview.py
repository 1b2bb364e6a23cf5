"""Preview: a picture of polygons on their scene.

The scene is read once at the resolution of the picture, so the memory does not grow with its size. Polygons are painted
strip by strip on an enlarged copy of the picture, which is then reduced, so that outlines are smooth.
"""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from geosam.errors import UnknownFormat
from geosam.geometry.geobox import SNAP_PX
from geosam.geometry.measure import ground_sample_distance
from geosam.scene.views import square_scale
from geosam.vector.checks import check_existing, check_folder, check_inputs
from geosam.vector.polygons import PolygonLayer, polygon_part
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam._arrays import Geometries, Integers
    from geosam.geometry.geobox import GeoBox
    from geosam.scene import Scene

    Colour = tuple[int, int, int]

#: Colours that differ for every kind of colour vision (Okabe and Ito 2008), without the lightest and the black.
COLOURS: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
#: Subpixels along each side of a pixel.
_FINE = 3
#: Rows of the picture that are painted at once (a strip).
_STRIP_ROWS = 192
#: Polygons closer than this many pixels should differ in colour.
_NEAR_PX = 4
#: Opacity of the fill, of 255.
_FILL = 88
#: Widths of the outline and of its dark rim, subpixels.
_LINE, _RIM = 5, 8
#: Number of passes in which polygons change their colour if a neighbour has the same.
_PASSES = 4
#: Polygons with more vertices are not compared: they have so many neighbours that no colour is free.
_MOST_VERTICES = 2_000
#: Factor for the saturation of the scene, below 1 so that the colours of polygons stand out.
_SATURATION = 0.7
#: Colours of invalid pixels, and of the caption: background, text, and second line.
_INVALID: Colour = (52, 54, 58)
_PAPER, _INK, _DIM = (24, 26, 30), (238, 240, 242), (150, 156, 164)


def preview(scene: Scene, layer: PolygonLayer, *, size: int = 1600) -> Image.Image:
    """Draw polygons on the scene's region.

    Args:
        scene: the scene, whose stretch the picture shows.
        layer: polygons in any CRS.
        size: longest side of the picture in pixels, without the caption below it.

    Returns:
        An RGB image: the picture, and below it names, counts and a scale.

    Raises:
        CRSMismatch: a polygon has no place in the scene's CRS.
        UnreadableScene: the scene is damaged.
        UsageError: `size` is less than one pixel.
    """
    picture, grid = _picture(scene, size)
    _draw(picture, _in_pixels(layer, grid), layer.ids)
    noun = "polygon" if len(layer) == 1 else "polygons"
    source = Path(layer.source.split(", layer ")[0]).name
    return _with_legend(picture, (Path(scene.path).name, f"{len(layer):,} {noun}, {source}"), grid)


def write_picture(picture: Image.Image, out: Path) -> None:
    """Write a picture as PNG, complete or not at all.

    Raises:
        ExportError: the file cannot be written.
        DiskFull: no space is left for it.
    """
    with failures_reported(out), Staging(out) as staging:
        staged = staging.folder / out.name
        picture.save(staged, format="PNG")
        staging.publish([staged])


def check_picture(out: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a path where a picture cannot or must not be written.

    Args:
        out: path of the picture.
        inputs: files that must not be overwritten.
        overwrite: True to allow that an existing picture is replaced.

    Raises:
        UnknownFormat: the path does not end with .png.
        ExportError: its folder does not exist, or the file exists and must stay.
        UsageError: it is one of the inputs.
    """
    if out.suffix.lower() != ".png":
        raise UnknownFormat(
            f"the preview is no PNG: {out}: found {out.suffix or 'no extension'}, expected .png.",
            remedy="Choose a name that ends with .png.",
            code="preview-not-png",
        )
    check_folder(out)
    check_inputs(out, inputs)
    check_existing(Path(os.path.realpath(out)), overwrite=overwrite)  # a link is followed when the picture is written


def _picture(scene: Scene, size: int) -> tuple[Image.Image, GeoBox]:
    """Read the scene's region in muted colours, with pixels that are square on the ground.

    Returns:
        The picture, and its grid.
    """
    across, down = square_scale(scene, size)
    coarse = scene.zoom(across, down)
    tile = coarse.read(coarse.region)
    image = ImageEnhance.Color(Image.fromarray(tile.rgb.transpose(1, 2, 0))).enhance(_SATURATION)
    image.paste(_INVALID, mask=Image.fromarray(~tile.valid))
    longest = max(scene.region.width / across, scene.region.height / down)
    times = max(1, int(size / longest + SNAP_PX))  # a tiny scene is enlarged, so that its pixels can be seen
    grid = tile.geobox.zoom(1 / times, 1 / times)
    return image.resize((grid.width, grid.height), Image.Resampling.NEAREST), grid


def _in_pixels(layer: PolygonLayer, grid: GeoBox) -> Geometries:
    """Transform polygons (N,) to pixels of the picture; those outside it become empty, and fine detail is left out."""
    there = shapely.transform(layer.to_crs(grid.crs).polygons, grid.to_pixel)
    frame = shapely.box(-_RIM, -_RIM, grid.width + _RIM, grid.height + _RIM)
    clipped = polygon_part(shapely.intersection(there, frame))
    return np.asarray(shapely.simplify(clipped, 0.5 / _FINE))


def _colours(polygons: Geometries, ids: Integers) -> list[Colour]:
    """Choose a colour for every polygon: the one that its neighbours use least; among equals its id decides."""
    plain = np.flatnonzero(shapely.get_num_coordinates(polygons) <= _MOST_VERTICES)
    near = shapely.STRtree(polygons[plain]).query(polygons[plain], predicate="dwithin", distance=_NEAR_PX)
    neighbours: list[list[int]] = [[] for _ in polygons]
    for row, other in plain[near[:, near[0] != near[1]]].T.tolist():
        neighbours[row].append(other)
    chosen = np.full(len(polygons), -1)
    order = np.argsort(ids, kind="stable").tolist()
    for row in order * _PASSES:
        taken = chosen[neighbours[row]]
        uses = np.bincount(taken[taken >= 0], minlength=len(COLOURS))
        if chosen[row] < 0 or uses[chosen[row]]:
            first = int(ids[row]) * 3 % len(COLOURS)
            chosen[row] = min(range(len(COLOURS)), key=lambda colour: (uses[colour], (colour - first) % len(COLOURS)))
    return [COLOURS[colour] for colour in chosen]


def _draw(picture: Image.Image, polygons: Geometries, ids: Integers) -> None:
    """Paint the polygons on the picture, the largest first, so that none hides another."""
    visible = ~shapely.is_empty(polygons)
    polygons, ids = polygons[visible], ids[visible]
    colours = _colours(polygons, ids)
    order = np.lexsort((ids, -shapely.area(polygons)))
    ymin, ymax = shapely.bounds(polygons)[order][:, [1, 3]].T
    for top in range(0, picture.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, picture.height)
        fine = picture.crop((0, top, picture.width, bottom))
        fine = fine.resize((fine.width * _FINE, fine.height * _FINE), Image.Resampling.NEAREST)
        for row in order[(ymin < bottom + _RIM) & (ymax > top - _RIM)]:
            _paint(fine, polygons[row], colours[row], top)
        picture.paste(fine.reduce(_FINE), (0, top))


def _paint(fine: Image.Image, polygon: Any, colour: Colour, top: int) -> None:
    """Paint a polygon on a strip of the enlarged picture; the strip begins with row `top` of the picture."""
    draw = ImageDraw.Draw(fine, "RGBA")
    rings = [[_points(ring, top) for ring in shapely.get_rings(part)] for part in shapely.get_parts(polygon)]
    for shell, *holes in rings:
        if not holes:
            draw.polygon(shell, fill=(*colour, _FILL))
            continue
        # Pillow fills holes too, so a polygon with holes goes through a mask of its own.
        (x0, y0), (x1, y1) = np.clip([np.min(shell, axis=0), np.max(shell, axis=0) + 2], 0, fine.size).astype(int)
        if x0 < x1 and y0 < y1:
            mask = Image.new("L", (int(x1 - x0), int(y1 - y0)))
            for number, ring in enumerate((shell, *holes)):
                moved = [(x - x0, y - y0) for x, y in ring]
                ImageDraw.Draw(mask).polygon(moved, fill=0 if number else _FILL)
            fine.paste(colour, (int(x0), int(y0)), mask)
    dark = tuple(channel // 5 for channel in colour)  # a dark rim separates the outline from a ground of its colour
    for shade, width in ((dark, _RIM), (colour, _LINE)):
        for ring in itertools.chain.from_iterable(rings):
            draw.line(ring, fill=shade, width=width, joint="curve")


def _points(ring: Any, top: int) -> list[tuple[float, float]]:
    """Return vertices in the enlarged picture, where integers are the middles of pixels, as Pillow counts."""
    xy = (shapely.get_coordinates(ring) - (0, top)) * _FINE - 0.5
    return [(x, y) for x, y in xy.tolist()]


def _with_legend(picture: Image.Image, texts: tuple[str, str], grid: GeoBox) -> Image.Image:
    """Put the picture above a strip with the names on the left and a scale bar on the right."""
    size = min(max(picture.width // 90, 11), 18)
    pad, height, width = size, 4 * size, max(picture.width, 24 * size)
    sheet = Image.new("RGB", (width, picture.height + height), _PAPER)
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    length, label = _scale_bar(width / 5, ground_sample_distance(grid)[0])
    right, middle = width - pad, picture.height + height // 2
    draw.rectangle((right - length, middle + size * 0.5, right, middle + size * 0.5 + size // 4), fill=_INK)
    draw.text((right - length / 2, middle + size * 0.25), label, fill=_INK, font=font, anchor="mb")
    room = right - max(length, draw.textlength(label, font)) - 3 * pad
    for text, colour, y, anchor in ((texts[0], _INK, -0.2, "lb"), (texts[1], _DIM, 0.25, "lt")):
        draw.text((pad, middle + y * size), _shortened(text, room, font), fill=colour, font=font, anchor=anchor)
    return sheet


def _scale_bar(longest_px: float, metres_per_px: float) -> tuple[int, str]:
    """Choose the longest scale bar of 1, 2 or 5 times a power of ten metres that has room.

    Returns:
        Its length in pixels, and its label.
    """
    most = longest_px * metres_per_px
    power = 10.0 ** math.floor(math.log10(most))
    metres = max(step * power for step in (1, 2, 5) if step * power <= most)
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m" if metres >= 1 else f"{metres * 100:g} cm"
    return round(metres / metres_per_px), label


def _shortened(text: str, room: float, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Leave out the middle of a text that is longer than `room` pixels."""
    length = len(text)
    shortened = text
    while length > 1 and font.getlength(shortened) > room:
        length -= 1
        shortened = f"{text[: (length + 1) // 2]}…{text[len(text) - length // 2 :]}"
    return shortened
