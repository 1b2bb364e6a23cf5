"""Prompts of one window: columns of one length, and never a mask together with logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.segmenters.pixel_prompts import PixelPrompts

ONE = {
    "points": (np.array([[0.5, 1.5]]),),
    "labels": (np.ones(1, np.int8),),
    "boxes_xyxy": np.full((1, 4), np.nan),
    "masks": (None,),
}
MASK, LOGITS = np.ones((4, 4), bool), np.zeros((2, 2), np.float32)


def repeated(column, count):
    return column * count if isinstance(column, tuple) else column.repeat(count, 0)


@given(st.integers(0, 5))
def test_the_length_is_the_number_of_prompts(count):
    columns = {
        name: column * count if isinstance(column, tuple) else column.repeat(count, 0) for name, column in ONE.items()
    }
    assert len(PixelPrompts(**columns)) == count
    assert len(PixelPrompts(**columns, logits=(LOGITS,) * count)) == count


@pytest.mark.parametrize("column", list(ONE))
def test_columns_of_different_lengths_are_refused(column):
    with pytest.raises(ValueError, match="the columns of PixelPrompts differ in length: found"):
        PixelPrompts(**(ONE | {column: repeated(ONE[column], 2)}))


def test_logits_for_some_of_the_prompts_are_refused():
    with pytest.raises(ValueError, match="and 2 logits, expected one number for all; logits may be empty"):
        PixelPrompts(**ONE, logits=(LOGITS, LOGITS))


def test_a_prompt_has_a_mask_or_logits_and_never_both():
    with_mask = ONE | {"masks": (MASK,)}
    assert PixelPrompts(**with_mask).masks == (MASK,)
    assert PixelPrompts(**with_mask, logits=(None,)).logits == (None,)
    assert PixelPrompts(**ONE, logits=(LOGITS,)).logits == (LOGITS,)
    with pytest.raises(ValueError, match="a prompt has a mask and logits: found both"):
        PixelPrompts(**with_mask, logits=(LOGITS,))


def test_prompts_are_compared_by_identity_as_arrays_cannot_be():
    one, two = PixelPrompts(**ONE), PixelPrompts(**ONE)
    assert one == one  # noqa: PLR0124 - the point of the test
    assert one != two
