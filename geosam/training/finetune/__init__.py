"""Fine-tune the mask decoder of a network on a user's own polygons.

From the ground up: `trainable_decoder` (the protocol), `trainable_lite` and `trainable_sam` (the networks that follow
it), `split` (training and held-out polygons), `training_step` (gradients of a few objects), `scores` (IoU of held-out
polygons), `training_loop` (epochs and early stopping), `tuning` (the whole run, from scene to file).
"""

from geosam.training.finetune.training_loop import FineTuneOptions
from geosam.training.finetune.tuning import METADATA, FineTuneResult, finetune

__all__ = ["METADATA", "FineTuneOptions", "FineTuneResult", "finetune"]
