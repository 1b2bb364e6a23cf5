"""Small crops to learn from, whose objects are rectangles."""

import numpy as np

from geosam.training.samples import Sample


def sample(size=64, boxes=(), points=(), rectangles=((8, 12, 40, 44),), *, complete=True):
    """A crop with rectangles (x0, y0, x1, y1) as its objects."""
    instances = np.zeros((size, size), np.int32)
    for number, (x0, y0, x1, y1) in enumerate(rectangles, 1):
        instances[y0:y1, x0:x1] = number
    everywhere = np.ones((size, size), bool)
    rgb = np.stack([instances.astype(np.uint8)] * 3)
    return Sample(
        rgb,
        everywhere,
        instances,
        everywhere & complete,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(points, np.float32).reshape(-1, 2),
    )
