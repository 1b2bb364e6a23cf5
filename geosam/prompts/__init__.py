"""Prompts: descriptions of the objects to find, from a click on a map to pixels of a window.

From the ground up: `draft` (the steps of a user, with undo), `parts` (checks of CRS, points, box and mask), `prompt`
(one object in map coordinates and in pixels of a scene), `from_draft` (drafts as prompts and back), `features` (rows of
a table as prompts), `layer` (prompt layers in files), `sources` (files, tables, geometries and numbers as prompts),
`placement` (onto the pixel grid of a scene) and `in_window` (pixels of one window, for a segmenter).
"""
