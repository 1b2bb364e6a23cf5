"""How the things of the demo scene look from above, one function for each kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy import ndimage
from shapely import LineString, Polygon
from shapely.affinity import rotate, scale, translate

from geosam.apps.demo.canvas import soften
from geosam.apps.demo.scene import long_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from shapely.geometry.base import BaseGeometry

    from geosam.apps.demo.canvas import Canvas
    from geosam.apps.demo.scene import Thing

    Floats = NDArray[np.float32]

#: Direction towards the sun seen from above (x right, y down), and how far a metre of height throws its shadow.
SUN = np.array([-0.64, 0.77])
SHADOW_PER_METRE = 0.95

#: Two colours, the distance of the rows in metres, how much they show, and whether wheels have left their tracks.
_CROPS = (
    ((208, 186, 122), (190, 164, 98), 0.8, 0.25, True),  # wheat
    ((84, 120, 56), (122, 108, 76), 1.5, 0.9, False),  # maize
    ((128, 102, 78), (104, 82, 62), 1.2, 0.8, False),  # ploughed
    ((142, 160, 88), (122, 144, 74), 9.0, 0.9, False),  # mown grass
    ((206, 192, 76), (182, 176, 70), 0.8, 0.2, True),  # rapeseed
    ((98, 128, 62), (76, 106, 52), 2.4, 0.6, True),  # beets
    ((196, 174, 130), (170, 144, 102), 4.2, 0.8, False),  # stubble
    ((166, 142, 112), (152, 128, 100), 0.9, 0.5, False),  # bare soil
)
_ROOFS = (
    (178, 98, 74), (154, 84, 66), (98, 100, 106), (132, 102, 84), (192, 114, 80), (116, 122, 132), (166, 90, 78),
)  # fmt: skip
_FLAT_ROOFS = ((172, 170, 164), (150, 156, 162), (188, 184, 174), (134, 132, 130))
_CARS = ((226, 226, 228), (40, 42, 46), (150, 154, 160), (150, 34, 34), (36, 66, 120), (198, 200, 204), (84, 88, 92))
_CROWNS = (((74, 104, 50), (112, 136, 66)), ((58, 88, 48), (90, 118, 60)), ((92, 112, 52), (134, 144, 70)))


def paint(canvas: Canvas, things: Sequence[Thing]) -> None:
    """Everything: the ground, what lies flat on it, the shadows, and what stands in the sun."""
    _meadow(canvas)
    for thing in things:
        if not thing.height:
            _FLAT[thing.kind](canvas, thing)
    for thing in things:
        for part in thing.parts or (thing.shape,):
            if thing.height:
                canvas.cast(_shadow(thing, part))
    dark = ndimage.gaussian_filter(canvas.shadow, 0.8)[..., None]
    canvas.rgb *= 1 - dark * np.array([0.64, 0.60, 0.50], np.float32)  # the sky still lights it, blue
    for thing in things:
        if thing.height:
            _RAISED[thing.kind](canvas, thing)


def _pick(choices: Sequence[Any], tone: float) -> Any:
    return choices[int(tone * len(choices))]


def _mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Floats:
    """Colours (3,) and a share (H, W) of the second -> texture (H, W, 3)."""
    weight = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    return np.asarray(np.asarray(first, np.float32) * (1 - weight) + np.asarray(second, np.float32) * weight)


def _lit(texture: ArrayLike, light: ArrayLike) -> Floats:
    """A colour or texture under light (H, W), 1 being full sun."""
    return np.asarray(np.asarray(texture, np.float32) * np.asarray(light, np.float32)[..., None])


def _meadow(canvas: Canvas) -> None:
    height, width = canvas.shadow.shape
    whole = canvas.patch(shapely.box(0, 0, width * canvas.pixel_m, height * canvas.pixel_m))
    if whole is not None:
        noise = whole.noise
        dry = 0.4 + 0.16 * noise["cloud"] + 0.12 * noise["patch"] + 0.06 * noise["clump"]
        canvas.paint(whole, _lit(_mix((96, 122, 66), (148, 148, 92), dry), 1 + 0.05 * noise["grain"]))


def _field(canvas: Canvas, thing: Thing) -> None:
    """Rows along the long side, across it on the headland, and the tracks of the sprayer."""
    one, other, spacing, depth, tracks = _pick(_CROPS, thing.tone)
    for shape, angle in ((thing.shape, thing.angle + math.pi / 2), (thing.shape.buffer(-7), thing.angle)):
        patch = canvas.patch(shape)
        if patch is None:
            continue
        noise, across = patch.noise, patch.across(angle)
        wave = np.cos(math.tau * (across + 0.06 * noise["patch"]) / spacing)
        if spacing > 3:
            wave = np.tanh(4 * wave)
        share = 0.5 + depth * 0.35 * wave + 0.10 * noise["patch"] + 0.10 * noise["cloud"] + 0.05 * noise["clump"]
        light = 1 + 0.03 * noise["cloud"] + 0.035 * noise["grain"]
        if tracks:
            light = light - 0.16 * (np.abs(np.abs(across % 18 - 9) - 0.9) < 0.22)
        canvas.paint(patch, _lit(_mix(one, other, share), light))


def _bank(canvas: Canvas, thing: Thing) -> None:
    patch = canvas.patch(thing.shape)
    if patch is not None:
        reeds = 0.5 + 0.35 * patch.noise["patch"] + 0.2 * patch.noise["clump"]
        canvas.paint(patch, _mix((84, 100, 56), (134, 126, 88), reeds), soften(np.ones_like(patch.alpha), 1))


def _water(canvas: Canvas, thing: Thing) -> None:
    """Darker where it is deep."""
    patch = canvas.patch(thing.shape)
    if patch is not None:
        deep = np.clip(1.6 * soften(patch.alpha, 1.6 / canvas.pixel_m) - 0.6, 0, 1)
        ripples = 1 + 0.015 * patch.noise["grain"] + 0.02 * patch.noise["patch"]
        canvas.paint(patch, _lit(_mix((104, 118, 96), (52, 84, 92), deep), ripples))


def _pool(canvas: Canvas, thing: Thing) -> None:
    canvas.fill(thing.shape.buffer(0.6, join_style="mitre"), (206, 200, 188))
    patch = canvas.patch(thing.shape)
    if patch is not None:
        canvas.paint(patch, _lit((92, 184, 204), 1 + 0.04 * patch.noise["clump"]))


def _plain(colour: ArrayLike, rough: float, patchy: float) -> Callable[[Canvas, Thing], None]:
    """How a kind of one colour is drawn; the roughness and patchiness are shares of its brightness."""

    def draw(canvas: Canvas, thing: Thing) -> None:
        patch = canvas.patch(thing.shape)
        if patch is not None:
            light = 1 + rough * patch.noise["grain"] + patchy * patch.noise["patch"]
            canvas.paint(patch, _lit(colour, light))

    return draw


def _lawn(canvas: Canvas, thing: Thing) -> None:
    patch = canvas.patch(thing.shape)
    if patch is not None:
        noise = patch.noise
        stripes = np.sign(np.sin(math.tau * patch.across(thing.angle) / 2.4)) if thing.tone < 0.4 else 0.0
        dry = thing.tone * 0.5 + 0.15 * noise["patch"] + 0.1 * noise["cloud"]
        light = 1 + 0.04 * noise["grain"] + 0.04 * noise["clump"] + 0.03 * stripes
        canvas.paint(patch, _lit(_mix((104, 142, 68), (142, 160, 86), dry), light))


def _bed(canvas: Canvas, thing: Thing) -> None:
    """Vegetables in rows on brown soil."""
    patch = canvas.patch(thing.shape)
    if patch is not None:
        rows = 0.45 + 0.5 * np.cos(math.tau * patch.across(thing.angle) / 1.4) + 0.25 * patch.noise["clump"]
        canvas.paint(patch, _mix((122, 96, 72), (92, 132, 62), rows))


def _road(canvas: Canvas, thing: Thing) -> None:
    _plain((124, 124, 126), 0.035, 0.02)(canvas, thing)
    canvas.fill(shapely.union_all(thing.parts), (226, 226, 220), 0.85)


def _shadow(thing: Thing, part: BaseGeometry) -> BaseGeometry:
    """The ground that a part of a thing shades: what lies between its outline and its upper edge on the ground."""
    reach = -SUN * SHADOW_PER_METRE * thing.height
    if thing.kind == "tree":  # the crown begins above the ground
        crowns = [translate(part, *(reach * share)) for share in (0.25, 0.75)]
        return shapely.union_all(crowns).convex_hull
    raised = [part, translate(part, *(reach * (0.62 if thing.kind == "house" else 1)))]
    if thing.kind == "house":
        raised.append(translate(_ridge(part), *reach))
    return shapely.union_all(raised).convex_hull


def _corners(rectangle: Polygon) -> NDArray[np.float64]:
    """(4, 2) corners, the first two at one end of the rectangle's long axis."""
    ring = shapely.get_coordinates(rectangle)[:4]
    return ring if math.dist(ring[0], ring[1]) < math.dist(ring[1], ring[2]) else np.roll(ring, -1, axis=0)


