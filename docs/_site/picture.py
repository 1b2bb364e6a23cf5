"""Draw the picture of the front page: a part of what `make demo` made. Run: python docs/_site/picture.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import geosam

#: A street of the rendered village, in the scene's CRS.
WINDOW = (682430.0, 5334550.0, 682650.0, 5334680.0)
OUTPUT = Path(__file__).parents[1] / "images" / "demo.png"


def main(folder: str = "demo") -> None:
    """Draw the window; a palette keeps the file small."""
    picture = geosam.preview(f"{folder}/scene.tif", f"{folder}/segments.gpkg", window=WINDOW, size=840)
    OUTPUT.parent.mkdir(exist_ok=True)
    picture.quantize(96, dither=Image.Dither.NONE).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
