"""One picture on six grids: do box prompts find the same objects?

Run: python benchmarks/variants.py [MODEL]
The five files of georef/variants_kampala (GEOSAM_DATA) against the same crop of the original, boxes around its labels.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import rasterio
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geosam.errors import MissingCRS
from geosam.models.registry import load_segmenter
from geosam.pipeline import RunOptions, segment_prompts
from geosam.prompt_layer import read_prompts
from geosam.scene import open_scene

DATA = Path(os.environ.get("GEOSAM_DATA") or Path(__file__).parents[2] / "shared" / "data") / "georef"
LABELS = DATA / "variants_kampala" / "labels.gpkg"


def original(folder: Path) -> Path:
    """The crop of the original that the variants were made from."""
    with rasterio.open(DATA / "buildings_kampala_0" / "image.tif") as source:
        profile = {"driver": "GTiff", "width": 1500, "height": 1024, "count": 3, "dtype": "uint8"}
        with rasterio.open(
            folder / "original.tif", "w", crs=source.crs, transform=source.transform, photometric="rgb", **profile
        ) as crop:
            crop.write(source.read(window=Window(0, 0, 1500, 1024)))
    return folder / "original.tif"


def warped(folder: Path) -> Path:
    """The GCP variant after a warp."""
    with rasterio.open(DATA / "variants_kampala" / "gcps.tif") as source:
        points, crs = source.gcps
        with WarpedVRT(source, src_crs=crs, crs=crs, gcps=points, resampling=rasterio.enums.Resampling.cubic) as vrt:
            profile = vrt.profile | {"driver": "GTiff"}
            with rasterio.open(folder / "warped.tif", "w", **profile) as out:
                out.write(vrt.read())
    return folder / "warped.tif"


def found(path: Path, folder: Path, model: str, *, gcps: bool = False) -> gpd.GeoDataFrame:
    """What the model finds for the boxes, by prompt, in the CRS of the labels."""
    prompts, _ = read_prompts(LABELS)
    out = folder / f"{path.stem}{'_gcps' if gcps else ''}.gpkg"
    segment_prompts(open_scene(path, gcps=gcps), load_segmenter(model), prompts, out, RunOptions())
    return gpd.read_file(out).set_index("prompt_id").to_crs(gpd.read_file(LABELS).crs)


def iou(a: gpd.GeoDataFrame, b: gpd.GeoDataFrame) -> tuple[float, float, int]:
    """(mean, least, number of objects missing in `b`), a missing object counts as 0."""
    values = []
    for name, row in a.iterrows():
        other = b.geometry.get(name)
        shared = 0.0 if other is None else row.geometry.intersection(other).area
        values.append(0.0 if other is None else shared / (row.geometry.area + other.area - shared))
    return sum(values) / len(values), min(values), len(set(a.index) - set(b.index))


def main(model: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = found(original(folder), folder, model)
        labels = gpd.read_file(LABELS)
        labels.index = [prompt.id for prompt in read_prompts(LABELS)[0]]
        labels.index = labels.index.astype(str)
        print(f"{len(reference)} objects; mean IoU with the labels {iou(labels, reference)[0]:.3f}")
        variants = DATA / "variants_kampala"
        try:
            open_scene(variants / "gcps.tif")
        except MissingCRS as refused:
            print(f"gcps.tif refused: {refused}")
        cases = [(variants / f"{kind}.tif", False) for kind in ("southup", "uint16", "epsg4326", "rotated17")]
        for path, gcps in [*cases, (warped(folder), False), (variants / "gcps.tif", True)]:
            result = found(path, folder, model, gcps=gcps)
            mean, least, missing = iou(reference, result)
            same = reference.geometry.to_wkb().tolist() == result.geometry.to_wkb().tolist()
            label = path.stem + (" --gcps" if gcps else "")
            print(f"{label:14} mean IoU {mean:.4f}  least {least:.3f}  missing {missing}  identical {same}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "regions")