def _ridge(rectangle: Polygon) -> LineString:
    a, b, c, d = _corners(rectangle)
    return LineString([(a + b) / 2, (c + d) / 2])


def _house(canvas: Canvas, thing: Thing) -> None:
    """Gabled roofs: two faces each, one more in the sun than the other."""
    tiles = np.array(_pick(_ROOFS, thing.tone), np.float32)
    canvas.fill(thing.shape, tiles * 0.66)  # the gutter
    for wing in thing.parts:
        a, b, c, d = _corners(wing.buffer(-0.22, join_style="mitre"))
        top, end = (a + b) / 2, (c + d) / 2
        for face, outward in (((a, top, end, d), a - top), ((b, top, end, c), b - top)):
            towards = float(outward @ SUN) / math.hypot(*outward)
            patch = canvas.patch(Polygon(face))
            if patch is not None:
                rows = np.cos(math.tau * patch.across(long_axis(wing)) / 0.7)
                light = 0.92 + 0.10 * towards + 0.02 * rows + 0.03 * patch.noise["grain"] + 0.02 * patch.noise["patch"]
                canvas.paint(patch, _lit(tiles, light))
        canvas.fill(LineString([top, end]).buffer(0.16, cap_style="flat"), tiles * 1.12)
    _chimney(canvas, thing)


