"""geosam: georeferenced imagery into clean polygons."""

__version__ = "0.1.0"
