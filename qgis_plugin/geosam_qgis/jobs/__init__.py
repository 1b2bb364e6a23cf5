"""Jobs that take minutes: whole layers, and pictures of layers that are not files.

The order of the modules, from the ground up:

- `sources`, `projections`: layers and CRSs in the words of the worker
- `results`, `streamed_layer`: layers of objects, finished and growing
- `run_request`: the parameters of a run
- `web_layers`: pictures of WMS, XYZ and other services
- `progress_task`, `layer_run`: one run in the background
- `job_dialog`, `whole_layer`: the commands *Segment whole layer* and *Segment view*
"""
