"""The hierarchy over the leaves of a tile: its shape, its measures, and the partition that is cut from it."""

from itertools import product

import numpy as np
import pytest
from known_answers import flat_scene

from geosam.segmenters.regions.hierarchy import Regions, build_regions, expected_iou
from geosam.segmenters.regions.leaves import find_leaves
from geosam.segmenters.regions.segmenter import CLARITY, GROWTH, PRICE, _partition


def regions_of(seed, side=48):
    """Regions of two parts of a picture that do not touch."""
    rng = np.random.default_rng(seed)
    rgb = flat_scene(rng, side, side, 6)
    rgb = np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)
    valid = np.ones((side, side), bool)
    valid[:, side // 2] = False
    return build_regions(find_leaves(rgb, valid))


@pytest.fixture(params=range(4))
def regions(request):
    return regions_of(request.param)


def leaves_below(regions, node):
    first, end = regions.spans[node]
    return set(range(first, end))


def children(regions, node):
    return [child for child in np.flatnonzero(regions.parents == node) if child != node]


def test_the_hierarchy_is_a_binary_tree_with_the_root_last(regions):
    count = len(regions.colours)
    assert len(regions.parents) == 2 * count - 1
    assert regions.parents[-1] == len(regions.parents) - 1
    assert (regions.parents[:-1] > np.arange(len(regions.parents) - 1)).all()
    assert all(len(children(regions, node)) == 2 for node in range(count, 2 * count - 1))
    assert all(not children(regions, node) for node in range(count))


def test_every_node_is_the_range_of_the_leaves_of_its_children(regions):
    count = len(regions.colours)
    assert [leaves_below(regions, leaf) for leaf in range(count)] == [{leaf} for leaf in range(count)]
    assert leaves_below(regions, 2 * count - 2) == set(range(count))
    for node in range(count, 2 * count - 1):
        one, two = (leaves_below(regions, child) for child in children(regions, node))
        assert not one & two
        assert one | two == leaves_below(regions, node)


def test_areas_are_counts_of_pixels(regions):
    sizes = np.bincount(regions.labels.ravel(), minlength=len(regions.colours) + 1)[1:]
    for node, area in enumerate(regions.areas):
        assert area == sum(sizes[leaf] for leaf in leaves_below(regions, node))


def test_leaves_of_an_edge_touch_in_the_picture(regions):
    labels = regions.labels
    pairs = set()
    for one, two in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        meet = (one != two) & (one > 0) & (two > 0)
        pairs |= {frozenset(pair) for pair in zip(one[meet].tolist(), two[meet].tolist(), strict=True)}
    assert {frozenset((int(a) + 1, int(b) + 1)) for a, b in regions.edges} == pairs


def test_parts_that_do_not_touch_are_merged_last_and_are_no_object():
    regions = regions_of(1)
    (root,) = [node for node in range(len(regions.parents)) if regions.objectness[node] == -np.inf]
    assert root == len(regions.parents) - 1
    left, right = (leaves_below(regions, child) for child in children(regions, root))
    columns = [
        {int(np.nonzero(regions.labels == leaf + 1)[1].max() < 24) for leaf in leaves} for leaves in (left, right)
    ]
    assert sorted(map(tuple, columns)) == [(0,), (1,)]


def test_stability_is_one_or_the_overlap_with_the_parent(regions):
    shares = regions.areas / regions.areas[regions.parents]
    assert ((regions.stability == 1) | np.isclose(regions.stability, shares)).all()
    assert (regions.stability > 0).all()


def test_a_flat_rectangle_is_the_node_that_looks_most_like_an_object():
    rgb = np.full((3, 60, 60), 60, np.uint8)
    rgb[:, 15:40, 20:45] = 200
    regions = build_regions(find_leaves(rgb, np.ones((60, 60), bool)))
    first, end = regions.spans[np.argmax(regions.objectness)]
    mask = (regions.labels > first) & (regions.labels <= end)
    inside = rgb[0] == 200
    union = mask | inside
    best = max((mask & inside).sum() / union.sum(), (~mask & inside).sum() / (~mask | inside).sum())
    assert best > 0.9


def test_expected_iou_grows_with_objectness_between_none_and_all():
    values = expected_iou(np.array([-np.inf, -50, -5, 0, 5, 50], np.float32))
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert (values < 1).all()


def test_the_same_tile_has_the_same_hierarchy():
    one, two = regions_of(2), regions_of(2)
    assert all(np.array_equal(value, vars(two)[name]) for name, value in vars(one).items())


def test_a_tile_of_one_leaf_is_its_own_root():
    regions = build_regions(find_leaves(np.full((3, 5, 6), 9, np.uint8), np.ones((5, 6), bool)))
    assert regions.parents.tolist() == [0]
    assert regions.spans.tolist() == [[0, 1]]
    assert regions.areas.tolist() == [30]


def worth(regions, node):
    looks = 1 / (1 + np.exp(-CLARITY * float(regions.objectness[node])))
    return float(regions.areas[node]) ** GROWTH * looks - PRICE


def partitions(regions, node):
    """All sets of nodes that cover a node once."""
    below = children(regions, node)
    yield [node]
    if below:
        for one, two in product(*(partitions(regions, child) for child in below)):
            yield [*one, *two]


@pytest.mark.parametrize("seed", range(12))
def test_the_partition_has_the_largest_value_of_all(seed):
    """Against every partition of a random hierarchy of six leaves."""
    rng = np.random.default_rng(seed)
    count, parents = 6, list(range(11))
    roots, spans = [(leaf, [leaf]) for leaf in range(count)], [(leaf, leaf + 1) for leaf in range(count)]
    for node in range(count, 2 * count - 1):
        place = rng.integers(len(roots) - 1)
        (one, first), (two, second) = roots[place : place + 2]
        parents[one] = parents[two] = node
        roots[place : place + 2] = [(node, [*first, *second])]
        spans.append((first[0], second[-1] + 1))
    sizes = rng.integers(10, 400, count)
    regions = Regions(
        labels=np.arange(1, count + 1, dtype=np.int32)[None],
        colours=np.zeros((count, 3), np.float32),
        centres_xy=np.zeros((count, 2), np.float32),
        edges=np.zeros((0, 2), np.int32),
        parents=np.array(parents, np.int32),
        spans=np.array(spans, np.int32),
        areas=np.array([sizes[a:b].sum() for a, b in spans], np.float32),
        objectness=rng.normal(0, 6, len(spans)).astype(np.float32),
        stability=np.ones(len(spans), np.float32),
    )
    nodes = _partition(regions)
    covered = sorted(leaf for node in nodes for leaf in leaves_below(regions, node))
    assert covered == list(range(count))
    best = max(sum(worth(regions, node) for node in nodes) for nodes in partitions(regions, 10))
    assert sum(worth(regions, node) for node in nodes) == pytest.approx(best)
