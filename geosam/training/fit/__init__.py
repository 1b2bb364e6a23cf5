"""Batches into weights."""
