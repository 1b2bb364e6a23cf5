"""Algorithms of the Processing framework: for the toolbox, models, Python and `qgis_process`."""
