"""Prompts as maps, and the features at prompts, against loops over single cells."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.segmenters.lite.prompt_maps import MAPS, Prompts, Region, prompt_maps, references

SIDE = 64
NO_BOX = (math.nan,) * 4


def prompts(*rows):
    """Prompts of a picture of 64 x 64 pixels, each of (points, labels, box, prior or None)."""
    most = max(len(labels) for _, labels, _, _ in rows) or 1
    points, labels = torch.zeros(len(rows), most, 2), torch.full((len(rows), most), -1)
    prior = torch.zeros(len(rows), 1, SIDE // 4, SIDE // 4)
    for row, (own_points, own_labels, _, own_prior) in enumerate(rows):
        for place, (point, label) in enumerate(zip(own_points, own_labels, strict=True)):
            points[row, place], labels[row, place] = torch.tensor(point), label
        if own_prior is not None:
            prior[row, 0] = own_prior
    boxes = torch.tensor([box for _, _, box, _ in rows], dtype=torch.float32)
    return Prompts(points, labels, boxes, prior, torch.tensor([own is not None for *_, own in rows]))


coordinates = st.floats(0, SIDE).map(lambda value: round(value, 1))
clicks = st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1)), max_size=4)
boxes = st.none() | st.tuples(coordinates, coordinates, st.floats(1, 30), st.floats(1, 30))
regions = st.sampled_from([Region(0, 0, 4, 4), Region(1, 2, 2, 1), Region(3, 0, 1, 4)])


def cell_of(points, labels, box, place, stride):
    """The ten channels at one place, without prior."""
    (x, y), channels = place, []
    for label in (1, 0):
        apart = [math.dist((x, y), point) for point, own in zip(points, labels, strict=True) if own == label]
        nearest = min(apart, default=math.inf)
        channels += [math.exp(-(nearest**2) / (2 * stride**2)), math.exp(-nearest / 96)]
    if any(map(math.isnan, box)):
        return [*channels, 0, 0, 0, 0, 0, 0]
    x0, y0, x1, y1 = box
    inside = min(x - x0, x1 - x, y - y0, y1 - y)
    u, v = (2 * x - x0 - x1) / max(x1 - x0, 1), (2 * y - y0 - y1) / max(y1 - y0, 1)
    return [*channels, float(inside > 0), math.tanh(inside / 16), min(max(u, -2), 2), min(max(v, -2), 2), 0, 0]


@settings(max_examples=40, deadline=None)
@given(clicks, boxes, regions, st.sampled_from([4, 8, 16]))
def test_every_cell_has_its_channels(dots, corner, region, stride):
    box = NO_BOX if corner is None else (corner[0], corner[1], corner[0] + corner[2], corner[1] + corner[3])
    points, labels = [dot[:2] for dot in dots], [dot[2] for dot in dots]
    found = prompt_maps(prompts((points, labels, box, None)), region, stride)
    k = 16 // stride
    assert found.shape == (1, MAPS, region.height * k, region.width * k)
    for row in range(0, region.height * k, 3):
        for col in range(0, region.width * k, 2):
            x, y = (col + region.col * k + 0.5) * stride, (row + region.row * k + 0.5) * stride
            expected = cell_of(points, labels, box, (x, y), stride)
            # a cell whose centre lies on the edge of the box may be on either side after rounding
            expected[4] = expected[4] if abs(expected[5]) > 1e-5 else float(found[0, 4, row, col])
            assert found[0, :, row, col].tolist() == pytest.approx(expected, abs=1e-4)


def test_a_prior_is_drawn_as_its_mean_and_marked():
    prior = torch.linspace(-8, 8, (SIDE // 4) ** 2).view(SIDE // 4, SIDE // 4)
    both = prompts(([(3, 3)], [1], NO_BOX, prior), ([(3, 3)], [1], NO_BOX, None))
    for stride in (4, 8, 16):
        k = stride // 4
        found = prompt_maps(both, Region(1, 0, 2, 3), stride)
        mean = prior.unflatten(1, (-1, k)).unflatten(0, (-1, k)).mean(dim=(1, 3))
        top, width = 16 // stride, 3 * 16 // stride
        assert torch.allclose(found[0, 8], torch.tanh(mean[top : 3 * top, :width] / 4), atol=1e-5)
        assert (found[0, 9] == 1).all()
        assert (found[1, 8:] == 0).all()


def test_padding_points_draw_nothing():
    short, long = ([(9.0, 9.0)], [1], NO_BOX, None), ([(9.0, 9.0), (30.0, 5.0), (1.0, 60.0)], [1, 0, 1], NO_BOX, None)
    whole = Region(0, 0, 4, 4)
    assert torch.equal(prompt_maps(prompts(short, long), whole, 8)[:1], prompt_maps(prompts(short), whole, 8))


def test_a_part_of_the_maps_is_the_maps_of_the_part():
    some = prompts(([(9.0, 9.0), (50.0, 40.0)], [1, 0], (5, 5, 40, 50), torch.ones(16, 16)))
    for stride in (4, 8, 16):
        whole = prompt_maps(some, Region(0, 0, 4, 4), stride)
        part = Region(1, 2, 3, 1)
        assert torch.equal(part.cut(whole, stride), prompt_maps(some, part, stride))


def test_rows_may_be_chosen_by_number_and_by_mask():
    some = prompts(*(([(float(n), 1.0)], [1], NO_BOX, None) for n in range(4)))
    assert some.rows([3, 1]).points[:, 0, 0].tolist() == [3, 1]
    assert some.rows(torch.tensor([True, False, False, True])).points[:, 0, 0].tolist() == [0, 3]


def flat(stride):
    """(1, 2, h, w) features: column and row of each cell, which interpolation between centres keeps exact."""
    side = SIDE // stride
    places = torch.arange(side, dtype=torch.float32)
    return torch.stack([places.expand(side, side), places[:, None].expand(side, side)])[None]


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_features_at_clicks_are_their_mean(stride):
    some = prompts(([(20.0, 24.0), (40.0, 32.0), (30.0, 10.0)], [1, 1, 0], NO_BOX, None))
    x, y = (20 + 40) / 2 / stride - 0.5, (24 + 32) / 2 / stride - 0.5
    assert references(flat(stride), some, 1, stride)[0].tolist() == pytest.approx([x, y], abs=1e-4)
    x, y = 30 / stride - 0.5, 10 / stride - 0.5
    assert references(flat(stride), some, 0, stride)[0].tolist() == pytest.approx([x, max(y, 0)], abs=1e-4)


def test_the_middle_of_a_box_stands_in_for_a_click_that_includes():
    box = (16.0, 20.0, 40.0, 48.0)
    middle = [28 / 4 - 0.5, 34 / 4 - 0.5]
    alone = prompts(([], [], box, None))
    excluded = prompts(([(60.0, 60.0)], [0], box, None))
    clicked = prompts(([(20.0, 24.0)], [1], box, None))
    assert references(flat(4), alone, 1, 4)[0].tolist() == pytest.approx(middle, abs=1e-4)
    assert references(flat(4), excluded, 1, 4)[0].tolist() == pytest.approx(middle, abs=1e-4)
    assert references(flat(4), clicked, 1, 4)[0].tolist() == pytest.approx([4.5, 5.5], abs=1e-4)
    assert references(flat(4), alone, 0, 4)[0].tolist() == [0, 0]


def test_a_prior_counts_as_one_more_place():
    prior = torch.full((16, 16), -30.0)
    prior[4:6, 8:10] = 30
    alone, clicked = prompts(([], [], NO_BOX, prior)), prompts(([(10.0, 10.0)], [1], NO_BOX, prior))
    assert references(flat(4), alone, 1, 4)[0].tolist() == pytest.approx([8.5, 4.5], abs=1e-3)
    assert references(flat(4), clicked, 1, 4)[0].tolist() == pytest.approx([(8.5 + 2) / 2, (4.5 + 2) / 2], abs=1e-3)


def test_a_click_is_answered_at_its_own_place_in_half_precision_too():
    side, stride = 256, 4
    columns = torch.arange(side).remainder(128).float().expand(1, 1, side, side)
    clicks = torch.tensor([[[702.0, 2.0]], [[1018.0, 1018.0]]])
    some = Prompts(
        clicks,
        torch.ones(2, 1, dtype=torch.int8),
        torch.full((2, 4), torch.nan),
        torch.zeros(2, 1, side, side),
        torch.zeros(2, dtype=torch.bool),
    )
    found = references(columns.expand(2, -1, -1, -1).to(torch.bfloat16), some, 1, stride)
    assert found[:, 0].tolist() == [702 // stride - 128, 1018 // stride - 128]
