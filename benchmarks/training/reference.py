"""Train the architecture of MobileSAM as geosam_lite is trained, to compare both on the same pictures.

Run: python benchmarks/training/reference.py DATA -o FOLDER [the options of `python -m geosam.training`]
     python benchmarks/training/reference_quality.py FOLDER/reference.pt

The encoder (TinyViT, with batch norms that learn), the prompt encoder and the mask decoder are the authors'; crops,
prompts, corrections, losses and optimizer are geosam_lite's, except for what the architecture asks for: crops have 256
pixels and are its whole frame, since where things lie in one of 1024 takes it far longer to learn; a lone click is
answered by three masks and every other prompt by one; nothing is learnt from coarse places and dense maps, which it
does not have; and the rate is lower, as transformers want it. It needs `tests/oracles.txt`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from geosam.segmenters.lite.decoder import RegionMasks
from geosam.segmenters.sam.model import normalised
from geosam.training.data.loader import CropOptions
from geosam.training.fit.command import errors_as_messages, parser, train
from geosam.training.fit.loop import Schedule
from geosam.training.fit.losses import Losses, answer_losses
from geosam.training.fit.simulated_user import SimulationResult, corrected_prompts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from geosam.segmenters.lite.prompt_maps import Prompts
    from geosam.training.data.batch import Batch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

SIZE, STRIDE = 256, 16


def _train(attention: Any, mode: bool = True) -> Any:  # noqa: FBT001, FBT002 - as nn.Module has it
    """In place of `Attention.train`, which prepares for evaluation at every second call, whatever the mode."""
    nn.Module.train(attention, mode)
    attention.ab = None if mode else attention.attention_biases.detach()[:, attention.attention_bias_idxs]
    return attention


class Reference(nn.Module):
    """The three parts under their official names."""

    def __init__(self) -> None:
        super().__init__()
        from references import mobile_sam_parts  # makes the references importable
        from segment_anything_hq.modeling.tiny_vit_sam import Attention

        self.image_encoder, self.prompt_encoder, self.mask_decoder = mobile_sam_parts(SIZE)
        for part in self.image_encoder.modules():
            if isinstance(part, Attention):
                part.train = MethodType(_train, part)

    def encode(self, pictures: Tensor) -> Tensor:
        """What TinyViT.forward does, which takes pictures of 1024 pixels only."""
        x = self.image_encoder.patch_embed(pictures)
        for layer in self.image_encoder.layers:
            x = layer(x)
        side = SIZE // STRIDE
        image: Tensor = self.image_encoder.neck(x.unflatten(1, (side, side)).permute(0, 3, 1, 2))
        return image

    def answer(self, image: Tensor, prompts: Prompts) -> RegionMasks:
        """Prompts (n) in crops with embeddings (n, 256, h, w)."""
        count, side = len(image), image.shape[-1]
        logits = image.new_empty((count, 3, side * 4, side * 4), dtype=torch.float32)
        iou = image.new_empty((count, 3), dtype=torch.float32)
        points, boxed = (prompts.labels >= 0).sum(dim=1), prompts.boxes.isfinite().all(dim=1)
        for kind in torch.unique(torch.stack([points, boxed], dim=1), dim=0):  # rows with as many tokens
            rows = torch.nonzero((points == kind[0]) & (boxed == kind[1]))[:, 0]
            few = prompts.rows(rows)
            tokens = self._tokens(few, points=int(kind[0]), boxed=bool(kind[1]))
            masks, scores = self._decoded(image[rows], tokens, few)
            ambiguous = (points[rows] == 1) & ~boxed[rows] & ~few.has_prior
            logits[rows] = torch.where(ambiguous[:, None, None, None], masks[:, 1:], masks[:, :1]).float()
            iou[rows] = torch.where(ambiguous[:, None], scores[:, 1:], scores[:, :1]).float()
        return RegionMasks(logits, iou)

    def _tokens(self, prompts: Prompts, *, points: int, boxed: bool) -> Tensor:
        # The authors count pixels from the centre of the first one.
        places = (prompts.points[:, :points] - 0.5, prompts.labels[:, :points]) if points else None
        boxes = prompts.boxes - 0.5 if boxed else None
        sparse: Tensor = self.prompt_encoder(points=places, boxes=boxes, masks=None)[0]
        return sparse

    def _decoded(self, image: Tensor, tokens: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """The four masks and their expected IoU; MaskDecoder.predict_masks for prompts of several pictures."""
        decoder, count = self.mask_decoder, len(tokens)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(count, -1, -1)
        none = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        shown = self.prompt_encoder.mask_downscaling(prompts.prior)
        dense = torch.where(prompts.has_prior[:, None, None, None], shown, none)
        positions = self.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
        found, cells = decoder.transformer(image + dense, positions, torch.cat([own, tokens], dim=1))
        upscaled = decoder.output_upscaling(cells.transpose(1, 2).unflatten(2, image.shape[-2:]))
        mlps = enumerate(decoder.output_hypernetworks_mlps, 1)
        weights = torch.stack([mlp(found[:, index]) for index, mlp in mlps], dim=1)
        masks = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        return masks, decoder.iou_prediction_head(found[:, 0])


def simulate_user(model: Reference, batch: Batch, rng: np.random.Generator) -> SimulationResult:
    """Answer the prompts of a batch, some of them after corrections."""
    image = model.encode(normalised(batch.rgb, batch.valid, torch.float32))

    def answers(crops: Tensor, prompts: Prompts) -> RegionMasks:
        return model.answer(image[crops], prompts)

    prompts = corrected_prompts(answers, batch, rng)
    mask, iou, agreement = answer_losses(answers(batch.picture, prompts), batch)
    nothing = mask.new_zeros(())
    return SimulationResult(Losses(mask, iou, nothing, nothing), agreement, prompts)


def main() -> None:
    options = parser("reference.py", __doc__, Schedule(steps=2000, rate=6e-4, cool_down=800)).parse_args()
    with errors_as_messages():
        learner = train(options, Reference, simulate_user, CropOptions(sizes=(SIZE,)))
    if learner.step:
        torch.save(learner.average.module.state_dict(), options.output / "reference.pt")


if __name__ == "__main__":
    main()