def _chimney(canvas: Canvas, thing: Thing) -> None:
    spot = _ridge(thing.parts[-1]).interpolate(0.3 + 0.4 * thing.tone, normalized=True)
    block = spot.buffer(0.45, cap_style="square")
    canvas.fill(shapely.union_all([block, translate(block, *(-SUN * 1.3))]).convex_hull, (40, 34, 36), 0.5)
    canvas.fill(block, (176, 164, 154))


def _hall(canvas: Canvas, thing: Thing) -> None:
    """A flat roof with an edge; sheets where it is large, and a cone of light where it is round."""
    colour = np.array(_pick(_FLAT_ROOFS, thing.tone), np.float32)
    canvas.fill(thing.shape, colour * 1.1)
    patch = canvas.patch(thing.shape.buffer(-0.35, join_style="mitre"))
    if patch is None:
        return
    light = 0.97 + 0.02 * patch.noise["grain"] + 0.02 * patch.noise["patch"]
    if len(shapely.get_coordinates(thing.shape)) > 5:
        x, y = thing.shape.centroid.coords[0]
        dx, dy = patch.x - x, patch.y - y
        light = light + 0.12 * (dx * SUN[0] + dy * SUN[1]) / np.maximum(np.hypot(dx, dy), 0.1)
    else:
        light = light + 0.025 * np.sign(np.sin(math.tau * patch.across(thing.angle) / 2.0))
    canvas.paint(patch, _lit(colour, light))


def _car(canvas: Canvas, thing: Thing) -> None:
    colour, angle = np.array(_pick(_CARS, thing.tone), np.float32), long_axis(thing.shape)
    canvas.fill(thing.shape, colour)
    for length, width, paint_of_part in ((0.66, 0.80, (34, 38, 44)), (0.40, 0.72, colour * 0.95)):
        upright = rotate(thing.shape, -angle, use_radians=True)
        canvas.fill(rotate(scale(upright, length, width), angle, use_radians=True), paint_of_part)


def _hedge(canvas: Canvas, thing: Thing) -> None:
    patch = canvas.patch(thing.shape)
    if patch is not None:
        canvas.paint(patch, _lit((74, 102, 52), 1 + 0.16 * patch.noise["clump"] + 0.05 * patch.noise["grain"]))


def _tree(canvas: Canvas, thing: Thing) -> None:
    """A bumpy ball of leaves, lit from the side of the sun."""
    patch = canvas.patch(thing.shape)
    if patch is not None:
        (x, y), radius = thing.shape.centroid.coords[0], math.sqrt(thing.shape.area / math.pi)
        dx, dy = (patch.x - x) / radius, (patch.y - y) / radius
        slope = dx * SUN[0] + dy * SUN[1]
        light = 0.86 + 0.24 * slope + 0.15 * np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1)) + 0.15 * patch.noise["clump"]
        shade, sun = _pick(_CROWNS, thing.tone)
        leaves = 0.45 + 0.35 * slope + 0.3 * patch.noise["clump"]
        canvas.paint(patch, _lit(_mix(shade, sun, leaves), light))


_FLAT: dict[str, Callable[[Canvas, Thing], None]] = {
    "field": _field,
    "bank": _bank,
    "water": _water,
    "lawn": _lawn,
    "yard": _plain((172, 164, 150), 0.05, 0.05),
    "terrace": _plain((184, 174, 160), 0.03, 0.02),
    "bed": _bed,
    "pool": _pool,
    "kerb": _plain((168, 164, 158), 0.03, 0.02),
    "road": _road,
    "drive": _plain((158, 154, 150), 0.03, 0.03),
}
_RAISED: dict[str, Callable[[Canvas, Thing], None]] = {
    "hedge": _hedge,
    "car": _car,
    "hall": _hall,
    "house": _house,
    "tree": _tree,
}
