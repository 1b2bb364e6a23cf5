"""Image encoders that OpenVINO runs, against PyTorch, and the converted networks that are kept."""

import logging
import re

import numpy as np
import pytest
import references
import torch
from random_weights import largest_error, rms_error

from geosam.segmenters.compute import Compute
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam import dense
from geosam.segmenters.sam.build import VARIANTS, image_encoder, load
from geosam.segmenters.sam.features import ImageFeatures

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from geosam.segmenters.sam.openvino_encoder import OpenVinoEncoder  # noqa: E402 - needs it

pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm", "ignore:.*deprecated")
NETWORKS = {"mobile_sam": references.mobile_sam, "sam2.1_hiera_tiny": references.sam2_tiny}
FP32 = Compute(backend="openvino")


@pytest.fixture(scope="module", params=["mobile_sam", pytest.param("sam2.1_hiera_tiny", marks=pytest.mark.slow)])
def encoder(request):
    """An image encoder of PyTorch with random weights."""
    return load(VARIANTS[request.param], NETWORKS[request.param]().state_dict(), "memory").image_encoder


@pytest.fixture(scope="module")
def pictures():
    """Two pictures for encoders."""
    draw = torch.Generator().manual_seed(5)
    return torch.nn.functional.interpolate(torch.randn(2, 3, 64, 64, generator=draw), scale_factor=16)


@pytest.fixture(scope="module")
def converted(encoder, tmp_path_factory):
    """(the encoder run by OpenVINO, the folder of what was converted)."""
    folder = tmp_path_factory.mktemp("openvino") / "network"
    dense._has_operators.cache_clear()  # as in a process that converts before it has computed anything
    return OpenVinoEncoder(encoder, FP32, folder), folder


def maps(found):
    return [found.image, *found.early] if isinstance(found, ImageFeatures) else list(found)


@pytest.fixture(scope="module")
def expected(encoder, pictures):
    """What PyTorch makes of the first picture."""
    with torch.inference_mode():
        return encoder(pictures[:1])


def test_fp32_is_what_pytorch_computes(converted, expected, pictures):
    found = converted[0](pictures[:1])
    assert type(found) is type(expected)
    for mine, theirs in zip(maps(found), maps(expected), strict=True):
        assert mine.dtype == torch.float32
        assert largest_error(mine, theirs) < 1e-5


def test_a_picture_does_not_depend_on_those_it_is_embedded_with(converted, pictures):
    together, *alone = (maps(converted[0](part)) for part in (pictures, pictures[:1], pictures[1:]))
    for number, both in enumerate(together):
        for row in range(2):
            assert torch.equal(both[row : row + 1], alone[row][number])


def test_bf16_is_near(encoder, converted, expected, pictures):
    found = OpenVinoEncoder(encoder, Compute("cpu", "bf16", "openvino"), converted[1])(pictures[:1])
    for mine, theirs in zip(maps(found), maps(expected), strict=True):
        assert mine.dtype == torch.bfloat16
        assert rms_error(mine, theirs) < 0.05


@pytest.fixture
def no_converter(monkeypatch):
    """A converter that fails where it is used."""

    def refuse(*_, **__):
        pytest.fail("converted again")

    monkeypatch.setattr(openvino, "convert_model", refuse)


@pytest.mark.usefixtures("no_converter")
def test_what_was_converted_is_taken_the_next_time(encoder, converted, pictures):
    first, folder = converted
    assert sorted(path.name for path in folder.parent.iterdir()) == ["network"]
    again = OpenVinoEncoder(encoder, FP32, folder)
    for mine, theirs in zip(maps(again(pictures[:1])), maps(first(pictures[:1])), strict=True):
        assert torch.equal(mine, theirs)


@pytest.fixture
def small(monkeypatch):
    """An encoder that is converted at once, since something else is: it doubles pictures."""

    def convert(*_, **__):
        operations = openvino.opset13
        picture = operations.parameter([1, 3, 1024, 1024], np.float32)
        twice = operations.multiply(picture, operations.constant(np.full((1, 3, 1024, 1), 2, np.float32)))
        return openvino.Model([twice], [picture])

    monkeypatch.setattr(openvino, "convert_model", convert)
    return image_encoder(VARIANTS["mobile_sam"].encoder)


ONES = torch.ones(1, 3, 1024, 1024)


def halved(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "how"), [("encoder.xml", halved), ("encoder.bin", halved), ("encoder.bin", flipped)]
)
def test_a_damaged_network_is_made_again_with_a_warning(small, tmp_path, caplog, damage, how):
    folder = tmp_path / "openvino" / "network"
    OpenVinoEncoder(small, FP32, folder)
    whole = (folder / damage).read_bytes()
    (folder / damage).write_bytes(how(whole))
    with caplog.at_level(logging.WARNING, "geosam"):
        again = OpenVinoEncoder(small, FP32, folder)
    (record,) = caplog.records
    assert re.search(rf"{re.escape(str(folder))}.* is made again", record.getMessage())
    assert torch.equal(again(ONES).image, 2 * ONES)
    OpenVinoEncoder(small, FP32, folder)
    assert len(caplog.records) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["network"]


def test_a_folder_that_cannot_be_written_costs_a_warning_only(small, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING, "geosam"):
        made = OpenVinoEncoder(small, FP32, tmp_path / "file" / "network")
    assert torch.equal(made(ONES).image, 2 * ONES)
    (record,) = caplog.records
    assert "cannot be kept in" in record.getMessage()
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_disk_that_fills_up_leaves_nothing_behind(small, tmp_path, caplog, monkeypatch):
    def full(network, path, **_):
        del network
        path.write_bytes(b"half")
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(openvino, "save_model", full)
    with caplog.at_level(logging.WARNING, "geosam"):
        OpenVinoEncoder(small, FP32, tmp_path / "openvino" / "network")
    assert "no space left" in caplog.text
    assert list((tmp_path / "openvino").iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_checkpoint_is_converted_once_beside_the_others(tmp_path, monkeypatch, request):
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    path = references.save(references.mobile_sam(), tmp_path / "mine.pth")
    first = load_segmenter(str(path), "cpu", "fp32", "openvino")
    (folder,) = (tmp_path / "checkpoints" / "openvino").iterdir()
    assert folder.name.startswith(first.spec.fingerprint.partition("-cpu")[0])
    request.getfixturevalue("no_converter")
    again = load_segmenter(str(path), "cpu", "fp32", "openvino")
    assert again.spec == first.spec
    assert load_segmenter(str(path), "cpu", "fp32", "torch").spec.fingerprint != first.spec.fingerprint
    assert load_segmenter(str(path), "cpu", "bf16", "openvino").spec.fingerprint != first.spec.fingerprint
