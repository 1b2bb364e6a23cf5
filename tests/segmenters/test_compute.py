"""What a machine is asked to do: every rule of `auto`, every refusal, and the allocator."""

import itertools
import platform
import subprocess
import sys

import pytest
import torch

from geosam.errors import DeviceUnavailable
from geosam.segmenters import compute
from geosam.segmenters.compute import BACKENDS, DEVICES, PRECISIONS, Compute, choose, keep_freed_memory


@pytest.fixture
def machine(monkeypatch):
    """``machine(cuda=(8, 0), cpu={"amx_bf16": True}, openvino=True)``: a machine that has these."""

    def pretend(cuda=None, cpu=None, *, openvino=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: cuda)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu or {})
        monkeypatch.setattr(compute, "find_spec", lambda name: name if openvino else None)

    return pretend


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({}, "cpu-fp32-torch"),
        ({"openvino": True}, "cpu-fp32-torch"),
        ({"cpu": {"avx512_bf16": True}}, "cpu-bf16-torch"),
        ({"cpu": {"amx_bf16": True}, "openvino": True}, "cpu-bf16-torch"),
        ({"cpu": {"avx512_f": True, "avx2": True}}, "cpu-fp32-torch"),
        ({"cuda": (8, 0)}, "cuda-bf16-torch"),
        ({"cuda": (9, 0), "openvino": True}, "cuda-bf16-torch"),
        ({"cuda": (7, 5), "cpu": {"amx_bf16": True}}, "cuda-fp32-torch"),
    ],
    ids=str,
)
def test_auto_takes_the_best_that_the_machine_has(machine, has, expected):
    machine(**has)
    assert str(choose()) == expected


def test_what_is_named_is_taken(machine):
    machine(cuda=(9, 0), cpu={"amx_bf16": True}, openvino=True)
    for device, precision, backend in itertools.product(DEVICES[1:], PRECISIONS[1:], BACKENDS[1:]):
        if (device, precision) == ("cpu", "fp16") or (device, backend) == ("cuda", "openvino"):
            continue
        assert choose(device, precision, backend) == Compute(device, precision, backend)


def test_a_named_device_decides_about_the_rest(machine):
    machine(cuda=(9, 0), openvino=True)
    assert choose("cpu", backend="openvino") == Compute("cpu", "fp32", "openvino")
    assert choose("cpu", backend="torch") == Compute("cpu", "fp32", "torch")
    assert choose(precision="fp16") == Compute("cuda", "fp16", "torch")


@pytest.mark.parametrize(
    ("has", "asked", "said"),
    [
        ({}, {"device": "cuda"}, "`device`: found 'cuda', expected 'cpu' or 'auto'"),
        ({}, {"precision": "fp16"}, "`precision`: found 'fp16', expected 'fp32' or 'bf16'"),
        ({"cuda": (9, 0)}, {"device": "cpu", "precision": "fp16"}, "`precision`: found 'fp16'"),
        ({}, {"backend": "openvino"}, "`backend`: found 'openvino', expected 'torch' or 'auto'"),
        (
            {"cuda": (9, 0), "openvino": True},
            {"backend": "openvino"},
            "`backend`: found 'openvino', expected 'torch'. Use `device='cpu'`",
        ),
    ],
    ids=str,
)
def test_what_the_machine_cannot_do_is_refused_with_the_option_and_a_remedy(machine, has, asked, said):
    machine(**has)
    with pytest.raises(DeviceUnavailable) as refused:
        choose(**asked)
    assert said in str(refused.value)
    assert str(refused.value).endswith(".")
    assert refused.value.exit_code == 5


def test_bf16_is_computed_where_it_is_asked_for_even_if_it_is_slow(machine):
    machine()
    assert choose(precision="bf16") == Compute("cpu", "bf16", "torch")


def test_precisions_are_those_of_torch():
    assert [Compute(precision=name).dtype for name in PRECISIONS[1:]] == [torch.float32, torch.bfloat16, torch.float16]


# Pages of memory that the system has to hand out while the same blocks are taken and freed again and again.
FAULTS = """
import resource, sys, torch
from geosam.segmenters.compute import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory() and keep_freed_memory()
def work():
    a = torch.ones(16 << 20)  # 64 MiB
    b = a + 1
    return float((a * b)[0])
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc of another library")
def test_freed_memory_is_used_again_without_asking_the_system():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert 5 * faults("keep") < faults("leave")


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False
