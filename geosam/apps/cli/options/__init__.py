"""Options of the command line.

From the ground up: `value_types` (numbers, bounds, a CRS as text), `schema` (options from the tables of
`geosam.options`), `reporting` (``--json`` and the like), `opening` (the scene), `prompts` (prompts from options),
`recorded` (the command line that a result records).
"""
