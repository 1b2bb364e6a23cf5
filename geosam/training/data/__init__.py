"""Labelled pictures into batches."""
