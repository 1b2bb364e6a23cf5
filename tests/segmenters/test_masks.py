"""MaskSet: aligned columns, crops, bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geosam.geometry.geobox import Edge
from geosam.segmenters.masks import Granularity, MaskSet

LABELS = hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4))


@given(LABELS)
def test_a_label_map_gives_one_tight_mask_for_each_value(labels):
    masks = MaskSet.from_labels(labels)
    values = [value for value in range(1, 5) if (labels == value).any()]
    assert len(masks) == len(values)
    for row, value in enumerate(values):
        assert (masks.full(row) == (labels == value)).all()
        assert masks.masks[row].any(axis=0)[[0, -1]].all()
        assert masks.masks[row].any(axis=1)[[0, -1]].all()
    assert masks.areas_px.tolist() == [(labels == value).sum() for value in values]


@given(LABELS)
def test_bytes_give_everything_but_the_logits_back(labels):
    count = len(MaskSet.from_labels(labels))
    masks = MaskSet.from_labels(
        labels, predicted_iou=np.linspace(0, 1, count), class_id=np.arange(count, dtype=np.int32)
    )
    again = MaskSet.from_bytes(masks.to_bytes())
    assert again.shape_hw == masks.shape_hw
    assert all((a == b).all() for a, b in zip(again.masks, masks.masks, strict=True))
    for name in ("boxes_xyxy", "predicted_iou", "stability_score", "prompt_index", "granularity", "class_id"):
        assert getattr(again, name).dtype == getattr(masks, name).dtype
        assert (getattr(again, name) == getattr(masks, name)).all()
    assert again.to_bytes() == masks.to_bytes()


def test_touches_names_the_edges_of_the_window():
    canvas = np.zeros((4, 6), bool)
    cases = {
        (1, 0): Edge.LEFT,
        (0, 2): Edge.TOP,
        (2, 5): Edge.RIGHT,
        (3, 3): Edge.BOTTOM,
        (0, 0): Edge.LEFT | Edge.TOP,
        (1, 1): Edge(0),
    }
    for pixel, edges in cases.items():
        mask = canvas.copy()
        mask[pixel] = True
        assert MaskSet.from_full([mask], (4, 6)).touches.tolist() == [int(edges)]


def test_columns_left_out_have_their_neutral_values():
    masks = MaskSet.from_full([np.ones((2, 3), bool)], (2, 3))
    assert masks.predicted_iou.tolist() == [1.0]
    assert masks.prompt_index.tolist() == [-1]
    assert masks.granularity.tolist() == [Granularity.WHOLE]
    assert masks.class_id is None


def test_select_takes_rows_and_booleans_with_all_columns():
    labels = np.array([[1, 2, 3, 4]], np.int32)
    masks = MaskSet.from_labels(labels, object_score=np.array([1, 2, 3, 4], np.float32))
    assert masks.select([3, 0]).object_score.tolist() == [4, 1]
    assert masks.select(np.array([False, True, False, False])).boxes_xyxy.tolist() == [[1, 0, 2, 1]]


def test_concatenate_keeps_order_and_drops_columns_that_a_part_lacks():
    first = MaskSet.from_labels(np.array([[1, 0]], np.int32), class_id=np.array([7], np.int32))
    second = MaskSet.from_labels(np.array([[0, 1]], np.int32))
    both = MaskSet.concatenate((1, 2), [first, second])
    assert both.boxes_xyxy[:, 0].tolist() == [0, 1]
    assert both.class_id is None
    nothing = MaskSet.empty(first.shape_hw)
    for parts in ([first, nothing], [nothing, first]):  # a part without rows says nothing about columns
        assert MaskSet.concatenate(first.shape_hw, parts).class_id.tolist() == [7]
    assert len(MaskSet.concatenate(first.shape_hw, [nothing, nothing])) == 0
    assert len(MaskSet.concatenate((1, 2), [])) == 0


def test_columns_of_other_lengths_and_empty_masks_are_refused():
    with pytest.raises(ValueError, match=r"MaskSet\.predicted_iou has the wrong length: found 2 rows, expected 1"):
        MaskSet.from_labels(np.array([[1]], np.int32), predicted_iou=[1, 2])
    with pytest.raises(ValueError, match="a mask is empty: found 0 pixels, expected at least one"):
        MaskSet.from_full([np.zeros((2, 2), bool)], (2, 2))
