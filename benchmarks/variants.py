"""Objects of box prompts in one picture on six grids, compared.

Run: python benchmarks/variants.py [MODEL]
The five files of georef/variants_kampala (in GEOSAM_DATA) are compared with the same crop of the original. The prompts
are the boxes around its labels.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import rasterio
from affine import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from shapely import Polygon

from geosam.errors import MissingCRS
from geosam.prompts.layer import read_prompts
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter

DATA = Path(os.environ.get("GEOSAM_DATA") or Path(__file__).parents[2] / "shared" / "data") / "georef"
LABELS = DATA / "variants_kampala" / "labels.gpkg"


def original(folder: Path) -> Path:
    """Write the crop of the original from which the variants were made."""
    with rasterio.open(DATA / "buildings_kampala_0" / "image.tif") as source:
        profile = {"driver": "GTiff", "width": 1500, "height": 1024, "count": 3, "dtype": "uint8"}
        with rasterio.open(
            folder / "original.tif", "w", crs=source.crs, transform=source.transform, photometric="rgb", **profile
        ) as crop:
            crop.write(source.read(window=Window(0, 0, 1500, 1024)))
    return folder / "original.tif"


def warped(folder: Path) -> Path:
    """Write the GCP variant, warped."""
    with rasterio.open(DATA / "variants_kampala" / "gcps.tif") as source:
        points, crs = source.gcps
        with WarpedVRT(source, src_crs=crs, crs=crs, gcps=points, resampling=rasterio.enums.Resampling.cubic) as vrt:
            profile = vrt.profile | {"driver": "GTiff"}
            with rasterio.open(folder / "warped.tif", "w", **profile) as out:
                out.write(vrt.read())
    return folder / "warped.tif"


def turned(folder: Path) -> Path:
    """Write the pixels of the south-up variant north-up. That file was compressed again, unlike the original."""
    with rasterio.open(DATA / "variants_kampala" / "southup.tif") as source:
        t = source.transform
        transform = Affine(t.a, 0, t.c, 0, -t.e, t.f + t.e * source.height)
        profile = {"driver": "GTiff", "width": 1500, "height": 1024, "count": 3, "dtype": "uint8"}
        with rasterio.open(
            folder / "turned.tif", "w", crs=source.crs, transform=transform, photometric="rgb", **profile
        ) as out:
            out.write(source.read()[:, ::-1])
    return folder / "turned.tif"


def objects_in(path: Path, folder: Path, model: str, *, gcps: bool = False) -> gpd.GeoDataFrame:
    """Return the objects of the boxes inside the file, by prompt, in the CRS of the labels."""
    labels = gpd.read_file(LABELS)
    scene = open_scene(path, gcps=gcps)
    box = scene.geobox
    corners = box.to_map([(0, 0), (box.width, 0), (box.width, box.height), (0, box.height)])
    extent = gpd.GeoSeries([Polygon(corners)], crs=box.crs).to_crs(labels.crs)[0]
    inside = labels.geometry.within(extent).to_numpy()
    prompts = [prompt for prompt, keep in zip(read_prompts(LABELS)[0], inside, strict=True) if keep]
    out = folder / f"{path.stem}{'_gcps' if gcps else ''}.gpkg"
    segment_prompts(scene, load_segmenter(model), prompts, out, RunOptions(overwrite=True), skip_outside=True)
    return gpd.read_file(out).set_index("prompt_id").to_crs(labels.crs)


def iou(a: gpd.GeoSeries, b: gpd.GeoSeries, names: list[str]) -> tuple[float, float]:
    """Return mean and least IoU of the named objects. A missing object counts as 0."""
    values = []
    for name in names:
        first, second = a.get(name), b.get(name)
        shared = 0.0 if first is None or second is None else first.intersection(second).area
        values.append(shared / (first.area + second.area - shared) if shared else 0.0)
    return sum(values) / len(values), min(values)


def main(model: str) -> None:
    """Print the figures of every variant."""
    if not LABELS.is_file():
        print(f"no real imagery in {DATA.parent}: name its folder in GEOSAM_DATA")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = objects_in(original(folder), folder, model).geometry
        labels = gpd.read_file(LABELS).geometry
        labels.index = [str(prompt.id) for prompt in read_prompts(LABELS)[0]]
        names = list(reference.index)
        print(f"{len(names)} labels inside; mean IoU of the objects with them {iou(labels, reference, names)[0]:.3f}")
        variants = DATA / "variants_kampala"
        try:
            open_scene(variants / "gcps.tif")
        except MissingCRS as refused:
            print(f"gcps.tif refused: {refused}")
        north = objects_in(turned(folder), folder, model).geometry
        south = objects_in(variants / "southup.tif", folder, model).geometry
        same = north.to_wkb().tolist() == south.to_wkb().tolist()
        print(f"southup against its own pixels north-up: identical {same}, least IoU {iou(north, south, names)[1]:.6f}")
        cases = [(variants / f"{kind}.tif", False) for kind in ("southup", "uint16", "epsg4326", "rotated17")]
        for path, gcps in [*cases, (warped(folder), False), (variants / "gcps.tif", True)]:
            result = objects_in(path, folder, model, gcps=gcps).geometry
            common = [name for name in names if name in result.index]
            mean, least = iou(reference, result, common)
            label = path.stem + (" --gcps" if gcps else "")
            print(f"{label:14} {len(common):2} objects, mean IoU {mean:.4f}, least {least:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "regions")
