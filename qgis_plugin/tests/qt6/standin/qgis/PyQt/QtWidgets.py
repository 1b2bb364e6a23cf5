"""`qgis.PyQt.QtWidgets` is PyQt6.QtWidgets, with two classes that moved to QtGui."""

from PyQt6.QtGui import QAction, QShortcut
from PyQt6.QtWidgets import *
