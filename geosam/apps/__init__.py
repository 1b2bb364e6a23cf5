"""Programs made from the library.

From the ground up: `json_values` (values as JSON knows them), `worker/` (a process that answers other programs),
`cli/` (the command line, which also starts the worker), `demo/` (the picture of the README).
"""
