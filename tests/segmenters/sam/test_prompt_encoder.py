"""Prompt encoder against the official ones of SAM and SAM 2 under shared random weights."""

import pytest
import torch
import torchvision_shim  # noqa: F401 (lets the references import)
from random_weights import randomise, shapes
from sam2.modeling.sam.prompt_encoder import PromptEncoder as Sam2Reference
from segment_anything.modeling import PromptEncoder as SamReference

from geosam.segmenters.sam.prompt_encoder import PromptEncoder

FRAME, GRID = 256, 16


def pair(reference_type, frame=FRAME):
    reference = randomise(reference_type(256, (frame // 16, frame // 16), (frame, frame), 16))
    ours = PromptEncoder(frame=frame).eval().requires_grad_(requires_grad=False)
    ours.load_state_dict(reference.state_dict())
    return reference, ours


def some(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * (FRAME - 1)


@pytest.mark.parametrize("reference_type", [SamReference, Sam2Reference], ids=["SAM", "SAM 2"])
def test_parameters_have_the_official_names_and_shapes(reference_type):
    reference, ours = pair(reference_type, 1024)
    assert shapes(ours) == shapes(reference)


def test_points_become_sams_tokens_with_its_padding_point():
    reference, ours = pair(SamReference)
    points, labels = some(3, 2, 2), torch.tensor([[1, 0], [1, 1], [0, 1]])
    expected, _ = reference((points, labels), None, None)
    padded = torch.cat([points, torch.zeros(3, 1, 2)], dim=1), torch.cat([labels, torch.full((3, 1), -1)], dim=1)
    torch.testing.assert_close(ours.tokens(*padded), expected, rtol=0, atol=1e-5)


def test_points_and_a_box_become_sams_tokens_in_its_order():
    reference, ours = pair(SamReference)
    points, labels, boxes = some(3, 2, 2), torch.tensor([[1, 0], [1, 1], [0, 1]]), some(3, 4, seed=2)
    expected, _ = reference((points, labels), boxes, None)
    both = torch.cat([points, boxes.reshape(3, 2, 2)], dim=1), torch.cat([labels, torch.tensor([[2, 3]] * 3)], dim=1)
    torch.testing.assert_close(ours.tokens(*both), expected, rtol=0, atol=1e-5)


def test_box_corners_among_points_become_sam_2s_tokens():
    reference, ours = pair(Sam2Reference)
    points, labels = some(2, 4, 2), torch.tensor([[2, 3, 1, 0], [2, 3, 0, 0]])
    expected, _ = reference((points, labels), None, None)
    padded = torch.cat([points, torch.zeros(2, 1, 2)], dim=1), torch.cat([labels, torch.full((2, 1), -1)], dim=1)
    torch.testing.assert_close(ours.tokens(*padded), expected, rtol=0, atol=1e-5)


def test_where_a_padding_point_lies_makes_no_difference():
    _, ours = pair(SamReference)
    labels = torch.tensor([[-1]])
    assert torch.equal(ours.tokens(torch.zeros(1, 1, 2), labels), ours.tokens(torch.full((1, 1, 2), 99.0), labels))


@pytest.mark.parametrize("reference_type", [SamReference, Sam2Reference], ids=["SAM", "SAM 2"])
def test_masks_become_the_official_embeddings(reference_type):
    reference, ours = pair(reference_type)
    masks = 20 * torch.randn(2, 1, 4 * GRID, 4 * GRID, generator=torch.Generator().manual_seed(3))
    _, expected = reference(None, None, masks)
    found = ours.mask_embeddings(masks)
    assert found.shape == (2, GRID * GRID, 256)
    torch.testing.assert_close(found.transpose(1, 2).reshape(expected.shape), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("frame", [256, 1024])
def test_the_grid_holds_the_official_positions_row_by_row(frame):
    reference, ours = pair(SamReference, frame)
    expected = reference.get_dense_pe()[0].flatten(1).T
    torch.testing.assert_close(ours.grid(frame // 16, frame // 16), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_frequencies_stay_exact_when_the_network_is_converted(dtype):
    _, ours = pair(SamReference)
    points, labels = some(1, 1, 2), torch.tensor([[1]])
    exact = ours.tokens(points, labels)
    converted = PromptEncoder(frame=FRAME).requires_grad_(requires_grad=False)
    converted.load_state_dict(ours.state_dict())
    converted.to(dtype)
    assert converted.pe_layer.positional_encoding_gaussian_matrix.dtype == torch.float32
    assert torch.equal(*(m.pe_layer.positional_encoding_gaussian_matrix for m in (ours, converted)))
    found = converted.tokens(points, labels)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), exact, rtol=0.01, atol=0.01)
    assert shapes(converted) == shapes(ours)
