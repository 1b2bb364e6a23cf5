"""Split of the user's polygons into training and held-out objects, and the tiles that show the training objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geosam.errors import PromptError, PromptOutsideScene
from geosam.geometry.geobox import Window
from geosam.training.data.target_objects import MIN_AREA_PX, targets_of_scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.geometry.tiles import TileGrid
    from geosam.scene import Scene
    from geosam.training.data.target_objects import TargetObject
    from geosam.vector.polygons import PolygonLayer

#: Least number of polygons, because the gain from fewer cannot be told from chance; and a number that usually helps.
LEAST_POLYGONS, GOOD_POLYGONS = 8, 40
#: Share of the polygons that is held out.
HELD_OUT_SHARE = 0.25
#: Side in pixels of the blocks that are held out as a whole; it is halved until polygons lie in enough blocks.
_BLOCK, _LEAST_BLOCKS = 1024, 8
#: Number of polygons above which blocks of them are drawn: to embed all tiles would take longer than the training.
_MOST_POLYGONS = 1000


def objects_in_scene(scene: Scene, layer: PolygonLayer, rng: np.random.Generator) -> list[TargetObject]:
    """Find the objects of a layer in the scene's region; of more than 1,000, draw those of some blocks at random.

    Raises:
        PromptOutsideScene: No polygon is in the scene.
        PromptError: There are too few polygons.
        CRSMismatch: The layer cannot be reprojected.
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
            f"least {MIN_AREA_PX} px, expected at least {LEAST_POLYGONS}.",
            remedy="Check that both show the same place, and their CRSs.",
            code="no-polygons-in-scene",
            layer=layer.source,
            scene=scene.path,
            polygons=len(layer),
        )
    if len(targets) < LEAST_POLYGONS:
        raise PromptError(
            f"too few polygons to train on: {layer.source}: found {len(targets)} in the scene, expected at least "
            f"{LEAST_POLYGONS}; {GOOD_POLYGONS} or more are better.",
            remedy="Draw more.",
            code="too-few-polygons",
            layer=layer.source,
            polygons=len(targets),
            expected=LEAST_POLYGONS,
        )
    return targets


def draw_held_out(targets: Sequence[TargetObject], rng: np.random.Generator) -> BoolArray:
    """Draw the targets that are held out, about a quarter, by whole blocks of the scene.

    Neighbours look alike: a held-out object among training objects would measure how well these were memorised.

    Returns:
        (N,) true for targets that are held out.

    Raises:
        PromptError: All targets lie in one place.
    """
    middles_xy = np.array([_middle(target.window) for target in targets])
    side = _BLOCK
    blocks = _blocks(middles_xy, side)
    while side > 1 and blocks.max() + 1 < _LEAST_BLOCKS:
        side //= 2
        blocks = _blocks(middles_xy, side)
    counts = np.bincount(blocks)
    if len(counts) == 1:
        raise PromptError(
            f"the polygons cannot be split: found all {len(targets)} polygons in one place, expected some elsewhere.",
            remedy="Remove duplicates.",
            code="polygons-in-one-place",
            polygons=len(targets),
        )
    expected = HELD_OUT_SHARE * len(targets)
    drawn: list[int] = []
    for block in rng.permutation(len(counts)).tolist():
        total = counts[drawn].sum()
        if abs(total + counts[block] - expected) <= abs(total - expected):
            drawn.append(block)
    return np.isin(blocks, drawn or [int(np.argmin(counts))])


def training_tiles(targets: Sequence[TargetObject], grid: TileGrid) -> list[list[int]]:
    """List for each target the tiles of a grid that show it whole, or else the tile whose core holds its middle."""
    tiles = []
    for target in targets:
        whole = [tile for tile in grid.meeting(target.window) if grid.window(tile).contains(target.window)]
        x, y = (int(value) for value in _middle(target.window))
        tiles.append(whole or grid.owners(Window(x, y, 1, 1)))
    return tiles


def _blocks(middles_xy: NDArray[Any], side: int) -> NDArray[np.intp]:
    """Number (N,) the blocks that points (N, 2) lie in, from 0 without gaps."""
    _, numbers = np.unique(np.floor(middles_xy / side), axis=0, return_inverse=True)
    return np.asarray(numbers.reshape(-1))


def _middle(window: Window) -> tuple[float, float]:
    return window.col_off + window.width / 2, window.row_off + window.height / 2
