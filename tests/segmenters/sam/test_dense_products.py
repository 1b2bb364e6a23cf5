"""Products of matrices and modules of dense layers, and the cases in which oneDNN must not serve."""

from types import SimpleNamespace

import pytest
import torch
from random_weights import largest_error
from torch import nn

from geosam.segmenters.sam import dense
from geosam.segmenters.sam.dense import Linear, PointwiseConv2d, added, linear, onednn_serves, times_transposed


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.mark.parametrize("batch", [1, 3])
def test_products_with_a_transpose_are_those_of_torch(batch):
    a, b = noise(batch, 5, 16), noise(batch, 9, 16)
    with torch.inference_mode():
        assert largest_error(times_transposed(a, b), torch.einsum("bmk,bnk->bmn", a, b)) < 1e-5


@pytest.mark.parametrize(("images", "batch"), [(1, 1), (1, 4), (4, 4)], ids=["one", "shared image", "own images"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_sums_with_a_product_are_those_of_torch(images, batch, dtype):
    image, a, b = noise(images, 6, 8), noise(batch, 6, 3), noise(batch, 3, 8)
    expected = image + torch.einsum("bmk,bkn->bmn", a, b)
    with torch.inference_mode():
        found = added(image.to(dtype), a.to(dtype), b.to(dtype))
    assert found.dtype == dtype
    assert largest_error(found.float(), expected) < (1e-5 if dtype == torch.float32 else 0.03)


def test_a_sum_leaves_its_image_as_it_is():
    image = noise(1, 6, 8)
    before = image.clone()
    with torch.inference_mode():
        added(image, noise(1, 6, 3), noise(1, 3, 8))
        added(image, noise(2, 6, 3), noise(2, 3, 8))
    assert torch.equal(image, before)


@pytest.mark.parametrize("gelu", [False, True], ids=["plain", "gelu"])
def test_the_linear_module_has_the_parameters_and_the_result_of_torchs(gelu):
    torch.manual_seed(1)
    ours, official = Linear(12, 7, gelu=gelu), nn.Linear(12, 7)
    official.load_state_dict(ours.state_dict())
    x = noise(2, 3, 12)
    expected = (nn.functional.gelu(official(x)) if gelu else official(x)).detach()
    with torch.inference_mode():
        assert largest_error(ours(x), expected) < 1e-5
    assert largest_error(ours(x).detach(), expected) < 1e-5, "with gradients, too"


def test_a_pointwise_convolution_keeps_channels_last_in_memory():
    torch.manual_seed(1)
    ours, official = PointwiseConv2d(12, 7), nn.Conv2d(12, 7, 1)
    official.load_state_dict(ours.state_dict())
    x = noise(2, 12, 5, 6)
    with torch.inference_mode():
        found = ours(x)
        assert largest_error(found, official(x)) < 1e-5
        assert largest_error(ours(x.contiguous(memory_format=torch.channels_last)), official(x)) < 1e-5
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def operators(monkeypatch):
    """The fused operator of oneDNN, counted."""
    calls = []

    def counted(x, weight, bias, name, *_):
        calls.append(name)
        out = nn.functional.linear(x, weight, bias)
        return nn.functional.gelu(out) if name == "gelu" else out

    fakes = SimpleNamespace(_linear_pointwise=counted, _is_mkldnn_bf16_supported=lambda: False)
    monkeypatch.setattr(dense, "_has_operators", lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", fakes, raising=False)
    return calls


@torch.inference_mode()
def test_the_fused_operator_serves_float32_in_inference(operators):
    x, weight, bias = noise(4, 8), noise(3, 8), noise(3)
    linear(x, weight, bias)
    linear(x, weight, bias, gelu=True)
    assert operators == ["none", "gelu"]


@torch.inference_mode()
def test_types_that_the_processor_does_not_multiply_stay_with_torch(operators):
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert not onednn_serves(noise(2, 2).to(dtype))
        linear(noise(4, 8).to(dtype), noise(3, 8).to(dtype))
    assert operators == []


@pytest.mark.filterwarnings("ignore:TF32")
@torch.inference_mode()
def test_a_switched_off_library_is_not_called(operators):
    with torch.backends.mkldnn.flags(enabled=False):
        assert not onednn_serves(noise(2, 2))
        linear(noise(4, 8), noise(3, 8))
    assert operators == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trace_contains_no_private_operator(operators):
    module = Linear(8, 3, gelu=True).requires_grad_(requires_grad=False)
    with torch.inference_mode():
        traced = torch.jit.trace(module, noise(4, 8), check_trace=False)
    assert operators == []
    assert "mkldnn" not in str(traced.graph)


def test_a_torch_without_the_operators_is_said_once_and_serves_itself(monkeypatch, caplog):
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(), raising=False)
    dense._has_operators.cache_clear()
    try:
        with torch.inference_mode():
            x, weight = noise(4, 8), noise(3, 8)
            assert largest_error(linear(x, weight), x @ weight.T) < 1e-5
            assert not onednn_serves(x)
        assert len(caplog.records) == 1
        assert "networks run slower on the CPU" in caplog.text
    finally:
        dense._has_operators.cache_clear()
