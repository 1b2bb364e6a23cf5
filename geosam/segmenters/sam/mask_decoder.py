"""The mask decoder of the SAM family: from prompts and the features of a tile to low-resolution masks.

Reference: segment_anything/modeling/mask_decoder.py, sam2/modeling/sam/mask_decoder.py and
segment_anything_hq/modeling/mask_decoder_hq.py. The order of the work differs: `prepare` does the part that needs no
prompt once for a tile, and `decode` predicts the IoU first and makes only the masks that are chosen.

Prompts are decoded in micro-batches. On a CPU a micro-batch is one prompt: the 4 MB of an image stay in cache, and no
byte of a mask depends on the other prompts. Other devices need many prompts at once, and may round differently in a
batch of another size.
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

    #: Choice of masks: predicted IoU (n, 4) and object logits (n,) or None, both float32, -> (n, 4) bool.
    Choose = Callable[[Tensor, Tensor | None], Tensor]

#: Masks of a prompt: column 0 for unambiguous prompts, then three from part to group.
COLUMNS = 4
#: Size of micro-batches. One prompt is fastest on CPUs in float32; in bfloat16 four would take 15 % less time (see
#: benchmarks/decoder.py). Elsewhere it is the size of the official mask generator.
_ON_CPU, _ELSEWHERE = 1, 64


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and options of one decoder of the family."""

    width: int = 256
    """Channels of tokens and of the image embedding."""
    depth: int = 2
    """Number of two-way blocks."""
    heads: int = 8
    """Attention heads."""
    inner_width: int = 128
    """Channels of the attention between tokens and image."""
    mlp_width: int = 2048
    """Inner channels of the perceptrons of the transformer."""
    iou_depth: int = 3
    """Linear layers of the head that predicts IoU."""
    iou_width: int = 256
    """Inner channels of that head."""
    iou_sigmoid: bool = False
    """True if a sigmoid follows that head."""
    object_score: Literal["none", "linear", "mlp"] = "none"
    """Kind of the head that predicts the presence of an object."""
    high_res: bool = False
    """True if the finer levels of the encoder are added while masks are upscaled."""
    early_width: int | None = None
    """Channels of the early features that HQ-SAM adds; None for all others."""


#: SAM and MobileSAM.
SAM = DecoderConfig()
#: SAM 2.0 and 2.1.
SAM2 = DecoderConfig(iou_sigmoid=True, object_score="mlp", high_res=True)


def hq_sam(early_width: int) -> DecoderConfig:
    """Return the configuration of HQ-SAM for early features of 768, 1024, 1280, or (TinyViT) 160 channels."""
    return DecoderConfig(early_width=early_width)


