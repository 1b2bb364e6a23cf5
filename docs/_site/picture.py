"""Draw the picture of the front page: a part of what `make demo` made. Run: python docs/_site/picture.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas
from PIL import Image

import geosam

#: Roofs, gardens, the street and fields of the rendered village, in the scene's CRS.
WINDOW = (682584.0, 5334518.0, 682704.0, 5334638.0)
#: Side of each half and the gap between them, pixels.
SIDE, GAP = 440, 6
OUTPUT = Path(__file__).parents[1] / "images" / "demo.png"


def main(folder: str = "demo") -> None:
    """Draw the window as it was taken and, beside it, with the polygons; a palette keeps the file small."""
    scene = f"{folder}/scene.tif"
    polygons = geopandas.read_file(f"{folder}/segments.gpkg")
    both = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    for left, layer in ((0, polygons[:0]), (SIDE + GAP, polygons)):
        picture = geosam.preview(scene, layer, window=WINDOW, size=SIDE)
        both.paste(picture.crop((0, 0, SIDE, SIDE)), (left, 0))
    OUTPUT.parent.mkdir(exist_ok=True)
    both.quantize(224, dither=Image.Dither.NONE).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
