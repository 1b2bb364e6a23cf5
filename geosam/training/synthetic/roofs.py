"""Buildings of synthetic scenes under roofs from rusty iron to concrete terraces, each an object of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from shapely.affinity import translate

from geosam.training.synthetic.palette import lit, mix, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from geosam._arrays import Singles
    from geosam.training.synthetic.canvas import Canvas, Frame, Patch


_RUST = ((138, 92, 68), (118, 84, 66), (150, 112, 86), (108, 78, 64))
_METAL = ((168, 168, 166), (190, 190, 188), (142, 146, 150), (212, 212, 210), (176, 170, 160), (122, 122, 122))
_PAINTED = (
    (150, 62, 64), (126, 50, 56), (172, 84, 70), (58, 96, 150), (74, 112, 160), (150, 166, 142), (92, 120, 98),
    (178, 146, 110), (104, 88, 80), (196, 120, 84),
)  # fmt: skip
_TILES = ((168, 98, 72), (148, 92, 74), (184, 112, 78), (124, 84, 68), (138, 108, 88), (108, 74, 62))
_SHINGLES = ((112, 108, 104), (90, 88, 88), (130, 120, 110), (140, 132, 124), (98, 86, 78), (76, 76, 82))
_CONCRETE = ((172, 166, 154), (150, 144, 134), (190, 184, 172), (134, 130, 124), (204, 200, 192), (160, 148, 130))
_CLUTTER = ((40, 40, 44), (36, 62, 110), (226, 226, 226), (38, 110, 100), (150, 70, 50), (90, 84, 78), (60, 56, 52))

FORMS = ("flat", "shed", "gable", "hip")
MATERIALS = ("rust", "metal", "painted", "tiles", "shingles", "concrete")


class Wing(NamedTuple):
    """Rectangle of a building, in the axes of the building, pixels."""

    u: float
    v: float
    half_u: float
    half_v: float

    def cut(self, rng: np.random.Generator) -> tuple[Wing, Wing]:
        """Cut it across its longer side into two."""
        share = rng.uniform(0.35, 0.65)
        if self.half_u > self.half_v:
            near, far = self.half_u * share, self.half_u * (1 - share)
            return self._replace(u=self.u - far, half_u=near), self._replace(u=self.u + near, half_u=far)
        near, far = self.half_v * share, self.half_v * (1 - share)
        return self._replace(v=self.v - far, half_v=near), self._replace(v=self.v + near, half_v=far)


class Roof(NamedTuple):
    """Form, material and slope of a roof."""

    form: str
    """One of FORMS."""
    material: str
    """One of MATERIALS."""
    colour: Singles
    """Colour (3,) from 0 to 255."""
    pitch: float
    """Rise per pixel."""
    eaves: float
    """Height of the walls, pixels."""


class _Faces(NamedTuple):
    """Surface of a roof as seen from above, each (H, W)."""

    alpha: Singles
    height: Singles
    """Height above the ground, pixels."""
    slope_u: Singles
    slope_v: Singles
    edge: Singles
    """Distance inward from the nearest edge of the wing, pixels."""


def draw_roof(canvas: Canvas, soil: Singles, habits: ArrayLike) -> Roof:
    """Draw a roof of a district; `habits` is the probability (6,) of each of `MATERIALS`."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    material = MATERIALS[rng.choice(len(MATERIALS), p=np.asarray(habits))]
    colours = (_RUST, _METAL, _PAINTED, _TILES, _SHINGLES, _CONCRETE)[MATERIALS.index(material)]
    colour = pick(colours, rng, 0.12)
    if rng.random() < 0.25:
        colour = mix(colour, soil * rng.uniform(0.85, 1.15), rng.uniform(0.3, 0.9))
    forms = {"concrete": (0.92, 0.08, 0, 0), "rust": (0.05, 0.3, 0.55, 0.1), "metal": (0.15, 0.3, 0.45, 0.1)}
    form = FORMS[rng.choice(4, p=forms.get(material, (0.03, 0.07, 0.55, 0.35)))]
    pitch = rng.uniform(0.12, 0.6) * (0.5 if form == "shed" else 1)
    return Roof(form, material, colour, float(pitch), float(rng.uniform(2.2, 4.0) * rng.choice([1, 1, 2, 3]) * metre))


