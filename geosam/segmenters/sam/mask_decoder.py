"""Mask decoder of the whole SAM family: prompts and the features of a tile -> masks of low resolution.

Follows segment_anything/modeling/mask_decoder.py, sam2/modeling/sam/mask_decoder.py and
segment_anything_hq/modeling/mask_decoder_hq.py, with the work that does not depend on prompts done once for a tile
(`prepare`), the predicted IoU known before a mask is made, and masks made only if they are chosen (`decode`).

Prompts go through in micro-batches. On a CPU these are single prompts: the 4 MB of an image stay in its cache, and what
comes out for a prompt cannot depend on the prompts beside it, to the byte. Other devices are kept busy by many at once,
and may round differently in a batch of another size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from geosam.segmenters.sam.dense import Linear, times_transposed
from geosam.segmenters.sam.hq import hq_features, hq_logits, hq_modules
from geosam.segmenters.sam.layers import LayerNorm2d, Mlp
from geosam.segmenters.sam.prompt_encoder import PromptTensors
from geosam.segmenters.sam.transformer import Projected, TwoWayTransformer
from geosam.segmenters.sam.upscaling import Upscaling, four_fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from geosam.segmenters.sam.features import ImageFeatures
    from geosam.segmenters.sam.prompt_encoder import PromptEncoder

    #: Which masks are wanted: predicted IoU (n, 4) and object logits (n,) or None, in float32, -> (n, 4) bool.
    Choose = Callable[[Tensor, Tensor | None], Tensor]

#: Masks of a prompt: column 0 for prompts that leave no doubt, then three from part to whole.
COLUMNS = 4
#: Prompts that go through the decoder together: one on CPUs, which is the fastest in float32 (four would take 15 % less
#: time in bfloat16, see benchmarks/decoder.py); elsewhere what the official mask generator takes.
_ON_CPU, _ELSEWHERE = 1, 64


@dataclass(frozen=True)
class DecoderConfig:
    """What differs between the decoders of the family."""

    width: int = 256
    """Channels of tokens and of the image embedding."""
    depth: int = 2
    """Two-way blocks."""
    heads: int = 8
    inner_width: int = 128
    """Of attention between tokens and image."""
    mlp_width: int = 2048
    iou_depth: int = 3
    """Linear layers of the head that predicts IoU."""
    iou_width: int = 256
    iou_sigmoid: bool = False
    object_score: Literal["none", "linear", "mlp"] = "none"
    """How it is told whether there is an object at all."""
    high_res: bool = False
    """Whether the encoder's finer levels are added while masks are upscaled."""
    early_width: int | None = None
    """Channels of the early features that HQ-SAM adds; None for all others."""


#: SAM and MobileSAM.
SAM = DecoderConfig()
#: SAM 2.0 and 2.1.
SAM2 = DecoderConfig(iou_sigmoid=True, object_score="mlp", high_res=True)


def hq_sam(early_width: int) -> DecoderConfig:
    """HQ-SAM over an encoder whose early features have that many channels: 768, 1024, 1280, or 160 for TinyViT."""
    return DecoderConfig(early_width=early_width)


