"""Which of the user's polygons teach and which are held out, and the tiles in which they teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geosam.errors import PromptError, PromptOutsideScene
from geosam.geometry.geobox import Window
from geosam.training.data.targets import targets_of_scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam.geometry.tiles import TileGrid
    from geosam.scene import Scene
    from geosam.training.data.targets import Target
    from geosam.vector.polygons import PolygonLayer

    BoolArray = NDArray[np.bool_]

#: Fewer polygons teach nothing that could be told from chance; with this many it begins to pay.
LEAST_POLYGONS, GOOD_POLYGONS = 8, 40
#: Share of the polygons that is held out.
HELD_OUT_SHARE = 0.25
#: Side of the blocks that are held out as a whole, pixels; halved until polygons lie in so many of them.
_BLOCK, _LEAST_BLOCKS = 1024, 8
#: Of more polygons than this, blocks are drawn until there are as many: to embed all tiles would take longer than all
#: learning.
_MOST_POLYGONS = 1000


def known_objects(scene: Scene, layer: PolygonLayer, rng: np.random.Generator) -> list[Target]:
    """The objects of a layer in the scene's region; of very many those of some blocks, drawn at random.

    Raises:
        PromptOutsideScene: none of them is in the scene.
        PromptError: there are too few.
        CRSMismatch: the layer cannot be reprojected.
    """
    placed = layer.to_crs(scene.geobox.crs)
    middles = shapely.get_coordinates(shapely.centroid(placed.polygons)) if len(placed) else np.zeros((0, 2))
    middles_xy = scene.geobox.to_pixel(middles)
    region = scene.region
    low, high = (region.col_off, region.row_off), (region.col_end, region.row_end)
    inside: BoolArray = np.all((middles_xy >= low) & (middles_xy < high), axis=1)
    chosen = placed.select(inside)
    if len(chosen) > _MOST_POLYGONS:
        blocks = _blocks(middles_xy[inside], _BLOCK)
        order = rng.permutation(blocks.max() + 1)
        counts = np.cumsum(np.bincount(blocks)[order])
        chosen = chosen.select(np.isin(blocks, order[: int(np.searchsorted(counts, _MOST_POLYGONS)) + 1]))
    targets, _ = targets_of_scene(scene, chosen)
    if not targets:
        raise PromptOutsideScene(
            f"no polygons in the scene: {layer.source}: 0 of {len(layer)} lie on valid pixels of {scene.path} with at "
            "least 25 px, at least 8 wanted. Check that both are of the same place, and their CRSs."
        )
    if len(targets) < LEAST_POLYGONS:
        raise PromptError(
            f"too few polygons to learn from: {layer.source}: {len(targets)} in the scene, at least {LEAST_POLYGONS} "
            f"wanted, {GOOD_POLYGONS} or more are better. Draw more."
        )
    return targets


def held_out(targets: Sequence[Target], rng: np.random.Generator) -> BoolArray:
    """(N,) which targets are held out: about a quarter of them, by whole blocks, so that none of them is among others.

    Raises:
        PromptError: all lie in one place.
    """
    middles_xy = np.array([_middle(target.window) for target in targets])
    side = _BLOCK
    blocks = _blocks(middles_xy, side)
    while side > 1 and blocks.max() + 1 < _LEAST_BLOCKS:
        side //= 2
        blocks = _blocks(middles_xy, side)
    counts = np.bincount(blocks)
    if len(counts) == 1:
        raise PromptError(f"all {len(targets)} polygons lie in one place, some wanted elsewhere. Remove duplicates.")
    wanted = HELD_OUT_SHARE * len(targets)
    taken: list[int] = []
    for block in rng.permutation(len(counts)).tolist():
        total = counts[taken].sum()
        if abs(total + counts[block] - wanted) <= abs(total - wanted):
            taken.append(block)
    return np.isin(blocks, taken or [int(np.argmin(counts))])


def tiles_of(targets: Sequence[Target], grid: TileGrid) -> list[list[int]]:
    """For each target the tiles of a grid that show it whole; where none does, the one that shows its middle best."""
    found = []
    for target in targets:
        whole = [tile for tile in grid.meeting(target.window) if grid.window(tile).contains(target.window)]
        x, y = (int(value) for value in _middle(target.window))
        found.append(whole or grid.owners(Window(x, y, 1, 1)))
    return found


def _blocks(middles_xy: NDArray[Any], side: int) -> NDArray[np.intp]:
    """(N,) the block, numbered from 0, that each of N points (N, 2) lies in."""
    _, numbers = np.unique(np.floor(middles_xy / side), axis=0, return_inverse=True)
    return np.asarray(numbers.reshape(-1))


def _middle(window: Window) -> tuple[float, float]:
    return window.col_off + window.width / 2, window.row_off + window.height / 2
