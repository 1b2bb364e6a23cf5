"""Rendered scenes with exact labels."""

from geosam.training.synthetic.pictures import render

__all__ = ["render"]
