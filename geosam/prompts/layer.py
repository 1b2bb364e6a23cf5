"""Prompt layers: any vector file as prompts, and prompts as a GeoPackage with the schema of the prompt layer.

The module `features` defines the fields of the schema.
"""

from __future__ import annotations

from itertools import repeat
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from geosam.errors import CRSMismatch, EmptyPrompt, ExportError, UnknownFormat
from geosam.prompts.features import prompts_of_table
from geosam.prompts.parts import known_crs
from geosam.prompts.prompt import Prompt, Steps
from geosam.vector.checks import check_existing, check_folder
from geosam.vector.geopackage import companions, facts
from geosam.vector.reading import read_vector
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_prompts(
    path: str | Path,
    *,
    layer: str | None = None,
    crs: Any = None,
    polygons: Literal["box", "mask"] = "box",
    encoding: str | None = None,
) -> tuple[list[Prompt], list[str]]:
    """Read a vector layer as prompts.

    Points take their labels from the field `label`, or include without it; a MultiPoint is several points of one
    object. Features without geometry are skipped and polygons that cross themselves repaired, both with a warning.

    Args:
        path: GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML.
        layer: name of the layer, if there are several.
        crs: CRS of a layer that has none, or that declares degrees and holds numbers beyond them (GeoJSON without a
            CRS), in any form that `Prompt` takes.
        polygons: kind of a polygon where no field `kind` states it.
        encoding: encoding of the text, if the file does not state it.

    Returns:
        Prompts in the order of their first features, and warnings.

    Raises:
        PromptError: the file cannot be read, or a feature cannot be a prompt.
        CRSMismatch: the layer has no CRS and `crs` is not given.
    """
    used = None if crs is None else known_crs(crs, "`prompt_crs`")
    table, warnings = read_vector(path, layer=layer, encoding=encoding)
    prompts, notes = prompts_of_table(table, used, polygons)
    return prompts, [*warnings, *notes]


def write_prompts(path: str | Path, prompts: Sequence[Prompt], *, overwrite: bool = False) -> None:
    """Write prompts as a GeoPackage with the schema of the prompt layer; :func:`read_prompts` returns the same prompts.

    Points that were given together have no order: they are read again from west to east. The file appears complete or
    not at all. An attribute gets a new name if the schema or the format uses its name.

    Args:
        path: the GeoPackage to write.
        prompts: prompts in one CRS.
        overwrite: True to replace an existing file.

    Raises:
        OutputExists: the file exists and `overwrite` is not set; with it, the whole file is replaced.
        UnknownFormat: the extension is not .gpkg.
        EmptyPrompt: there are no prompts.
        CRSMismatch: the prompts are not in one CRS.
        ExportError: the file cannot be written.
    """
    final = Path(path)
    _check_writable(final, prompts, overwrite=overwrite)
    rows = _to_arrow(path, prompts)
    with failures_reported(final), Staging(final) as staging:
        staged, about = staging.folder / "prompts.gpkg", {"layer": final.stem, "crs": prompts[0].crs.to_wkt()}
        pyogrio.write_arrow(rows, staged, driver="GPKG", geometry_name="geometry", geometry_type="Unknown", **about)
        count, _ = facts(staged, final.stem)  # read back, because GDAL does not report every full disk
        if count != len(rows):
            raise ExportError(
                f"the file is not complete: {path}: found {count} features, expected {len(rows)}.",
                remedy="Check the disk.",
                code="prompts-incomplete",
            )
        staging.publish([staged], companions(staging.final))


def _check_writable(path: Path, prompts: Sequence[Prompt], *, overwrite: bool) -> None:
    """Refuse prompts that cannot be one layer, and a path that must not be written."""
    if path.suffix.lower() != ".gpkg":
        raise UnknownFormat(
            f"the prompt layer is no GeoPackage: {path}: found {path.suffix!r}, expected .gpkg.",
            remedy="Choose a name that ends with .gpkg.",
            code="prompts-not-geopackage",
        )
    if not prompts:
        raise EmptyPrompt(
            f"no prompts to write: {path}: found none, expected at least one.",
            remedy="Click or draw one first.",
            code="no-prompts-to-write",
        )
    count = len({prompt.crs for prompt in prompts})
    if count > 1:
        raise CRSMismatch(
            f"prompts do not fit into one layer: {path}: found {count} CRSs, expected one.",
            remedy="Write one file for each CRS.",
            code="prompts-in-several-crss",
        )
    check_existing(path, overwrite=overwrite)
    check_folder(path)


def _to_arrow(path: str | Path, prompts: Sequence[Prompt]) -> pa.Table:
    """Return a table with one row for each box, mask and point, in the order of their steps."""
    rows: list[tuple[Prompt, int, str, int, Any]] = []
    for prompt in prompts:
        order = prompt.steps or Steps(np.zeros(len(prompt.labels), np.int64))
        parts: list[tuple[int, str, int, Any]] = []
        if prompt.box_xyxy is not None:
            parts.append((order.box, "box", 1, prompt.outline or shapely.box(*prompt.box_xyxy)))
        parts += [(order.polygon, "mask", 1, prompt.mask)] if prompt.mask is not None else []
        points = shapely.points(prompt.points_xy)
        # Not strict: `repeat` never ends.
        parts += zip(order.points.tolist(), repeat("point"), prompt.labels.tolist(), points, strict=False)
        rows += [(prompt, *part) for part in sorted(parts, key=itemgetter(0))]
    owners, steps, kinds, labels, shapes = zip(*rows, strict=True)
    ids = [prompt.id for prompt in owners]
    columns: dict[str, Any] = {
        "geometry": shapely.to_wkb(np.array(shapes, object)),
        "object_id": ids if all(isinstance(name, int) for name in ids) else [str(name) for name in ids],  # one type
        "step": steps,
        "kind": kinds,
        "label": labels,
        "granularity": [prompt.granularity for prompt in owners],
    }
    taken = {"fid", "geom", *columns}  # compared without regard to case, as SQLite does
    for name in dict.fromkeys(name for prompt in prompts for name in prompt.attributes):
        free = name
        while free.casefold() in taken:
            free += "_"
        taken.add(free.casefold())
        values = [prompt.attributes.get(name) for prompt in owners]
        try:
            # A column without any value has no type; it is written as text.
            columns[free] = pa.array(values, None if any(value is not None for value in values) else pa.string())
        except pa.ArrowException as error:
            raise ExportError(
                f'an attribute mixes types: {path}, field "{name}": found {error}, expected one type.',
                remedy="Convert or drop it.",
                code="prompt-attribute-mixed",
            ) from error
    return pa.table(columns)
