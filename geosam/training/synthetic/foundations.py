"""Buildings without a roof: foundations and bare walls, which stand for years where people build bit by bit.

Such a building is one object, together with its rooms and the weeds in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from geosam.training.synthetic.palette import lit, mix, pick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from shapely.geometry.base import BaseGeometry

    from geosam._arrays import Singles
    from geosam.training.synthetic.canvas import Canvas, Frame, Patch
    from geosam.training.synthetic.palette import Land
    from geosam.training.synthetic.roofs import Wing


_BLOCKS = ((196, 190, 178), (168, 160, 148), (146, 138, 128), (214, 210, 202), (176, 150, 124), (128, 120, 112))
_SLABS = ((204, 200, 192), (228, 226, 222), (160, 156, 148), (136, 132, 124))


def foundation(canvas: Canvas, land: Land, frame: Frame, wings: Sequence[Wing]) -> bool:
    """Paint walls around rooms if the ground is free. Return True if it was. See :func:`roofs.building`."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    outline = shapely.union_all([frame.box(*wing) for wing in wings])
    patch = canvas.patch(outline.bounds)
    if patch is None:
        return False
    alpha = canvas.coverage(patch, outline)
    if not canvas.claim(patch, alpha):
        return False
    canvas.paint(patch, alpha, _ground(canvas, patch, land), number=canvas.number())
    rooms = list(_rooms(frame, wings, float(rng.uniform(2, 4.5) * metre), rng))
    floors = (land.soil, land.grass, land.straw, land.shade * 1.3, mix(land.soil, land.grass, 0.5), pick(_SLABS, rng))
    for room in rooms:
        if rng.random() < 0.5:
            canvas.fill(room, pick(floors, rng), rough=0.1, opacity=float(rng.uniform(0.3, 1)), number=None)
    _walls(canvas, outline, rooms)
    return True


def _ground(canvas: Canvas, patch: Patch, land: Land) -> Singles:
    """Return the ground between the walls (H, W, 3): a slab, or bare soil and weeds over the ground from before."""
    rng = canvas.rng
    light = 1 + 0.08 * canvas.noise(patch, 2, 60)
    if rng.random() < 0.2:
        return lit(pick(_SLABS, rng), light)
    weeds = rng.uniform(-0.8, 1.2) + 0.6 * canvas.noise(patch, 8, 80)
    grown = mix(land.soil, mix(land.grass, land.straw, rng.random()), weeds)
    return mix(canvas.rgb[patch.place], lit(grown, light), rng.uniform(0.1, 1))


def _rooms(frame: Frame, wings: Sequence[Wing], side: float, rng: np.random.Generator) -> Iterator[BaseGeometry]:
    """Yield rooms of about the given side, pixels, in each wing outside the earlier wings."""
    built: BaseGeometry = shapely.Polygon()
    for wing in wings:
        todo = [wing]
        while todo:
            cell = todo.pop()
            if 2 * max(cell.half_u, cell.half_v) > 1.4 * side:
                todo += cell.cut(rng)
            elif (room := frame.box(*cell).difference(built)).area > 4:
                yield room
        built = built.union(frame.box(*wing))


def _walls(canvas: Canvas, outline: BaseGeometry, rooms: Sequence[BaseGeometry]) -> None:
    """Paint walls around the building and its rooms, with doors and gaps; they belong to the building."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    thick = max(float(rng.uniform(0.15, 0.4) * metre), 1.0)
    lost = rng.uniform(0, 0.3)
    inner = [room.boundary.buffer(thick / 2, join_style="bevel") for room in rooms if rng.random() >= lost]
    rim = outline.difference(outline.buffer(-thick, join_style="mitre"))
    doors = [
        room.boundary.interpolate(rng.random(), normalized=True).buffer(0.5 * metre)
        for room in rooms
        if rng.random() < 0.7
    ]
    standing = shapely.union_all([rim, *inner]).intersection(outline).difference(shapely.union_all(doors))
    patch = None if standing.is_empty else canvas.patch(standing.bounds)
    if patch is None:
        return
    alpha = canvas.coverage(patch, standing)
    canvas.paint(patch, alpha, lit(pick(_BLOCKS, rng, 0.1), 1 + 0.08 * canvas.noise(patch, 2, 40)), number=None)
    tall = rng.uniform(0.1, 0.6) if rng.random() < 0.4 else rng.uniform(1, 3)
    canvas.height[patch.place][alpha > 0.3] = tall * metre
