"""Quality of the network that `reference.py` has trained, measured as benchmarks/quality.py does.

Run: python benchmarks/training/reference_quality.py FOLDER/reference.pt [the options of benchmarks/quality.py]

geosam runs its own MobileSAM with these weights. The network sees windows of the size of its training crops, in native
resolution; objects that reach beyond grow from window to window, as with every model.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reference import SIZE

from geosam.run.options import RunOptions
from geosam.segmenters.compute import choose
from geosam.segmenters.sam.build import VARIANTS, load
from geosam.segmenters.sam.segmenter import SamSegmenter
from geosam.segmenters.segmenter import ModelSpec
from geosam.segmenters.weights.reading import read_state_dict
from geosam.training.fit.command import errors_as_messages

if TYPE_CHECKING:
    from geosam.segmenters.compute import Compute

sys.path.insert(0, str(Path(__file__).parents[1]))


def segmenter(weights: Path, compute: Compute) -> SamSegmenter:
    """Load MobileSAM for pictures of the crops' size."""
    model = load(replace(VARIANTS["mobile_sam"], frame=SIZE), read_state_dict(weights), str(weights))
    spec = ModelSpec(name="reference", fingerprint=f"reference-{weights}", input_size=SIZE)
    return SamSegmenter(model.to(compute.device, compute.dtype), compute, spec)


def main() -> None:
    from quality import parser, table

    arguments = parser(__doc__)
    arguments.add_argument("weights", type=Path)
    options = arguments.parse_args()
    table([("reference", segmenter(options.weights, choose()))], options, RunOptions(tile_size=SIZE, overlap=SIZE // 4))


if __name__ == "__main__":
    with errors_as_messages():
        main()
