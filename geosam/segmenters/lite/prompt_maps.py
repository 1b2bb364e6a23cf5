"""Prompts as tensors, and as maps that lie over features.

Coordinates are corner-based pixels of the picture: the cell (row, column) of a map of stride s has its centre at
((column + 0.5) s, (row + 0.5) s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: Channels of :func:`prompt_maps`.
MAPS = 10
#: How far a click is felt, pixels; and the slope of the box's edge, pixels.
_REACH, _SLOPE = 96.0, 16.0
#: Points of a box that stand for its object when there is no click: a grid over its middle half.
_INNER = (-0.5, 0.0, 0.5)


class Prompts(NamedTuple):
    """N prompts."""

    points: Tensor
    """(N, P, 2) x, y in pixels; anything where the label is -1."""
    labels: Tensor
    """(N, P) 1 includes, 0 excludes, -1 is padding."""
    boxes: Tensor
    """(N, 4) x0, y0, x1, y1 in pixels; NaN without a box."""
    prior: Tensor
    """(N, 1, H / 4, W / 4) logits of a former answer or of a drawn mask; 0 without."""
    has_prior: Tensor
    """(N,) whether there is one."""

    def rows(self, chosen: Tensor | list[int]) -> Prompts:
        """Some of the prompts."""
        return Prompts(*(column[chosen] for column in self))


class Region(NamedTuple):
    """A rectangle of a picture, in cells of stride 16."""

    row: int
    col: int
    height: int
    width: int

    def cut(self, maps: Tensor, stride: int) -> Tensor:
        """Its part of maps (..., H / stride, W / stride)."""
        k = 16 // stride
        return maps[..., self.row * k : (self.row + self.height) * k, self.col * k : (self.col + self.width) * k]


def prompt_maps(prompts: Prompts, region: Region, stride: int) -> Tensor:
    """(N, MAPS, h, w) what is asked, as maps over a region.

    Nearness to including and to excluding clicks, sharp and wide; inside of the box, distance to its edge and position
    in it; the prior and whether there is one.
    """
    k = 16 // stride
    device = prompts.points.device
    x = (torch.arange(region.width * k, device=device) + region.col * k + 0.5) * stride
    y = (torch.arange(region.height * k, device=device) + region.row * k + 0.5) * stride
    clicks = [near for label in (1, 0) for near in _nearness(prompts, label, x, y, stride)]
    prior = (
        functional.avg_pool2d(region.cut(prompts.prior, 4), stride // 4) if stride > 4 else region.cut(prompts.prior, 4)
    )
    known = prompts.has_prior[:, None, None].to(x.dtype).expand(-1, len(y), len(x))
    maps = torch.stack([*clicks, *_box_maps(prompts.boxes, x, y), torch.tanh(prior[:, 0] / 4), known], dim=1)
    return maps.to(memory_format=torch.channels_last)


def _nearness(prompts: Prompts, label: int, x: Tensor, y: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Two maps (N, h, w): nearness to the nearest click with a label, sharp and wide; 0 without one."""
    apart_x = (prompts.points[:, :, 0, None] - x) ** 2
    apart_y = (prompts.points[:, :, 1, None] - y) ** 2
    apart = apart_y[..., None] + apart_x[:, :, None]
    apart = apart.masked_fill((prompts.labels != label)[..., None, None], torch.inf).amin(dim=1)
    return torch.exp(-apart / (2 * stride**2)), torch.exp(-apart.sqrt() / _REACH)


def _box_maps(boxes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Four maps (N, h, w): inside, distance to the edge, position along x and y; all 0 without a box."""
    given = boxes.isfinite().all(dim=1)[:, None, None]
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
    return tuple(one * given for one in maps)


def references(features: Tensor, prompts: Prompts, label: int, stride: int) -> Tensor:
    """(N, K) mean of features (N, K, h, w) of whole pictures where prompts say the object is (1) or is not (0).

    At clicks; where there is no including click, over the middle of the box; and over the prior. 0 without any.
    """
    points, weights = prompts.points, (prompts.labels == label).to(features.dtype)
    if label == 1:
        inner, asked = _inner_points(prompts.boxes)
        alone = (asked & ~(prompts.labels == 1).any(dim=1))[:, None]
        points = torch.cat([points, inner], dim=1)
        weights = torch.cat([weights, (alone / inner.shape[1]).expand(-1, inner.shape[1]).to(weights.dtype)], dim=1)
    height, width = features.shape[-2:]
    size = torch.tensor([width * stride, height * stride], dtype=points.dtype, device=points.device)
    grid = (points / size * 2 - 1).unsqueeze(1)
    # Coordinates of bfloat16 would be off by several pixels.
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
    """Points (N, 9, 2) in the middle of boxes, and whether there is a box (N,)."""
    x0, y0, x1, y1 = torch.nan_to_num(boxes).unbind(dim=1)
    steps = torch.tensor(_INNER, dtype=boxes.dtype, device=boxes.device) / 2
    x = ((x0 + x1) / 2)[:, None] + (x1 - x0)[:, None] * steps
    y = ((y0 + y1) / 2)[:, None] + (y1 - y0)[:, None] * steps
    grid = torch.stack([x[:, None, :].expand(-1, 3, 3), y[:, :, None].expand(-1, 3, 3)], dim=-1)
    return grid.flatten(1, 2), boxes.isfinite().all(dim=1)
