"""Rows of the output from finished objects: layout, holes, simplification, measures, attributes.

All steps that need a whole object happen here, after stitching. Earlier, filters by size and holes would depend on the
tiles. Geometry stays in integer scene pixels until the last step.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geosam.geometry.planar import merge_pieces, planar_blocks
from geosam.objects.shaping import COLUMNS, Shaping, in_pixels, on_map, outlines
from geosam.vector.schema import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from geosam._arrays import Geometries
    from geosam.geometry.geobox import GeoBox
    from geosam.objects.scene_object import SceneObject
    from geosam.prompts.prompt import Prompt
    from geosam.run.spool import ObjectSpool
    from geosam.segmenters.segmenter import Segmenter
    from geosam.vector.writer import FeatureWriter

    Kind = Literal["int", "float", "text", "bool", "date", "datetime"]

#: Limits of the features that the writer gets at once; they bound the memory of a run.
_BATCH_FEATURES, _BATCH_VERTICES = 1000, 500_000


@dataclass(frozen=True)
class PromptTable:
    """Columns that the prompts give to the output."""

    prompts: Sequence[Prompt]
    """Prompts of the run; `SceneObject.prompt_index` is an index of them."""
    others: tuple[Column, ...] = COLUMNS
    """Other columns of the output."""
    columns: tuple[Column, ...] = field(init=False)
    """`prompt_id`, then the attributes of the prompts; one that is named like another column gets a new name."""
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(dict.fromkeys(name for prompt in self.prompts for name in prompt.attributes))
        columns = [Column("prompt_id", "text", "prompt_id")]
        taken = {column.name.lower() for column in (*self.others, *columns)}
        for name in names:
            # Names are compared without case: for GeoPackage and shapefiles `Area` and `area` are one column.
            free = name if name.lower() not in taken else f"prompt_{name}"
            while free.lower() in taken:
                free += "_"
            taken.add(free.lower())
            columns.append(Column(free, _kind([prompt.attributes.get(name) for prompt in self.prompts]), ""))
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "_names", names)

    def values(self, indices: Sequence[int]) -> dict[str, list[Any]]:
        """Return the columns of rows whose prompts have these indices."""
        table: dict[str, list[Any]] = {"prompt_id": [str(self.prompts[i].id) for i in indices]}
        for column, name in zip(self.columns[1:], self._names, strict=True):
            values = [self.prompts[i].attributes.get(name) for i in indices]
            table[column.name] = [str(v) if column.kind == "text" and v is not None else v for v in values]
        return table


def write_rows(
    spool: ObjectSpool,
    writer: FeatureWriter,
    geobox: GeoBox,
    gsd_xy: tuple[float, float],
    shaping: Shaping,
    *,
    segmenter: Segmenter,
    table: PromptTable | None = None,
) -> tuple[int, int]:
    """Write the objects of a spool in their order.

    Args:
        spool: sealed spool.
        writer: takes features in the CRS of `geobox`.
        geobox: grid of the scene.
        gsd_xy: ground metres per pixel along x and y.
        shaping: layout, least size, simplification, and filling of holes.
        segmenter: model whose name and classes are written.
        table: columns of the prompts; None without prompts.

    Returns:
        The number of objects that were written, and the number of objects that were too small.
    """
    written = dropped = 0
    for objects, polygons in _shaped(spool, gsd_xy, shaping):
        placed, columns = on_map(objects, polygons, geobox, segmenter)
        keep = np.flatnonzero(np.array(columns["area_m2"]) >= shaping.min_area_m2)
        kept: dict[str, Sequence[Any]] = {"id": range(written + 1, written + len(keep) + 1)}
        kept |= {name: [values[i] for i in keep] for name, values in columns.items()}
        if table is not None:
            kept |= table.values([objects[i].prompt_index for i in keep])
        writer.write(placed[keep], kept)
        written += len(keep)
        dropped += len(objects) - len(keep)
    return written, dropped


def _shaped(
    spool: ObjectSpool, gsd_xy: tuple[float, float], shaping: Shaping
) -> Iterator[tuple[list[SceneObject], Geometries]]:
    """Yield batches of objects and their polygons in integer scene pixels, by number."""
    if shaping.layout == "planar":
        tolerance_px, fill_px = in_pixels(gsd_xy, shaping)
        spool.index_boxes()
        for number, piece in planar_blocks(spool, tolerance_px=tolerance_px, fill_px=fill_px):
            spool.add_piece(number, piece)
    for numbers, batch in _batches(spool):
        if shaping.layout == "planar":
            pieces = [spool.pieces(number) for number in numbers]
            visible = [i for i, parts in enumerate(pieces) if parts]  # without a piece: covered by other objects
            polygons = np.empty(len(visible), object)
            polygons[:] = [merge_pieces(pieces[i]) for i in visible]
            yield [batch[i] for i in visible], polygons
        else:
            yield batch, outlines(batch, gsd_xy, shaping)


def _batches(spool: ObjectSpool) -> Iterator[tuple[list[int], list[SceneObject]]]:
    numbers: list[int] = []
    batch: list[SceneObject] = []
    vertices = 0
    for number, item in spool.objects():
        numbers.append(number)
        batch.append(item)
        vertices += len(item.corners)
        if len(batch) >= _BATCH_FEATURES or vertices >= _BATCH_VERTICES:
            yield numbers, batch
            numbers, batch, vertices = [], [], 0
    if batch:
        yield numbers, batch


def _kind(values: Sequence[Any]) -> Kind:
    """Return the narrowest kind of column that holds all values."""
    kinds = {type(value) for value in values if value is not None}
    accepted: tuple[tuple[Kind, tuple[type, ...]], ...] = (  # from the narrowest kind
        ("bool", (bool, np.bool_)),
        ("int", (int, np.integer)),
        ("float", (float, int, np.floating, np.integer)),
        ("datetime", (dt.datetime,)),
        ("date", (dt.date,)),
    )
    for kind, types in accepted:
        if kinds and all(
            issubclass(value_type, types) and not (kind in {"int", "float"} and value_type is bool)  # a bool is an int
            for value_type in kinds
        ):
            return kind
    return "text"
