"""From windows to whole objects."""
