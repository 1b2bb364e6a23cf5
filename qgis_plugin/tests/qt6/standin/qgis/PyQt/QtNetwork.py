"""`qgis.PyQt.QtNetwork` is PyQt6.QtNetwork."""

from PyQt6.QtNetwork import *
