"""Geometry: pixels, tiles, outlines, and their place on Earth.

From the ground up: `geobox` has windows of pixels and grids on Earth; `pixel_sets` computes boxes and IoUs of masks;
`tiles` lays overlapping windows over a region; `measure` gives ground metres; `corners` is the exact, additive form of
an object's outline; `polygons` turns it into shapely geometries; `planar` gives every pixel to one object.
"""
