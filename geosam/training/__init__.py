"""Training: labelled pictures, simulated prompts, losses and the loop that fits networks to them."""

import geosam.segmenters  # noqa: F401 - before torch is loaded
