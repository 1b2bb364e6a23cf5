"""The demo scene: an aerial picture of a village, rendered by geosam itself, and the truth about its objects.

From the ground up: `village` (what stands where, painted by `geosam.training.synthetic`) and `render` (the files).
"""

from geosam.apps.demo.render import render_scene

__all__ = ["render_scene"]
