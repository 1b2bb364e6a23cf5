"""Synthetic aerial pictures with exact masks, painted stroke by stroke; nothing is taken from a real picture.

From the ground up: `palette` (colours), `canvas` (pixels, heights, object numbers and shadows), `plants`, `ground`
(surfaces, roads, water, woods), `roofs` (whole buildings), `foundations` (buildings without a roof), `small_objects`
(vehicles, pools, tanks), then one painter for each kind of scene (`fields`, `nature`, `sites`, `towns`), and `pictures`
(a random scene as a labelled picture).
"""

from geosam.training.synthetic.pictures import render

__all__ = ["render"]
