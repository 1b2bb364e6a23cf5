"""The two-way transformer: a few tokens read a large image, and write into it.

The arithmetic is that of segment_anything/modeling/transformer.py (and of sam2/modeling/sam/transformer.py), in another
order. An image of N pixels meets T tokens, and T is about 7 while N is 4096, so all work that grows with N counts:

- What the first layer projects of an image does not depend on prompts: see `Projected`.
- Later the image differs from prompt to prompt. `q . (W x + b) = (W' q) . x + q . b`, so the projection of the image's
  pixels is moved to the tokens: with H heads, H * T vectors are projected instead of N. The position of a pixel is
  added to it before the projection and is the same for all prompts, so it comes as a term of its own.
- The same holds for values: `sum a_i (W x_i + b) = W (sum a_i x_i) + b`, as attention weights add up to one. And what
  tokens write into an image goes through the output projection before it is spread over the pixels.

(Projecting the image would be cheaper for prompts of more than about ten points.)

Images are (B, N, C), pixels row by row, channels last. Attention weights are (B, H * T, N): softmax over pixels or over
tokens then runs along or across long rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from torch import nn
from torch.nn import functional

from geosam.segmenters.sam.dense import Linear, added, times_transposed
from geosam.segmenters.sam.layers import Mlp

if TYPE_CHECKING:
    from torch import Tensor


class Projected(NamedTuple):
    """What a layer knows of an image before there are tokens, for c = width / heads channels a head.

    In the first layer this is the image with its positions; in later ones the positions only.
    """

    keys: Tensor
    """(1 or B, H, c, N) for tokens that read."""
    queries: Tensor | None = None
    """(1 or B, H, c, N) for tokens that write; None where nothing is written."""
    values: Tensor | None = None
    """(1 or B, H, N, c) what is read; None where it is read off the image itself, and positions are all there is."""


class Attention(nn.Module):
    """Multi-head attention with an inner width of its own; parameters are named as the official ones."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = Linear(width, inner)
        self.k_proj = Linear(width, inner)
        self.v_proj = Linear(width, inner)
        self.out_proj = Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Tokens among themselves: (B, T, C) each -> (B, T, C)."""
        heads = (self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v)))
        return self._merged(functional.scaled_dot_product_attention(*heads))

    def read(self, q: Tensor, image: Tensor, known: Projected) -> Tensor:
        """Tokens (B, T, C) read an image (B, N, C) -> (B, T, C)."""
        heads = self._split(self.q_proj(q)) * self.scale
        if known.values is not None:
            return self._merged((heads @ known.keys).softmax(dim=-1) @ known.values)
        weights = self._scores(heads, self.k_proj, image, known.keys).softmax(dim=-1)
        seen = times_transposed(weights.flatten(1, 2), image.transpose(1, 2))
        values = seen.view(*weights.shape[:3], image.shape[2]) @ self._per_head(self.v_proj.weight).transpose(1, 2)
        return self._merged(values + self.v_proj.bias.view(self.heads, 1, -1))

    def write(self, k: Tensor, v: Tensor, image: Tensor, known: Projected, extra: Tensor | None = None) -> Tensor:
        """What tokens (B, T, C) write, added to an image (1 or B, N, C) -> (B, N, C).

        Args:
            k: tokens with their positions.
            v: tokens.
            image: what is written into.
            known: of the image.
            extra: (C,) to be added to all pixels of the image as well.
        """
        heads = self._split(self.k_proj(k)) * self.scale
        queries = cast("Tensor", known.queries)  # only the last attention has none, and it writes nothing
        if known.values is not None:
            weights = (heads @ queries).softmax(dim=2)
        else:
            weights = self._scores(heads, self.q_proj, image, queries).softmax(dim=2)
        outward = self._per_head(self.out_proj.weight.T)
        values = self._split(self.v_proj(v)) @ outward
        # What all pixels get goes with the values of one head, whose weights add up to one as well.
        values[:, 0] += self.out_proj.bias if extra is None else self.out_proj.bias + extra
        return added(image, weights.flatten(1, 2).transpose(1, 2), values.flatten(1, 2))

    def keys(self, image: Tensor) -> Tensor:
        """(B, N, C) -> (B, H, c, N)."""
        return self._split(self.k_proj(image)).transpose(2, 3).contiguous()

    def queries(self, image: Tensor) -> Tensor:
        """(B, N, C) -> (B, H, c, N)."""
        return self._split(self.q_proj(image)).transpose(2, 3).contiguous()

    def values(self, image: Tensor) -> Tensor:
        """(B, N, C) -> (B, H, N, c)."""
        return self._split(self.v_proj(image)).contiguous()

    def _scores(self, heads: Tensor, projection: Linear, image: Tensor, positions: Tensor) -> Tensor:
        """(B, H, T, N) products of tokens (B, H, T, c) with the projection of an image."""
        moved = (heads @ self._per_head(projection.weight)).flatten(1, 2)
        content = times_transposed(moved, image)
        return content.view(*heads.shape[:3], image.shape[1]).add_(heads @ positions)

    def _per_head(self, weight: Tensor) -> Tensor:
        """(H * c, C) -> (H, c, C)."""
        return weight.reshape(self.heads, -1, weight.shape[1])

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def _merged(self, heads: Tensor) -> Tensor:
        out: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        return out


class TwoWayBlock(nn.Module):
    """Tokens look at each other, read the image, think, and write into the image."""

    def __init__(self, width: int, heads: int, inner: int, mlp_width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, inner)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp((width, mlp_width, width))
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, inner)

    def project(self, image: Tensor, positions: Tensor) -> Projected:
        """What a first layer knows of an image (B, N, C) with its positions (N, C)."""
        placed = image + positions
        reading, writing = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        return Projected(reading.keys(placed), writing.queries(placed), reading.values(image))

    def place(self, positions: Tensor) -> Projected:
        """What a later layer knows of any image: its positions (N, C)."""
        reading, writing = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        return Projected(reading.keys(positions[None]), writing.queries(positions[None]))

    def forward(
        self, tokens: Tensor, kinds: Tensor, image: Tensor, known: Projected, extra: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both after the layer.

        Args:
            tokens: (B, T, C).
            kinds: (B, T, C) the tokens that entered the first layer, which serve as the tokens' positions.
            image: (1 or B, N, C).
            known: of the image.
            extra: (C,) what is still to be added to the image; `known` has it.
        """
        if known.values is not None:  # the first layer: tokens are still what they are
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + kinds
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image.read(tokens + kinds, image, known))
        tokens = self.norm3(tokens + self.mlp(tokens))
        written = self.cross_attn_image_to_token.write(tokens + kinds, tokens, image, known, extra)
        return tokens, self.norm4(written)


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last look at the image; parameters are named as SAM 2's."""

    def __init__(self, width: int, depth: int, heads: int, inner: int, mlp_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, inner, mlp_width) for _ in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, inner)
        self.norm_final_attn = nn.LayerNorm(width)

    def project(self, image: Tensor, positions: Tensor) -> Projected:
        """What the first layer knows of an image (B, N, C) with its positions (N, C)."""
        first: TwoWayBlock = self.layers[0]  # type: ignore[assignment]
        return first.project(image, positions)

    def place(self, positions: Tensor) -> tuple[Projected, ...]:
        """What all layers but the first, and the last attention, know of any image: its positions (N, C)."""
        later = [layer.place(positions) for layer in self.layers[1:]]  # type: ignore[operator]
        return (*later, Projected(self.final_attn_token_to_image.keys(positions[None])))

    def forward(
        self, kinds: Tensor, image: Tensor, known: tuple[Projected, ...], extra: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, C) and image (B, N, C) after all layers.

        Args:
            kinds: (B, T, C) tokens.
            image: (1 or B, N, C).
            known: of the image, `depth` + 1 of them: from `project`, then `place`.
            extra: (C,) what is still to be added to the image; `known` has it.
        """
        tokens = kinds
        *of_layers, of_last = known
        for layer, of_layer in zip(self.layers, of_layers, strict=True):
            tokens, image = layer(tokens, kinds, image, of_layer, extra)
            extra = None
        tokens = tokens + self.final_attn_token_to_image.read(tokens + kinds, image, of_last)
        return self.norm_final_attn(tokens), image
