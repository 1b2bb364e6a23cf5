"""Algorithms of the Processing toolbox, for models, batches and qgis_process; no window is needed.

The order of the modules, from the ground up:

- `worker_call`: one request that waits for its answer
- `outputs`, `inputs`: layers as files, in both directions
- `algorithm`, `segmentation`: the parts that algorithms share
- `segment_raster`, `segment_prompts`: from a raster to polygons
- `report`, `evaluate`: predicted polygons against reference polygons
- `provider`: the list of the algorithms
"""
