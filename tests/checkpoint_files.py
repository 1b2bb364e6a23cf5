"""Small files of weights for tests, and what their refusal must look like."""

import zipfile
from collections import OrderedDict

import pytest
import torch

from geosam.errors import UnreadableCheckpoint
from geosam.segmenters.weights.reading import read_state_dict

TENSORS = OrderedDict(
    {
        "image_encoder.weight": torch.randn(64, 32, generator=torch.Generator().manual_seed(0)),
        "image_encoder.count": torch.tensor(3),
        "mask_decoder.bias": torch.linspace(-1, 1, 50),
    }
)


def saved(path, content=TENSORS, **options):
    torch.save(content, path, **options)
    return path


def refused(path, *words):
    """Reading must fail with one line that names the file and never advises to read it unsafely."""
    with pytest.raises(UnreadableCheckpoint) as caught:
        read_state_dict(path)
    text = str(caught.value)
    assert caught.value.exit_code == 5
    assert str(path) in text
    assert "\n" not in text
    assert "weights_only" not in text
    assert "arbitrary" not in text
    shown = f"{caught.value.__cause__}{'' if caught.value.__suppress_context__ else caught.value.__context__}"
    assert "weights_only" not in shown
    for word in words:
        assert word in text
    return text


def same(found, expected=TENSORS):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def rewritten(path, edit, compression=zipfile.ZIP_STORED):
    """Rewrite a zip archive; `edit` gets name and content of each record and returns its new content or None."""
    with zipfile.ZipFile(path) as archive:
        records = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records:
            if (new := edit(name, content)) is not None:
                archive.writestr(name, new)
    return path