class MaskDecoder(nn.Module):
    """The decoder's parameters under SAM 2's names, and its steps; `prepare` and `decode` put them together."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, narrow = config.width, config.width // 8
        self.config = config
        self.transformer = TwoWayTransformer(width, config.depth, config.heads, config.inner_width, config.mlp_width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(COLUMNS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2), LayerNorm2d(width // 4), nn.GELU(),
            nn.ConvTranspose2d(width // 4, narrow, 2, stride=2), nn.GELU(),
        )  # fmt: skip
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp((width, width, width, narrow)) for _ in range(COLUMNS))
        self.iou_prediction_head = Mlp((width, *[config.iou_width] * (config.iou_depth - 1), COLUMNS))
        if config.object_score != "none":
            self.obj_score_token = nn.Embedding(1, width)
            mlp = config.object_score == "mlp"
            self.pred_obj_score_head = Mlp((width, width, width, 1)) if mlp else Linear(width, 1)
        if config.high_res:
            self.conv_s0 = nn.Conv2d(width, narrow, 1)
            self.conv_s1 = nn.Conv2d(width, width // 4, 1)
        if config.early_width is not None:
            for name, module in hq_modules(width, config.early_width).items():
                self.add_module(name, module)

    @property
    def _iou_index(self) -> int:
        """Where the IoU token stands; mask tokens follow, then HQ-SAM's."""
        return int(self.config.object_score != "none")

    def output_tokens(self) -> Tensor:
        """(S, C) the tokens that go before those of a prompt."""
        before = [self.obj_score_token] if self._iou_index else []
        after = [] if self.config.early_width is None else [self.get_submodule("hf_token")]
        tokens = (*before, self.iou_token, self.mask_tokens, *after)
        return torch.cat([token.get_parameter("weight") for token in tokens])

    def scores(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, T, C) after the transformer -> predicted IoU (B, 4), object logits (B,) or None; float32."""
        iou = self.iou_prediction_head(tokens[:, self._iou_index]).float()
        if self.config.iou_sigmoid:
            iou = iou.sigmoid()
        if not self._iou_index:
            return iou, None
        return iou, self.pred_obj_score_head(tokens[:, 0]).float()[:, 0]

    def logits(self, tokens: Tensor, image: Tensor, chosen: Tensor, context: TileContext) -> Tensor:
        """(R, 4h, 4w) float32 logits of the chosen masks, by prompt, then by column.

        Args:
            tokens: (B, T, C) after the transformer.
            image: (B, N, C) after the transformer.
            chosen: (B, 4) bool.
            context: of the tile.
        """
        columns = [[column for column, wanted in enumerate(row) if wanted] for row in chosen.tolist()]
        asked = [row for row, own in enumerate(columns) if own]
        if not asked:
            return image.new_empty(0, *(4 * side for side in context.size_hw), dtype=torch.float32)
        if len(asked) < len(columns):
            tokens, image, columns = tokens[asked], image[asked], [columns[row] for row in asked]
        weights, used = self._weights(tokens, columns)
        planes, fine = [], []
        for block in context.upscaling.blocks(image):
            planes.append(times_transposed(weights, block))
            if context.hq is not None:
                fine.append(block)
        logits = four_fold(torch.cat(planes, dim=2)[used], *context.size_hw)
        if context.hq is not None:
            sharper = hq_logits(self, tokens[:, self._iou_index + 1 + COLUMNS], torch.cat(fine, dim=1), context.hq)
            logits += sharper[used.nonzero()[:, 0]]
        return logits.float()

    def _weights(self, tokens: Tensor, columns: list[list[int]]) -> tuple[Tensor, Tensor]:
        """What masks weigh the upscaled image with.

        Args:
            tokens: (B, T, C) after the transformer.
            columns: of the masks of each prompt, r of them at most.

        Returns:
            (B, r, C / 8) weights, and (B, r) which of them are of masks.
        """
        most = max(map(len, columns))
        weights = tokens.new_zeros(len(columns), most, self.config.width // 8)
        for column, mlp in enumerate(self.output_hypernetworks_mlps):
            rows = [row for row, own in enumerate(columns) if column in own]
            if rows:
                slots = [columns[row].index(column) for row in rows]
                weights[rows, slots] = mlp(tokens[rows, self._iou_index + 1 + column])
        used = [[slot < len(own) for slot in range(most)] for own in columns]
        return weights, torch.tensor(used, device=tokens.device)


class TileContext(NamedTuple):
    """What the decoder knows of a tile before there are prompts, N = h * w pixels of its embedding."""

    image: Tensor
    """(1, N, C) the image embedding."""
    size_hw: tuple[int, int]
    """h, w."""
    known: tuple[Projected, ...]
    """For the transformer's layers; the first for prompts without a mask."""
    upscaling: Upscaling
    """With SAM 2's finer levels."""
    hq: Tensor | None
    """HQ-SAM: (C / 8, 4h, 4w) early and late features together."""


class Decoded(NamedTuple):
    """R chosen masks, ordered by prompt, then by column."""

    prompt: Tensor
    """(R,) row in the prompts."""
    column: Tensor
    """(R,) 0 the single mask, 1 .. 3 the others."""
    iou: Tensor
    """(R,) predicted IoU, float32."""
    object_logit: Tensor | None
    """(R,) SAM 2: whether there is an object at all, float32. Its image predictor leaves masks as they are if not."""
    logits: Tensor
    """(R, 4h, 4w) float32, positive inside."""

    def rows(self, keep: Tensor) -> Decoded:
        """The rows that a mask (R,) keeps."""
        objects = None if self.object_logit is None else self.object_logit[keep]
        return Decoded(self.prompt[keep], self.column[keep], self.iou[keep], objects, self.logits[keep])

    @classmethod
    def joined(cls, parts: list[Decoded]) -> Decoded:
        """The rows of all parts, of which there is at least one."""
        if len(parts) == 1:
            return parts[0]
        prompts, columns, ious, objects, logits = zip(*parts, strict=True)
        return cls(
            torch.cat(prompts),
            torch.cat(columns),
            torch.cat(ious),
            None if objects[0] is None else torch.cat(objects),
            torch.cat(logits),
        )


