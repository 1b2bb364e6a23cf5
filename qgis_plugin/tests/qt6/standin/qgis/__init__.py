"""A stand-in for QGIS on Qt 6: its Qt is the real PyQt6, its own classes are names that accept anything."""
