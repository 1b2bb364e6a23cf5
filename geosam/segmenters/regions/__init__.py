"""Region merging: a segmenter without weights."""
