import numpy as np
import pytest
from scipy import ndimage

from geosam.objects.growth import points_inside
from geosam.training.data.clicks import corrective_click, innermost, jittered_box, negative_click, random_click


def blobs(seed, shape=(60, 83)):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4) > 0.02


def block(shape, rows, cols):
    mask = np.zeros(shape, bool)
    mask[slice(*rows), slice(*cols)] = True
    return mask


def at(array, point):
    return array[int(point[1]), int(point[0])]


def drawn(draw, count=300):
    rng = np.random.default_rng(0)
    return [draw(rng) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_the_innermost_point_is_the_one_a_mask_prompt_starts_from(seed):
    mask = blobs(seed)
    assert innermost(mask) == tuple(points_inside(mask)[0])


def test_the_innermost_point_is_a_pixel_centre_in_x_y_order():
    assert innermost(block((20, 40), (4, 9), (20, 25))) == (22.5, 6.5)


def test_the_border_of_the_crop_is_an_edge():
    assert innermost(np.ones((9, 5), bool)) == (2.5, 2.5)


def test_an_empty_mask_has_no_points():
    empty = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="empty"):
        innermost(empty)
    with pytest.raises(ValueError, match="empty"):
        random_click(empty, np.random.default_rng())
    with pytest.raises(ValueError, match="empty"):
        negative_click(empty.astype(np.int32), 1, np.random.default_rng())


def test_random_clicks_fall_everywhere_in_the_mask_and_mostly_well_inside():
    mask = blobs(1)
    points = drawn(lambda rng: random_click(mask, rng))
    assert all(at(mask, point) for point in points)
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")[1:-1, 1:-1]
    depths = np.array([at(depth, point) for point in points])
    assert 0.6 < (depths >= depth.max() / 2).mean() < 0.95
    assert depths.min() == 1


def test_random_clicks_are_reproducible():
    mask = blobs(2)
    assert drawn(lambda rng: random_click(mask, rng)) == drawn(lambda rng: random_click(mask, rng))


def test_a_click_mends_the_largest_part_that_was_missed():
    target = block((40, 40), (5, 30), (5, 30))
    predicted = target & ~block((40, 40), (5, 14), (5, 14)) | block((40, 40), (32, 37), (32, 37))
    assert corrective_click(target, predicted) == (9.5, 9.5, 1)


def test_a_click_excludes_the_largest_part_that_is_too_much():
    target = block((40, 40), (5, 10), (5, 10))
    predicted = target & ~block((40, 40), (5, 6), (5, 10)) | block((40, 40), (20, 27), (10, 17))
    assert corrective_click(target, predicted) == (13.5, 23.5, 0)


def test_parts_that_meet_at_a_corner_are_two():
    target = block((40, 40), (0, 8), (0, 8)) | block((40, 40), (8, 15), (8, 15))
    assert corrective_click(target, np.zeros_like(target)) == (*innermost(block((40, 40), (0, 8), (0, 8))), 1)


def test_missed_and_superfluous_pixels_side_by_side_are_two_parts():
    target, predicted = block((30, 40), (5, 15), (5, 15)), block((30, 40), (5, 15), (15, 26))
    assert corrective_click(target, predicted) == (*innermost(predicted), 0)


def test_nothing_wrong_needs_no_click():
    mask = blobs(3)
    assert corrective_click(mask, mask) is None


def test_ignored_pixels_do_not_count():
    target = block((40, 40), (5, 30), (5, 30))
    predicted = np.zeros_like(target)
    assert corrective_click(target, predicted, ignore=target) is None
    left = target & ~block((40, 40), (5, 30), (5, 20))
    assert corrective_click(target, predicted, ignore=target & ~left) == (*innermost(left), 1)


def test_jittered_corrections_stay_deep_in_the_largest_part():
    target, predicted = blobs(4), blobs(5)
    exact = corrective_click(target, predicted)
    points = drawn(lambda rng: corrective_click(target, predicted, rng))
    parts, _ = ndimage.label((target != predicted) & (target == exact.label))
    assert {at(parts, point) for point in points} == {at(parts, exact)}
    assert {point.label for point in points} == {exact.label}
    assert len(set(points)) > 1


def test_a_box_without_noise_is_tight():
    box = jittered_box(block((20, 40), (4, 9), (20, 26)), np.random.default_rng(), 0)
    assert box.tolist() == [20, 4, 26, 9]


def test_boxes_are_rather_too_large_and_stay_in_the_crop():
    mask = block((50, 90), (0, 20), (30, 70))
    boxes = np.array(drawn(lambda rng: jittered_box(mask, rng, 0.1)))
    assert (boxes >= 0).all()
    assert (boxes <= (90, 50, 90, 50)).all()
    assert (np.abs(boxes - (30, 0, 70, 20)) <= (8, 4, 8, 4)).all()
    assert 0.6 < (boxes[:, 0] < 30).mean() < 0.8
    assert (boxes[:, 0] > 30).any()


def test_boxes_are_never_empty():
    mask = block((8, 8), (3, 4), (7, 8))
    boxes = np.array(drawn(lambda rng: jittered_box(mask, rng, 0.49)))
    assert (boxes[:, :2] < boxes[:, 2:]).all()


@pytest.mark.parametrize("amount", [-0.1, 0.5])
def test_noise_as_large_as_the_box_is_refused(amount):
    with pytest.raises(ValueError, match="amount"):
        jittered_box(np.ones((3, 3), bool), np.random.default_rng(), amount)


def test_excluding_clicks_fall_on_neighbours_and_beside_the_object():
    instances = np.zeros((100, 100), np.int32)
    instances[40:60, 40:60] = 7
    instances[40:60, 61:80] = 3
    instances[0:10, 0:10] = 4
    points = drawn(lambda rng: negative_click(instances, 7, rng))
    assert {at(instances, point) for point in points} == {0, 3}
    gap = ndimage.distance_transform_cdt(instances != 7, "chessboard")
    assert {at(gap, point) > 2 for point in points} == {True}
    assert max(at(gap, point) for point in points) <= 10


def test_there_is_no_room_beside_an_object_that_fills_the_crop():
    assert negative_click(np.ones((30, 30), np.int32), 1, np.random.default_rng()) is None
