"""The exact segmenter: every area of one colour is an object.

From the ground up: `segmenter` finds the areas, `family` registers the model.
"""
