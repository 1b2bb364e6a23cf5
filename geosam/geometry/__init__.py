"""Pixels, tiles, outlines, and their place on Earth."""