@torch.inference_mode()
def prepare(prompt_encoder: PromptEncoder, decoder: MaskDecoder, features: ImageFeatures) -> TileContext:
    """What `decode` needs of a tile (a batch of one).

    For a tile of 1024 x 1024 pixels 16 MB in float32 (SAM 2: 28, HQ-SAM: 24), half of it in half precision.
    """
    _, _, height, width = features.image.shape
    image = features.image.flatten(2).transpose(1, 2).contiguous()
    positions = prompt_encoder.grid(height, width)
    first = decoder.transformer.project(image + prompt_encoder.no_mask_embed.weight, positions)
    return TileContext(
        image=image,
        size_hw=(height, width),
        known=(first, *decoder.transformer.place(positions)),
        upscaling=Upscaling.of(decoder.output_upscaling, features.high_res, height, width),
        hq=None if decoder.config.early_width is None else hq_features(decoder, features),
    )


@torch.inference_mode()
def decode(
    prompt_encoder: PromptEncoder,
    decoder: MaskDecoder,
    context: TileContext,
    prompts: PromptTensors,
    choose: Choose,
    *,
    micro_batch: int | None = None,
) -> Decoded:
    """The masks that `choose` wants.

    HQ-SAM adds the mask of its own token to every chosen one, as its predictor does unless told `hq_token_only`. (It
    shows only the best of the three masks: choose that one.)

    Args:
        prompt_encoder: its embeddings.
        decoder: its parameters.
        context: of the tile, from `prepare`.
        prompts: on the same device.
        choose: told the scores of a micro-batch, says which masks are to be made; the cheaper the fewer prompts.
        micro_batch: how many prompts go together; None for what is best on the device.
    """
    best = _ON_CPU if context.image.device.type == "cpu" else _ELSEWHERE
    size = micro_batch or best
    parts = []
    for start in range(0, max(len(prompts.points), 1), size):
        rows = slice(start, start + size)
        masks = None if prompts.masks is None else prompts.masks[rows]
        together = PromptTensors(prompts.points[rows], prompts.labels[rows], masks)
        part = _decode_together(prompt_encoder, decoder, context, together, choose)
        parts.append(part._replace(prompt=part.prompt + start))
    return Decoded.joined(parts)


def _decode_together(
    prompt_encoder: PromptEncoder, decoder: MaskDecoder, context: TileContext, prompts: PromptTensors, choose: Choose
) -> Decoded:
    """One micro-batch."""
    own = prompt_encoder.tokens(prompts.points, prompts.labels)
    kinds = torch.cat([decoder.output_tokens().expand(len(own), -1, -1), own], dim=1)
    if prompts.masks is None:
        tokens, image = decoder.transformer(kinds, context.image, context.known, prompt_encoder.no_mask_embed.weight[0])
    else:
        image = context.image + prompt_encoder.mask_embeddings(prompts.masks)
        first = decoder.transformer.project(image, prompt_encoder.grid(*context.size_hw))
        tokens, image = decoder.transformer(kinds, image, (first, *context.known[1:]))
    iou, object_logit = decoder.scores(tokens)
    chosen = choose(iou, object_logit)
    prompt, column = chosen.nonzero(as_tuple=True)
    return Decoded(
        prompt=prompt,
        column=column,
        iou=iou[chosen],
        object_logit=None if object_logit is None else object_logit[prompt],
        logits=decoder.logits(tokens, image, chosen, context),
    )


def dynamic_columns(decoded: Decoded, delta: float = 0.05, threshold: float = 0.98) -> Decoded:
    """One mask a prompt, as SAM 2 has it: the single mask if it is stable, else the best of the other three.

    Stable means that raising the cut by `delta` leaves `threshold` of what lowering it gives; see
    `_dynamic_multimask_via_stability` in sam2/modeling/sam/mask_decoder.py.

    Args:
        decoded: for each of its prompts at least column 0, and the column of 1 .. 3 with the highest predicted IoU.
        delta: distance of the two cuts from 0.
        threshold: least stability.
    """
    prompts, place = decoded.prompt.unique(return_inverse=True)
    iou = decoded.iou.new_full((len(prompts), COLUMNS), -torch.inf)
    iou[place, decoded.column] = decoded.iou
    single = decoded.column == 0
    logits = decoded.logits[single].flatten(1)
    higher, lower = (logits > delta).sum(dim=1), (logits > -delta).sum(dim=1)
    stable = torch.where(lower > 0, higher / lower, 1) >= threshold
    column = torch.where(stable, 0, iou[:, 1:].argmax(dim=1) + 1)
    return decoded.rows(decoded.column == column[place])
