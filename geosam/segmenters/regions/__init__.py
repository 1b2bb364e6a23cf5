"""A segmenter without weights. It merges regions of even colour, as object-based image analysis does.

From the ground up: `leaves` divides a tile into small regions, `hierarchy` merges them step by step and scores each
node, `box` selects regions in a box or an outline, `clicks` selects nodes at points, `segmenter` implements the
protocol, `family` registers the model.
"""
