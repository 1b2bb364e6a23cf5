"""The demo scene: an aerial picture of a village, rendered by geosam itself, and the truth about what is in it."""

from geosam.apps.demo.render import render_scene

__all__ = ["render_scene"]