def building(canvas: Canvas, frame: Frame, wings: Sequence[Wing], roof: Roof, court: Wing | None = None) -> bool:
    """Paint a building if the ground is free.

    Args:
        canvas: the canvas.
        frame: axes of the building.
        wings: its rectangles, which overlap or touch; sloped roofs meet in valleys.
        roof: the roof over all of them.
        court: rectangle in the middle that stays open.

    Returns:
        True if the ground was free.
    """
    outline = shapely.union_all([frame.box(*wing) for wing in wings])
    patch = canvas.patch(outline.bounds)
    if patch is None:
        return False
    u, v = frame.axes(patch)
    faces = _faces(u, v, wings, roof)
    if court is not None:
        gap = _box(u - court.u, v - court.v, court.half_u, court.half_v)
        faces = faces._replace(alpha=faces.alpha * (1 - gap))
    if not canvas.claim(patch, faces.alpha):
        return False
    _facades(canvas, frame, wings, roof)  # before the roof, which covers their upper end
    texture = _texture(canvas, patch, u, v, roof)
    if canvas.rng.random() < 0.15:  # some roofs were laid in two parts
        seam = canvas.rng.normal(0, wings[0].half_u / 2)
        texture = lit(texture, 1 + np.float32(canvas.rng.normal(0, 0.15)) * (u > seam))
    cos, sin = math.cos(frame.angle), math.sin(frame.angle)
    slope_x, slope_y = faces.slope_u * cos - faces.slope_v * sin, faces.slope_u * sin + faces.slope_v * cos
    light = canvas.light(slope_x, slope_y)
    rim = canvas.rng.normal(0, 0.16)
    light = light * (1 + np.float32(rim) * np.clip(1.6 - faces.edge, 0, 1))
    canvas.paint(patch, faces.alpha, lit(texture, light), height=faces.height, number=canvas.number())
    if roof.form == "flat":
        _clutter(canvas, frame, wings, roof, court)
    return True


def _facades(canvas: Canvas, frame: Frame, wings: Sequence[Wing], roof: Roof) -> None:
    """Paint the walls that a camera sees which does not look straight down."""
    drop_x, drop_y = -canvas.lean * roof.eaves
    if math.hypot(drop_x, drop_y) < 1.2:
        return
    colour = pick(_CONCRETE, canvas.rng, 0.2) * canvas.rng.uniform(0.5, 1)
    for wing in wings:
        roof_edge = frame.box(*wing)
        hull = roof_edge.union(translate(roof_edge, drop_x, drop_y)).convex_hull
        canvas.fill(hull, colour, rough=0.1, height=roof.eaves / 2)


def _box(u: Singles, v: Singles, half_u: float, half_v: float) -> Singles:
    """Return the coverage (H, W) of the rectangle around the origin."""
    across = np.clip(np.float32(half_u + 0.5) - np.abs(u), 0, 1)
    return across * np.clip(np.float32(half_v + 0.5) - np.abs(v), 0, 1)


def _faces(u: Singles, v: Singles, wings: Sequence[Wing], roof: Roof) -> _Faces:
    """Return the highest roof of all wings at every pixel."""
    faces = [_face(u - np.float32(wing.u), v - np.float32(wing.v), wing, roof) for wing in wings]
    highest = faces[0]
    for face in faces[1:]:
        wins = np.where(face.alpha > 0.02, face.height, -1) > np.where(highest.alpha > 0.02, highest.height, -1)
        values = [np.where(wins, new, old) for new, old in zip(face, highest, strict=True)]
        highest = _Faces(np.maximum(face.alpha, highest.alpha), *values[1:])
    return highest


def _face(u: Singles, v: Singles, wing: Wing, roof: Roof) -> _Faces:
    alpha = _box(u, v, wing.half_u, wing.half_v)
    along, across = wing.half_u >= wing.half_v, roof.pitch
    if not along:  # the ridge runs along the longer side
        u, v = v, u
    half_u, half_v = max(wing.half_u, wing.half_v), min(wing.half_u, wing.half_v)
    from_u, from_v = np.float32(half_u) - np.abs(u), np.float32(half_v) - np.abs(v)
    edge = np.minimum(from_u, from_v)
    zero = np.zeros_like(u)
    if roof.form == "gable":
        rise, slope_u, slope_v = from_v, zero, -np.clip(v / 0.7, -1, 1)
    elif roof.form == "hip":
        long_side = from_v <= from_u
        rise = edge
        slope_u = np.where(long_side, 0, -np.clip(u / 0.7, -1, 1))
        slope_v = np.where(long_side, -np.clip(v / 0.7, -1, 1), 0)
    elif roof.form == "shed":
        rise, slope_u, slope_v = v + np.float32(half_v), zero, np.ones_like(u)
    else:
        rise, slope_u, slope_v = zero, zero, zero
    slope_u, slope_v = slope_u * np.float32(across), slope_v * np.float32(across)
    if not along:
        slope_u, slope_v = slope_v, slope_u  # back to the axes of the building
    return _Faces(alpha, np.float32(roof.eaves) + np.maximum(rise, 0) * np.float32(across), slope_u, slope_v, edge)


def _texture(canvas: Canvas, patch: Patch, u: Singles, v: Singles, roof: Roof) -> Singles:
    """Return the colours of the roof (H, W, 3) in even light."""
    metre, rng = 1 / canvas.gsd, canvas.rng
    fine, broad = canvas.noise(patch, 2, 10), canvas.noise(patch, 10, 160)
    wear = rng.uniform(0.02, 0.07)
    light = 1 + np.float32(wear) * broad + np.float32(rng.uniform(0.01, 0.05)) * fine
    if roof.material in {"rust", "metal", "painted"}:
        return _sheets(canvas, (u, v), (fine, broad), roof, light)
    if roof.material == "tiles":
        light = light + np.float32(0.05) * _wave(v, 0.4 * metre, rng) + np.float32(0.03) * _wave(u, 0.3 * metre, rng)
        return lit(roof.colour, light + np.float32(0.04) * fine)
    if roof.material == "concrete":
        stain = np.clip(broad * 0.5 + 0.3 * fine - rng.uniform(0.1, 0.9), 0, 1)
        light = light + np.float32(rng.uniform(0, 0.07)) * _cells(u, v, 4 * metre, 4 * metre, rng)
        return lit(mix(roof.colour, roof.colour * rng.uniform(0.5, 0.75), stain), light)
    return lit(roof.colour, light + np.float32(0.02) * _wave(v, 0.3 * metre, rng))


