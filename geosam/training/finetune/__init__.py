"""Fitting a network's mask decoder to a user's own polygons."""

from geosam.training.finetune.epochs import Options
from geosam.training.finetune.tuning import METADATA, Tuned, finetune

__all__ = ["METADATA", "Options", "Tuned", "finetune"]
