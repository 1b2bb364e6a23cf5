import numpy as np
import pytest
import torch
from small_samples import sample

from geosam.training.data.batch import CLICKS, OBJECTS, STRIDE, make_batch


def test_a_batch_always_has_the_same_number_of_prompts():
    crowded = sample(rectangles=[(x, y, x + 12, y + 12) for x in (0, 16, 32, 48) for y in (0, 16, 32, 48)])
    batch = make_batch([sample(), sample(rectangles=()), crowded], np.random.default_rng(0))
    assert len(batch.picture) == 3 * OBJECTS
    assert not (batch.picture == 1).any()


def test_a_crop_whose_boxes_are_mostly_too_narrow_is_asked_for_the_others():
    boxes = [(x, 4, x + 3, 40) for x in range(2, 50, 4)] + [(8, 8, 40, 48)]
    crop = sample(rectangles=(), boxes=boxes, complete=False)
    batches = [make_batch([crop], np.random.default_rng(seed)) for seed in range(30)]
    found = [batch for batch in batches if batch is not None]
    assert found
    assert all(len(batch.picture) == OBJECTS for batch in found)


def test_crops_without_objects_make_no_batch():
    assert make_batch([sample(rectangles=())], np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_prompts_agree_with_their_targets(seed):
    batch = make_batch([sample(), sample(rectangles=[(4, 4, 28, 20), (28, 4, 60, 60)])], np.random.default_rng(seed))
    for row in range(len(batch.picture)):
        mask = batch.target[row] > 0
        given = batch.labels[row] >= 0
        boxed = bool(batch.boxes[row].isfinite().all())
        assert boxed or (batch.labels[row] == 1).sum() == 1
        for (x, y), label in zip(batch.points[row][given], batch.labels[row][given], strict=True):
            assert bool(mask[int(y) // STRIDE, int(x) // STRIDE]) == bool(label)
        if boxed:
            x0, y0, x1, y1 = batch.boxes[row].tolist()
            rows, cols = torch.nonzero(mask, as_tuple=True)
            middle_x, middle_y = (cols.float().mean() + 0.5) * STRIDE, (rows.float().mean() + 0.5) * STRIDE
            assert x0 < middle_x < x1
            assert y0 < middle_y < y1
    assert batch.points.shape == (len(batch.picture), CLICKS, 2)


def test_targets_are_the_shares_of_cells_that_the_object_covers():
    batch = make_batch([sample(rectangles=[(6, 8, 32, 32)])], np.random.default_rng(0))
    assert batch.target[0, 4, 1] == pytest.approx(0.5)
    assert batch.target[0].sum() * STRIDE**2 == 26 * 24


def test_the_innermost_place_of_an_object_is_marked_and_its_edge_is_an_edge():
    batch = make_batch([sample(rectangles=[(8, 8, 40, 40)])], np.random.default_rng(0))
    inside, edge = batch.dense[0]
    rows, cols = np.unravel_index(int(inside.argmax()), inside.shape)
    assert (rows, cols) in {(5, 5), (5, 6), (6, 5), (6, 6)}
    assert inside[0].max() == 0
    assert edge[6, 2] == 1
    assert edge[6, 6] == 0
    assert (batch.dense_weight == 1).all()


def test_nothing_is_known_outside_of_objects_where_labels_are_not_complete():
    batch = make_batch([sample(complete=False)], np.random.default_rng(0))
    assert batch.dense_weight[0, 6, 4] == 1
    assert batch.dense_weight[0, 1, 14] == 0


def test_objects_known_by_a_point_are_inside_there_and_are_not_prompted():
    batch = make_batch([sample(points=[(50.5, 54.5)], complete=False)], np.random.default_rng(0))
    assert batch.dense[0, 0, 13, 12] == 1
    assert batch.dense_weight[0, 13, 12] == 1
    assert (batch.target[:, 13, 12] == 0).all()


def test_objects_known_by_their_box_say_so():
    boxes = [(8, 8, 40, 48)]
    batch = make_batch([sample(rectangles=(), boxes=boxes, complete=False)], np.random.default_rng(3))
    assert batch.by_box.all()
    assert batch.target[0].sum() * STRIDE**2 == 32 * 40