class MaskDecoder(nn.Module):
    """Parameters of the decoder under SAM 2's names, and its steps. `prepare` and `decode` combine the steps."""

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
        """Index of the IoU token. The mask tokens follow, then the token of HQ-SAM."""
        return int(self.config.object_score != "none")

    def output_tokens(self) -> Tensor:
        """Return the tokens (S, C) in front of the tokens of a prompt."""
        before = [self.obj_score_token] if self._iou_index else []
        after = [] if self.config.early_width is None else [self.get_submodule("hf_token")]
        tokens = (*before, self.iou_token, self.mask_tokens, *after)
        return torch.cat([token.get_parameter("weight") for token in tokens])

    def scores(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Predict from tokens (B, T, C) after the transformer: IoU (B, 4), and object logits (B,) or None; float32."""
        iou = self.iou_prediction_head(tokens[:, self._iou_index]).float()
        if self.config.iou_sigmoid:
            iou = iou.sigmoid()
        if not self._iou_index:
            return iou, None
        return iou, self.pred_obj_score_head(tokens[:, 0]).float()[:, 0]

    def logits(self, tokens: Tensor, image: Tensor, chosen: Tensor, context: TileContext) -> Tensor:
        """Return logits (R, 4h, 4w), float32, of the chosen masks, by prompt, then by column.

        Args:
            tokens: (B, T, C) after the transformer.
            image: (B, N, C) after the transformer.
            chosen: (B, 4) bool.
            context: state of the tile.
        """
        columns = [[column for column, is_chosen in enumerate(row) if is_chosen] for row in chosen.tolist()]
        rows = [row for row, own in enumerate(columns) if own]
        if not rows:
            return image.new_empty(0, *(4 * side for side in context.size_hw), dtype=torch.float32)
        if len(rows) < len(columns):
            tokens, image, columns = tokens[rows], image[rows], [columns[row] for row in rows]
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
        """Compute the weights of masks over the channels of the upscaled image.

        Args:
            tokens: (B, T, C) after the transformer.
            columns: chosen columns of each prompt, at most r.

        Returns:
            Weights (B, r, C / 8), and True (B, r) for weights of a mask.
        """
        most = max(map(len, columns))
        weights = tokens.new_zeros(len(columns), most, self.config.width // 8)
        for column, mlp in enumerate(self.output_hypernetworks_mlps):
            rows = [row for row, own in enumerate(columns) if column in own]
            if rows:  # an MLP runs for the chosen masks only
                slots = [columns[row].index(column) for row in rows]
                weights[rows, slots] = mlp(tokens[rows, self._iou_index + 1 + column])
        used = [[slot < len(own) for slot in range(most)] for own in columns]
        return weights, torch.tensor(used, device=tokens.device)


class TileContext(NamedTuple):
    """State of the decoder for one tile, which needs no prompt. The embedding has N = h * w pixels."""

    image: Tensor
    """(1, N, C) image embedding."""
    size_hw: tuple[int, int]
    """(height, width) of the embedding, h and w."""
    projected: tuple[Projected, ...]
    """Projections for the layers of the transformer. The first one is for prompts without a mask."""
    upscaling: Upscaling
    """Upscaling, with SAM 2's finer levels."""
    hq: Tensor | None
    """HQ-SAM only: (C / 8, 4h, 4w) sum of early and late features."""


class Decoded(NamedTuple):
    """R chosen masks, ordered by prompt, then by column."""

    prompt: Tensor
    """(R,) row of the prompt."""
    column: Tensor
    """(R,) 0 for the single mask, 1 .. 3 for the others."""
    iou: Tensor
    """(R,) predicted IoU, float32."""
    object_logit: Tensor | None
    """(R,) SAM 2 only: logit of the presence of an object, float32. Its predictor keeps masks if it is low, too."""
    logits: Tensor
    """(R, 4h, 4w) float32, positive inside."""

    def rows(self, keep: Tensor) -> Decoded:
        """Return the rows that a mask (R,) keeps."""
        objects = None if self.object_logit is None else self.object_logit[keep]
        return Decoded(self.prompt[keep], self.column[keep], self.iou[keep], objects, self.logits[keep])

    @classmethod
    def joined(cls, parts: list[Decoded]) -> Decoded:
        """Join the rows of one or more parts."""
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
    """Compute the state of the decoder for one tile (B = 1).

    For a tile of 1024 x 1024 pixels it takes 16 MB in float32 (SAM 2: 28, HQ-SAM: 24), and half of that in half
    precision.
    """
    _, _, height, width = features.image.shape
    image = features.image.flatten(2).transpose(1, 2).contiguous()
    positions = prompt_encoder.grid(height, width)
    first = decoder.transformer.project(image + prompt_encoder.no_mask_embed.weight, positions)
    return TileContext(
        image=image,
        size_hw=(height, width),
        projected=(first, *decoder.transformer.place(positions)),
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
    """Decode prompts, and return the masks that `choose` selects.

    HQ-SAM adds the mask of its token to every chosen mask, as its predictor does without `hq_token_only`. Its predictor
    shows only the best of the three masks.

    Args:
        prompt_encoder: encoder of the prompts.
        decoder: mask decoder.
        context: state of the tile, from `prepare`.
        prompts: prompts on the same device.
        choose: selects masks by the scores of a micro-batch. Fewer prompts with a mask take less time.
        micro_batch: number of prompts that are decoded together; None for the best number on the device.
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
    """Decode one micro-batch."""
    own = prompt_encoder.tokens(prompts.points, prompts.labels)
    kinds = torch.cat([decoder.output_tokens().expand(len(own), -1, -1), own], dim=1)
    if prompts.masks is None:
        tokens, image = decoder.transformer(
            kinds, context.image, context.projected, prompt_encoder.no_mask_embed.weight[0]
        )
    else:
        image = context.image + prompt_encoder.mask_embeddings(prompts.masks)
        first = decoder.transformer.project(image, prompt_encoder.grid(*context.size_hw))
        tokens, image = decoder.transformer(kinds, image, (first, *context.projected[1:]))
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
    """Return one mask for each prompt: the single mask if it is stable, otherwise the best of the other three.

    Stability is the number of pixels above `delta` divided by the number above -`delta`; see
    `_dynamic_multimask_via_stability` in sam2/modeling/sam/mask_decoder.py.

    Args:
        decoded: masks with column 0, and the column of 1 .. 3 with the highest predicted IoU, for each prompt.
        delta: distance of the two thresholds from 0.
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
