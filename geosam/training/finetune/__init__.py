"""Fitting a network's mask decoder to a user's own polygons."""

from geosam.training.finetune.course import Options
from geosam.training.finetune.tuning import METADATA, Tuned, finetune

__all__ = ["METADATA", "Options", "Tuned", "finetune"]
