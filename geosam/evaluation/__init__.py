"""The quality of a layer of polygons, in numbers and in a picture.

From the ground up: `outlines` (the share of outlines that lie near others), `scores` (the numbers, also in words),
`compare` (predicted against reference polygons) and `preview` (a picture of polygons on their scene).
"""
