"""The two-way transformer: a few tokens read a large image and write into it.

The arithmetic is that of segment_anything/modeling/transformer.py and sam2/modeling/sam/transformer.py, in another
order. T, the number of tokens, is about 7. N, the number of pixels of the image, is 4096. So the work that grows with N
decides about the time:

- The first layer projects the image before there are prompts: see `Projected`.
- In later layers the image differs between prompts. As `q . (W x + b) = (W' q) . x + q . b`, the projection moves from
  the pixels to the tokens: with H heads, H * T vectors are projected instead of N. The position of a pixel is added
  before the projection and is the same for all prompts, so it is a separate term.
- Values follow the same rule: `sum a_i (W x_i + b) = W (sum a_i x_i) + b`, because attention weights add up to one.
  Values that tokens write pass the output projection before they are spread over the pixels.

For prompts of more than about ten points, projecting the image would be cheaper.

Images are (B, N, C), pixels row by row, channels last. Attention weights are (B, H * T, N), so that softmax over pixels
or over tokens runs along or across long rows.
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
    """Projections of an image that do not depend on tokens, with c = width / heads channels in each head.

    The first layer projects the image with its positions, later layers project the positions only.
    """

    keys: Tensor
    """(1 or B, H, c, N) keys for tokens that read."""
    queries: Tensor | None = None
    """(1 or B, H, c, N) queries for tokens that write; None if nothing is written."""
    values: Tensor | None = None
    """(1 or B, H, N, c) values of the first layer; None in later layers, which read the image itself."""


class Attention(nn.Module):
    """Multi-head attention with its own inner width. Parameters have the official names."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = Linear(width, inner)
        self.k_proj = Linear(width, inner)
        self.v_proj = Linear(width, inner)
        self.out_proj = Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Compute attention between tokens (B, T, C): (B, T, C)."""
        heads = (self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v)))
        return self._merged(functional.scaled_dot_product_attention(*heads))

    def read(self, q: Tensor, image: Tensor, projected: Projected) -> Tensor:
        """Let tokens (B, T, C) read an image (B, N, C): (B, T, C)."""
        heads = self._split(self.q_proj(q)) * self.scale
        if projected.values is not None:
            return self._merged((heads @ projected.keys).softmax(dim=-1) @ projected.values)
        weights = self._scores(heads, self.k_proj, image, projected.keys).softmax(dim=-1)
        mean = times_transposed(weights.flatten(1, 2), image.transpose(1, 2))
        values = mean.view(*weights.shape[:3], image.shape[2]) @ self._per_head(self.v_proj.weight).transpose(1, 2)
        return self._merged(values + self.v_proj.bias.view(self.heads, 1, -1))

    def write(self, k: Tensor, v: Tensor, image: Tensor, projected: Projected, extra: Tensor | None = None) -> Tensor:
        """Let tokens write into an image: (B, N, C).

        Args:
            k: (B, T, C) tokens with their positions.
            v: (B, T, C) tokens.
            image: (1 or B, N, C).
            projected: projections of the image.
            extra: (C,) vector that is added to all pixels too.
        """
        heads = self._split(self.k_proj(k)) * self.scale
        queries = cast("Tensor", projected.queries)  # only the last attention has none, and it does not write
        if projected.values is not None:
            weights = (heads @ queries).softmax(dim=2)
        else:
            weights = self._scores(heads, self.q_proj, image, queries).softmax(dim=2)
        outward = self._per_head(self.out_proj.weight.T)
        values = self._split(self.v_proj(v)) @ outward
        # A vector for all pixels joins the values of one head: its weights add up to one for every pixel.
        values[:, 0] += self.out_proj.bias if extra is None else self.out_proj.bias + extra
        return added(image, weights.flatten(1, 2).transpose(1, 2), values.flatten(1, 2))

    def keys(self, image: Tensor) -> Tensor:
        """Project an image (B, N, C) to keys (B, H, c, N)."""
        return self._split(self.k_proj(image)).transpose(2, 3).contiguous()

    def queries(self, image: Tensor) -> Tensor:
        """Project an image (B, N, C) to queries (B, H, c, N)."""
        return self._split(self.q_proj(image)).transpose(2, 3).contiguous()

    def values(self, image: Tensor) -> Tensor:
        """Project an image (B, N, C) to values (B, H, N, c)."""
        return self._split(self.v_proj(image)).contiguous()

    def _scores(self, heads: Tensor, projection: Linear, image: Tensor, positions: Tensor) -> Tensor:
        """Return the products (B, H, T, N) of tokens (B, H, T, c) with the projection of an image (B, N, C)."""
        moved = (heads @ self._per_head(projection.weight)).flatten(1, 2)
        content = times_transposed(moved, image)
        return content.view(*heads.shape[:3], image.shape[1]).add_(heads @ positions)

    def _per_head(self, weight: Tensor) -> Tensor:
        """Divide a weight (H * c, C) by heads: (H, c, C)."""
        return weight.reshape(self.heads, -1, weight.shape[1])

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def _merged(self, heads: Tensor) -> Tensor:
        out: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        return out


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, attention to the image, a perceptron, and attention of the image to the tokens."""

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
        """Project an image (B, N, C) with its positions (N, C), for a first layer."""
        placed = image + positions
        reading, writing = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        return Projected(reading.keys(placed), writing.queries(placed), reading.values(image))

    def place(self, positions: Tensor) -> Projected:
        """Project the positions (N, C) of any image, for a later layer."""
        reading, writing = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        return Projected(reading.keys(positions[None]), writing.queries(positions[None]))

    def forward(
        self, tokens: Tensor, kinds: Tensor, image: Tensor, projected: Projected, extra: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, C) and image (B, N, C) after the layer.

        Args:
            tokens: (B, T, C).
            kinds: (B, T, C) tokens that entered the first layer. They are the positions of the tokens.
            image: (1 or B, N, C).
            projected: projections of the image.
            extra: (C,) vector that the image still lacks. `projected` includes it.
        """
        if projected.values is not None:  # the first layer, where tokens and kinds are equal
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + kinds
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image.read(tokens + kinds, image, projected))
        tokens = self.norm3(tokens + self.mlp(tokens))
        written = self.cross_attn_image_to_token.write(tokens + kinds, tokens, image, projected, extra)
        return tokens, self.norm4(written)


class TwoWayTransformer(nn.Module):
    """Two-way blocks, `depth` of them, and a last attention to the image. Parameters have SAM 2's names."""

    def __init__(self, width: int, depth: int, heads: int, inner: int, mlp_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, inner, mlp_width) for _ in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, inner)
        self.norm_final_attn = nn.LayerNorm(width)

    def project(self, image: Tensor, positions: Tensor) -> Projected:
        """Project an image (B, N, C) with its positions (N, C) for the first layer."""
        first: TwoWayBlock = self.layers[0]  # type: ignore[assignment]
        return first.project(image, positions)

    def place(self, positions: Tensor) -> tuple[Projected, ...]:
        """Project the positions (N, C) of any image for the later layers and for the last attention."""
        later = [layer.place(positions) for layer in self.layers[1:]]  # type: ignore[operator]
        return (*later, Projected(self.final_attn_token_to_image.keys(positions[None])))

    def forward(
        self, kinds: Tensor, image: Tensor, projected: tuple[Projected, ...], extra: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, C) and image (B, N, C) after all layers.

        Args:
            kinds: (B, T, C) tokens.
            image: (1 or B, N, C).
            projected: `depth` + 1 projections of the image: the one of `project`, then those of `place`.
            extra: (C,) vector that the image still lacks. The first projection includes it.
        """
        tokens = kinds
        *for_layers, for_last = projected
        for layer, for_layer in zip(self.layers, for_layers, strict=True):
            tokens, image = layer(tokens, kinds, image, for_layer, extra)
            extra = None
        tokens = tokens + self.final_attn_token_to_image.read(tokens + kinds, image, for_last)
        return self.norm_final_attn(tokens), image
