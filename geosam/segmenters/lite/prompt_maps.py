"""Prompts as tensors, and as maps over the cells of feature maps.

Coordinates are corner-based pixels of the picture: the centre of cell (row, column) of a map with stride s
is ((column + 0.5) s, (row + 0.5) s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: Channels of :func:`prompt_maps`.
MAPS = 10
#: Decay of the wide map of a click in pixels, and width of the slope at the edge of a box in pixels.
_REACH, _SLOPE = 96.0, 16.0
#: Grid over the middle half of a box. Its points stand for the object if there is no click.
_INNER = (-0.5, 0.0, 0.5)


class Prompts(NamedTuple):
    """N prompts of pictures of one size."""

    points: Tensor
    """(N, P, 2) x, y in pixels. Any value where the label is -1."""
    labels: Tensor
    """(N, P) 1 includes, 0 excludes, -1 is padding."""
    boxes: Tensor
    """(N, 4) x0, y0, x1, y1 in pixels; NaN without a box."""
    prior: Tensor
    """(N, 1, H / 4, W / 4) logits of an earlier answer or of a drawn mask; 0 without both."""
    has_prior: Tensor
    """(N,) True for prompts with a prior."""

    def rows(self, chosen: Tensor | list[int]) -> Prompts:
        """Return some of the prompts, by a mask (N,) or by their numbers."""
        return Prompts(*(column[chosen] for column in self))


class Region(NamedTuple):
    """A rectangle of a picture, in cells of stride 16."""

    # A window counts pixels. Cells of the coarsest level keep all levels aligned without rounding.

    row: int
    col: int
    height: int
    width: int

    def cut(self, maps: Tensor, stride: int) -> Tensor:
        """Return the part of maps (..., H / stride, W / stride) in this region."""
        k = 16 // stride
        return maps[..., self.row * k : (self.row + self.height) * k, self.col * k : (self.col + self.width) * k]


def prompt_maps(prompts: Prompts, region: Region, stride: int) -> Tensor:
    """Draw prompts as maps (N, MAPS, h, w) over a region.

    The channels are: nearness to including clicks (sharp, wide), nearness to excluding clicks (sharp, wide), inside of
    the box, distance to its edge, position in the box along x and along y, the prior, and 1 if there is a prior.
    """
    k = 16 // stride
    device = prompts.points.device
    x = (torch.arange(region.width * k, device=device) + region.col * k + 0.5) * stride
    y = (torch.arange(region.height * k, device=device) + region.row * k + 0.5) * stride
    clicks = [near for label in (1, 0) for near in _nearness(prompts, label, x, y, stride)]
    prior = (
        functional.avg_pool2d(region.cut(prompts.prior, 4), stride // 4) if stride > 4 else region.cut(prompts.prior, 4)
    )
    has_prior = prompts.has_prior[:, None, None].to(x.dtype).expand(-1, len(y), len(x))
    maps = torch.stack([*clicks, *_box_maps(prompts.boxes, x, y), torch.tanh(prior[:, 0] / 4), has_prior], dim=1)
    return maps.to(memory_format=torch.channels_last)


def _nearness(prompts: Prompts, label: int, x: Tensor, y: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return two maps (N, h, w), sharp and wide: nearness to the nearest click with a label, 0 without such a click."""
    apart_x = (prompts.points[:, :, 0, None] - x) ** 2
    apart_y = (prompts.points[:, :, 1, None] - y) ** 2
    apart = apart_y[..., None] + apart_x[:, :, None]
    apart = apart.masked_fill((prompts.labels != label)[..., None, None], torch.inf).amin(dim=1)
    return torch.exp(-apart / (2 * stride**2)), torch.exp(-apart.sqrt() / _REACH)


def _box_maps(boxes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return four maps (N, h, w): inside, distance to the edge, position along x and y. All are 0 without a box."""
    has_box = boxes.isfinite().all(dim=1)[:, None, None]
    x0, y0, x1, y1 = torch.nan_to_num(boxes).unbind(dim=1)
    inside_x = torch.minimum(x - x0[:, None], x1[:, None] - x)
    inside_y = torch.minimum(y - y0[:, None], y1[:, None] - y)
    inside = torch.minimum(inside_x[:, None, :], inside_y[:, :, None])
    u = (2 * x - (x0 + x1)[:, None]) / (x1 - x0).clamp(min=1)[:, None]
    v = (2 * y - (y0 + y1)[:, None]) / (y1 - y0).clamp(min=1)[:, None]
    shape = inside.shape
    maps = (
        (inside > 0).to(x.dtype),
        torch.tanh(inside / _SLOPE),
        u.clamp(-2, 2)[:, None, :].expand(shape),
        v.clamp(-2, 2)[:, :, None].expand(shape),
    )
    return tuple(values * has_box for values in maps)


def references(features: Tensor, prompts: Prompts, label: int, stride: int) -> Tensor:
    """Return the mean (N, K) of the features at the places that prompts include (label 1) or exclude (label 0).

    The places are the clicks; without an including click the middle of the box; and the prior. The mean is 0 without
    any place.

    Args:
        features: (N, K, h, w) of the whole picture of each prompt.
        prompts: the prompts.
        label: 1 or 0.
        stride: pixels of a cell of the features.
    """
    points, weights = prompts.points, (prompts.labels == label).to(features.dtype)
    if label == 1:
        inner, has_box = _inner_points(prompts.boxes)
        alone = (has_box & ~(prompts.labels == 1).any(dim=1))[:, None]
        points = torch.cat([points, inner], dim=1)
        weights = torch.cat([weights, (alone / inner.shape[1]).expand(-1, inner.shape[1]).to(weights.dtype)], dim=1)
    height, width = features.shape[-2:]
    size = torch.tensor([width * stride, height * stride], dtype=points.dtype, device=points.device)
    grid = (points / size * 2 - 1).unsqueeze(1)
    # In bfloat16, coordinates would be wrong by several pixels.
    sampled = functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)[:, :, 0]
    sampled = sampled.to(features.dtype)
    total = (sampled * weights[:, None]).sum(dim=2)
    count = weights.sum(dim=1, keepdim=True)
    if label == 1:
        prior = functional.avg_pool2d(prompts.prior, stride // 4) if stride > 4 else prompts.prior
        inside = torch.sigmoid(prior).to(features.dtype) * prompts.has_prior[:, None, None, None]
        area = inside.sum(dim=(2, 3))
        total = total + (features * inside).sum(dim=(2, 3)) / area.clamp(min=1e-3)
        count = count + (area > 0)
    return total / count.clamp(min=1e-3)


def _inner_points(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (N, 9, 2) in the middle of boxes, and True (N,) for prompts with a box."""
    x0, y0, x1, y1 = torch.nan_to_num(boxes).unbind(dim=1)
    steps = torch.tensor(_INNER, dtype=boxes.dtype, device=boxes.device) / 2
    x = ((x0 + x1) / 2)[:, None] + (x1 - x0)[:, None] * steps
    y = ((y0 + y1) / 2)[:, None] + (y1 - y0)[:, None] * steps
    grid = torch.stack([x[:, None, :].expand(-1, 3, 3), y[:, :, None].expand(-1, 3, 3)], dim=-1)
    return grid.flatten(1, 2), boxes.isfinite().all(dim=1)
