"""Train networks on labelled pictures, fine-tune them on a user's polygons, and measure how good they are.

From the ground up: `samples` (labelled pictures and crops), `synthetic/` (rendered scenes), `data/` (pictures into
batches), `fit/` (losses, simulated user and training loop of geosam_lite), `quality` (IoU on labelled scenes),
`finetune/` (a mask decoder learns from a user's polygons).
"""

import geosam.segmenters  # noqa: F401 - before torch is loaded
