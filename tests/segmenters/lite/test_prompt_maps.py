import torch

from geosam.segmenters.lite.prompt_maps import Prompts, references


def test_a_click_is_answered_at_its_own_place_in_half_precision_too():
    side, stride = 256, 4
    columns = torch.arange(side).remainder(128).float().expand(1, 1, side, side)
    clicks = torch.tensor([[[702.0, 2.0]], [[1018.0, 1018.0]]])
    prompts = Prompts(
        clicks,
        torch.ones(2, 1, dtype=torch.int8),
        torch.full((2, 4), torch.nan),
        torch.zeros(2, 1, side, side),
        torch.zeros(2, dtype=torch.bool),
    )
    found = references(columns.expand(2, -1, -1, -1).to(torch.bfloat16), prompts, 1, stride)
    assert found[:, 0].tolist() == [702 // stride - 128, 1018 // stride - 128]
