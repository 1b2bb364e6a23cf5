"""Draw the picture of the front page: a part of what `make demo` made. Run: python docs/_site/picture.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from geosam.evaluation.preview import preview
from geosam.scene import open_scene

#: A street of the rendered village, in the scene's CRS.
WINDOW = (682430.0, 5334550.0, 682650.0, 5334680.0)
OUTPUT = Path(__file__).parents[1] / "images" / "demo.png"


def main(folder: str = "demo") -> None:
    """Draw the window; a palette keeps the file small."""
    with TemporaryDirectory() as drawn:
        full = Path(drawn) / "full.png"
        preview(open_scene(f"{folder}/scene.tif", window=WINDOW), f"{folder}/segments.gpkg", full, max_side=840)
        OUTPUT.parent.mkdir(exist_ok=True)
        Image.open(full).quantize(96, dither=Image.Dither.NONE).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
