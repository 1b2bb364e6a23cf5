"""`qgis.PyQt.QtCore` is PyQt6.QtCore."""

from PyQt6.QtCore import *
