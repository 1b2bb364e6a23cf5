"""Weights for parity tests: every parameter and statistic is random, also those that start as zeros."""

import torch


def randomise(module, seed=0):
    """Fill a module in place so that signals keep their size from layer to layer; returns it, for inference."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + noise.abs())
        elif "pos" in name or "attention_biases" in name:
            value.copy_(0.3 * noise)
        elif value.ndim > 1:
            value.copy_(noise * value[0].numel() ** -0.5)
        else:
            value.copy_(0.2 * noise + name.endswith("weight"))
    return module.eval().requires_grad_(requires_grad=False)


def shapes(module):
    """The shape of every tensor of a checkpoint by its name."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def largest_error(found, wanted):
    """The largest difference in terms of the largest value."""
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max() / wanted.abs().max())


def rms_error(found, wanted):
    """The root mean square difference in terms of the spread of the values."""
    return float((found.float() - wanted).pow(2).mean().sqrt() / wanted.std())
