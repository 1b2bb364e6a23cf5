"""Lets torchvision import beside a CPU build of torch, so that reference implementations can serve as oracles.

The torchvision wheel is linked against CUDA; its operators do not load without it. What the references need of them
is non-maximum suppression, which is given here in plain torch. Import this before any reference.
"""

import importlib
import warnings

import torch

_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _nms(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order].double()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    alive = torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for row in range(len(boxes)):
        if not alive[row]:
            continue
        kept.append(row)
        upper, lower = torch.minimum(boxes[row, 2:], boxes[row + 1 :, 2:]), boxes[row + 1 :, :2]
        shared = (upper - torch.maximum(boxes[row, :2], lower)).clamp(min=0).prod(dim=1)
        alive[row + 1 :] &= ~(shared / (areas[row] + areas[row + 1 :] - shared) > iou_threshold)
    return order[torch.tensor(kept, dtype=torch.long)]


_library.impl("nms", _nms, "CPU")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    importlib.import_module("torchvision.extension")._has_ops = lambda: True
    for name in ("segment_anything", "segment_anything_hq", "sam2.build_sam", "timm"):
        importlib.import_module(name)