def _sheets(
    canvas: Canvas, uv: tuple[Singles, Singles], noises: tuple[Singles, Singles], roof: Roof, light: Singles
) -> Singles:
    """Return corrugated iron (H, W, 3): sheets that differ, joints, rust."""
    rng, metre, (u, v), (fine, broad) = canvas.rng, 1 / canvas.gsd, uv, noises
    if rng.random() < 0.2:
        u, v = v, u
    patchwork = {"rust": rng.uniform(0.03, 0.16), "metal": rng.uniform(0, 0.12), "painted": rng.uniform(0, 0.03)}
    sheet = _cells(u, v, rng.uniform(0.7, 1.1) * metre, rng.uniform(1.8, 3.6) * metre, rng)
    light = light + np.float32(patchwork[roof.material]) * sheet
    light = light + np.float32(rng.uniform(0.01, 0.06)) * _wave(u, rng.uniform(0.15, 0.5) * metre, rng)
    joints = (v / np.float32(rng.uniform(1.8, 3.6) * metre)) % 1 < 0.25 / max(metre, 1)
    light = light * (1 - np.float32(rng.uniform(0, 0.15)) * joints)
    share = {"rust": rng.uniform(-0.5, 0.6), "metal": rng.uniform(-1.5, 0.0), "painted": rng.uniform(-2.2, -0.8)}
    rusty = np.float32(share[roof.material]) + 0.6 * broad + 0.35 * fine + np.float32(rng.uniform(0, 0.6)) * sheet
    return lit(mix(roof.colour, pick(_RUST, rng), rusty), light)


def _wave(across: Singles, period: float, rng: np.random.Generator) -> Singles:
    """Return stripes of the given period, pixels, or zeros where pixels are too coarse to show them."""
    if period < 2.2:
        return np.zeros_like(across)
    return np.asarray(np.cos(across * np.float32(math.tau / period) + np.float32(rng.uniform(0, math.tau))), np.float32)


def _cells(u: Singles, v: Singles, width: float, depth: float, rng: np.random.Generator) -> Singles:
    """Return a normal random number (H, W) for each rectangle of a grid of `width` by `depth` pixels."""
    table = rng.standard_normal(1024).astype(np.float32)
    row = np.floor(v / np.float32(max(depth, 1.5))).astype(np.int32)
    column = np.floor(u / np.float32(max(width, 1.5))).astype(np.int32)
    return np.asarray(table[(column * 31 + row * 137) & 1023], np.float32)


def _clutter(canvas: Canvas, frame: Frame, wings: Sequence[Wing], roof: Roof, court: Wing | None) -> None:
    """Paint parapets, stair heads, water tanks and small parts on a flat roof; they belong to the roof."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    for wing in wings:
        if rng.random() < 0.5 and metre > 2.5 and court is None:
            inner = frame.box(wing.u, wing.v, wing.half_u - 0.3 * metre, wing.half_v - 0.3 * metre)
            rim = frame.box(*wing).difference(inner)
            canvas.fill(rim, roof.colour * rng.uniform(0.8, 1.25), number=None)
        for _ in range(rng.poisson(min(12, 0.03 * 4 * wing.half_u * wing.half_v / metre**2))):
            size = rng.uniform(0.3, 1.4) * metre
            if rng.random() < 0.15:
                size *= 2.5
            room_u, room_v = wing.half_u - size - 1, wing.half_v - size - 1
            if room_u <= 0 or room_v <= 0 or size < 0.7:
                continue
            u, v = wing.u + rng.uniform(-room_u, room_u), wing.v + rng.uniform(-room_v, room_v)
            if court is not None and abs(u - court.u) < court.half_u + size and abs(v - court.v) < court.half_v + size:
                continue
            _object_on_roof(canvas, frame.box(u, v, size, size * rng.uniform(0.4, 1)), roof)


def _object_on_roof(canvas: Canvas, shape: shapely.Polygon, roof: Roof) -> None:
    rng = canvas.rng
    patch = canvas.patch(shape.bounds)
    if patch is None:
        return
    alpha = canvas.coverage(patch, shape)
    # it hides a part of the roof and stays a part of it, as a map shows it
    colour = pick(_CLUTTER, rng) if rng.random() < 0.6 else roof.colour * rng.uniform(0.6, 1.3)
    canvas.paint(patch, alpha, colour, number=None)
    top = np.float32(roof.eaves + rng.uniform(0.4, 2.2) / canvas.gsd)
    canvas.height[patch.place][alpha >= 0.5] = top
