"""C rows: checkpoints that are damaged, hostile, or not what they should be."""

import argparse
import contextlib
import io
import json
import logging
import os
import pathlib
import pickle
import random
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from checkpoint_server import enter
from safetensors.torch import save_file

import geosam
from geosam.errors import GeosamError, OutOfMemory, UnreadableCheckpoint
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


@pytest.mark.parametrize("name", ["tiny.pth", "tiny.pt", "tiny.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_is_read_exactly(name, zipped, tmp_path):
    found = read_state_dict(saved(tmp_path / name, _use_new_zipfile_serialization=zipped))
    same(found)
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in found.values())


def test_safetensors_are_read_exactly(tmp_path):
    save_file(dict(TENSORS), tmp_path / "tiny.safetensors")
    found = read_state_dict(tmp_path / "tiny.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    (tmp_path / "tiny.safetensors").rename(tmp_path / "model.pth")
    assert set(read_state_dict(tmp_path / "model.pth")) == set(TENSORS)


class Evil:
    """Creates a file when it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def tar(path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Evil(path.with_name("pwned")), 2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


HOSTILE = {
    "zip": lambda path: saved(path, {"a": Evil(path.with_name("pwned"))}),
    "legacy": lambda path: saved(path, {"a": Evil(path.with_name("pwned"))}, _use_new_zipfile_serialization=False),
    "zip protocol 4": lambda path: saved(path, {"a": Evil(path.with_name("pwned"))}, pickle_protocol=4),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": Evil(path.with_name("pwned"))})),
    "pickle protocol 2": lambda path: path.write_bytes(pickle.dumps({"a": Evil(path.with_name("pwned"))}, 2)),
    "text pickle": lambda path: path.write_bytes(pickle.dumps({"a": Evil(path.with_name("pwned"))}, 0)),
    "tar": tar,
}


@pytest.mark.fault("C01", "C02", "C03")
@pytest.mark.parametrize("kind", list(HOSTILE))
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_code_is_refused_and_never_run(kind, suffix, tmp_path, monkeypatch):
    path = tmp_path / f"evil{suffix}"
    HOSTILE[kind](path)
    for variable in (None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        if variable:
            monkeypatch.setenv(variable, "1")
        text = refused(path)
        assert not (tmp_path / "pwned").exists()
        if suffix != ".safetensors" and kind != "text pickle":
            assert re.search(r"contains? code", text)
        assert ("posix.system" in text) == (suffix != ".safetensors" and kind in ("zip", "legacy", "pickle protocol 2"))


@pytest.mark.fault("C02")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_code(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "contains code", "TorchScript")


@pytest.mark.fault("C03")
def test_the_reader_is_safe_whatever_the_environment_says(tmp_path):
    path = saved(tmp_path / "evil.pth", {"a": Evil(tmp_path / "pwned")})
    code = f"from geosam.segmenters.weights.reading import read_state_dict; read_state_dict({str(path)!r})"
    environment = {
        **os.environ,
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "PYTHONPATH": str(pathlib.Path(geosam.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "UnreadableCheckpoint" in done.stderr
    assert not (tmp_path / "pwned").exists()


@pytest.mark.fault("C04")
def test_there_is_no_unsafe_way_to_load_in_the_code_base():
    sources = {path: path.read_text(encoding="utf-8") for path in pathlib.Path(geosam.__file__).parent.rglob("*.py")}
    loads = [line for text in sources.values() for line in text.splitlines() if "torch.load(" in line]
    assert len(loads) == 1
    assert "weights_only=True" in loads[0]
    for path, text in sources.items():
        for banned in (
            "weights_only=False",
            "pickle.load",
            "Unpickler(",
            "add_safe_globals",
            "safe_globals(",
            "joblib",
        ):
            assert banned not in text, path


@pytest.mark.fault("C06")
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_names_the_bytes(share, suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    save_file(dict(TENSORS), path) if suffix == ".safetensors" else saved(path)
    whole = path.read_bytes()
    some = whole[: int(share * len(whole))]
    path.write_bytes(some)
    text = refused(path)
    if not some:
        assert "it is empty" in text
    else:
        assert f"incomplete download: {len(some)} " in text
        if suffix == ".safetensors" and share > 0.2:
            assert f"of {len(whole)} bytes" in text


@pytest.mark.fault("C06")
def test_the_manifest_knows_how_many_bytes_are_wanted(tmp_path, monkeypatch):
    path = saved(tmp_path / "tiny.pth")
    whole = path.read_bytes()
    enter(monkeypatch, "http://unused.invalid", whole, size=len(whole))
    path.write_bytes(whole[:999])
    refused(path, f"incomplete download: 999 of {len(whole)} bytes", "geosam models download tiny")


@pytest.mark.fault("C07")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a Git LFS pointer"),
        ("<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
    ],
)
def test_text_in_place_of_the_file_is_called_what_it_is(text, words, suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    path.write_text(text)
    refused(path, words)


@pytest.mark.fault("C08")
def test_a_folder_a_missing_file_and_an_unreadable_one_are_named(tmp_path, monkeypatch):
    refused(tmp_path, "is a folder")
    refused(tmp_path / "missing.pth", "No such file")
    path = saved(tmp_path / "tiny.pth")
    monkeypatch.setattr(pathlib.Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    refused(path, "denied")


def flipped(path):
    """Flip a bit in the middle of the first tensor's record."""
    with zipfile.ZipFile(path) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
    content = bytearray(path.read_bytes())
    content[entry.header_offset + len(entry.FileHeader()) + 2000] ^= 1
    path.write_bytes(content)


@pytest.mark.fault("C09")
def test_a_flipped_bit_in_an_official_file_is_found(tmp_path, monkeypatch, caplog):
    path = saved(tmp_path / "tiny.pth")
    enter(monkeypatch, "http://unused.invalid", path.read_bytes())
    with caplog.at_level(logging.WARNING, "geosam"):
        same(read_state_dict(path))
    assert caplog.messages == []
    flipped(path)
    refused(path, "SHA-256", "attested by this test")


@pytest.mark.fault("C09")
def test_a_file_of_the_users_own_is_called_unverified(tmp_path, caplog):
    path = saved(tmp_path / "own.pth")
    with caplog.at_level(logging.WARNING, "geosam"):
        read_state_dict(path)
    assert caplog.messages == [f"the checkpoint is not verified: {path}: no attested hash"]


@pytest.mark.fault("C13")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"model": tensors},
        lambda tensors: {"state_dict": tensors, "epoch": 3, "optimizer": {"state": {}}},
        lambda tensors: {"model": {"state_dict": tensors}},
        lambda tensors: OrderedDict((f"module.{name}", tensor) for name, tensor in tensors.items()),
        lambda tensors: {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}, "lr": 0.1},
    ],
)
def test_wrappers_and_prefixes_are_removed_and_logged(wrap, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "geosam"):
        same(read_state_dict(saved(tmp_path / "tiny.pth", wrap(TENSORS))))
    assert any("took the entry" in text or "removed the prefix" in text for text in caplog.messages)


@pytest.mark.fault("C13")
def test_a_prefix_that_only_some_names_have_belongs_to_them(tmp_path):
    mixed = {"module.a": torch.ones(2), "b": torch.ones(2)}
    assert list(read_state_dict(saved(tmp_path / "tiny.pth", mixed))) == ["module.a", "b"]


@pytest.mark.fault("C14")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_floating_point_types_become_float32(dtype, suffix, tmp_path):
    tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in TENSORS.items()}
    path = tmp_path / f"tiny{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else saved(path, tensors)
    found = read_state_dict(path)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(found[name], tensor.to(found[name].dtype)) for name, tensor in tensors.items())


@pytest.mark.fault("C15")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_that_are_not_finite_are_refused(value, dtype, tmp_path):
    tensor = torch.ones(10, 10, dtype=dtype)
    tensor[3, 4] = value
    path = saved(tmp_path / "tiny.pth", {"fine": torch.ones(2), "bad": tensor})
    refused(path, 'tensor "bad": 1 of 100 values are not finite')


@pytest.mark.fault("C16")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.ones(3), "it holds one Tensor"),
        ([torch.ones(3)], "it holds one list"),
        (3, "it holds one int"),
        ({}, "it is empty"),
        ({"model": {}}, "it is empty"),
        ({"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]}, "entry 'state' is a dict"),
        ({"optimizer": {"state": {}}, "epoch": 3}, "entry 'optimizer' is a dict"),
        ({"weight": torch.ones(3), "epoch": 3}, "entry 'epoch' is a int"),
        ({3: torch.ones(3)}, "entry 3 is a Tensor"),
        ({"weight": torch.ones(3).to_sparse()}, 'tensor "weight" is of an unusual kind'),
        ({"weight": torch.ones(3, dtype=torch.complex64)}, 'tensor "weight" is of an unusual kind'),
        ({"weight": torch.ones(3, device="meta")}, 'tensor "weight" is of an unusual kind'),
    ],
)
def test_what_is_no_state_dictionary_is_refused(content, words, tmp_path):
    refused(saved(tmp_path / "tiny.pth", content), words)


@pytest.mark.fault("C16")
@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(3), "numpy"),
        (np.ones(3), "numpy"),
        (pathlib.PurePosixPath("x"), "pathlib.PurePosixPath"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_other_things_beside_the_tensors_are_named(thing, name, tmp_path):
    path = saved(tmp_path / "tiny.pth", {"model": dict(TENSORS), "args": thing})
    refused(path, "contains code, refused", f"it calls for {name}", "torch.save(model.state_dict(), PATH)")


def rewritten(path, edit, compression=zipfile.ZIP_STORED):
    """Rewrite a zip archive; `edit` gets name and content of each record and returns its new content or None."""
    with zipfile.ZipFile(path) as archive:
        records = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records:
            if (new := edit(name, content)) is not None:
                archive.writestr(name, new)
    return path


@pytest.mark.fault("C17")
def test_a_checkpoint_of_a_gpu_is_read_without_one(tmp_path):
    path = saved(tmp_path / "tiny.pth")

    def on_gpu(name, content):
        return (
            content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0") if name.endswith(".pkl") else content
        )

    rewritten(path, on_gpu)
    assert b"cuda:0" in path.read_bytes()
    same(read_state_dict(path))


def peak_memory(path):
    """MB that a process of its own needs at most to refuse the file, beyond what it needs before."""
    code = (
        "import resource; from geosam.segmenters.weights.reading import read_state_dict;"
        "from geosam.errors import GeosamError;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; before = peak()\n"
        f"try: read_state_dict({str(path)!r})\n"
        "except GeosamError: print(peak() - before)"
    )
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(geosam.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return float(done.stdout)


@pytest.mark.fault("C18")
def test_a_zip_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = saved(tmp_path / "bomb.pth", {"a": torch.zeros(2**25)})
    rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1e6
    refused(path, "is compressed, refused", "data.pkl")
    assert peak_memory(path) < 64


@pytest.mark.fault("C18")
def test_records_that_overlap_are_refused(tmp_path):
    path = saved(tmp_path / "bomb.pth", {"a": torch.randn(1000), "b": torch.randn(1000)})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = [entry.filename for entry in archive.infolist()]
        one, two = (entry for entry in archive.infolist() if "/data/" in entry.filename)
    assert len(names) == len(set(names))
    place = content.rfind(two.filename.encode()) - 46  # its entry in the table of contents
    content[place + 42 : place + 46] = struct.pack("<I", one.header_offset)
    for offset in (20, 24):  # and larger than the file
        content[place + offset : place + offset + 4] = struct.pack("<I", 10**6)
    path.write_bytes(content)
    refused(path, "claims to unpack to")


@pytest.mark.fault("C18")
@pytest.mark.parametrize("count", [10**4, 10**12])
def test_a_tensor_that_repeats_one_number_does_not_take_its_size_in_memory(count, tmp_path):
    path = saved(tmp_path / "tiny.pth", {"a": torch.ones(1).expand(count)})
    refused(path, f"its tensors claim {4 * count} bytes")


@pytest.mark.fault("C18")
def test_a_legacy_file_that_claims_much_is_refused(tmp_path):
    path = saved(tmp_path / "tiny.pth", {"a": torch.ones(1000)}, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"M\xe8\x03" in content
    path.write_bytes(content.replace(b"M\xe8\x03", b"\x8a\x05" + (10**11).to_bytes(5, "little"), 1))
    with pytest.raises((UnreadableCheckpoint, OutOfMemory)):
        read_state_dict(path)


@pytest.mark.fault("C19")
@pytest.mark.parametrize("later", [10, 10**5])
def test_a_record_shorter_than_its_tensor_is_refused(later, tmp_path):
    """With much behind it, a mapped file would lend bytes of the next record."""
    path = saved(tmp_path / "tiny.pth", {"a": torch.randn(1000), "b": torch.randn(later)})
    rewritten(path, lambda name, content: content[:8] if name.endswith("data/0") else content)
    refused(path, "a tensor has fewer bytes than it declares")


def test_records_that_are_missing_are_refused(tmp_path):
    path = saved(tmp_path / "tiny.pth")
    refused(rewritten(path, lambda name, content: None if name.endswith("data/0") else content), "do not fit together")
    refused(rewritten(path, lambda name, content: None if name.endswith(".pkl") else content), "PyTorch did not write")


def header(path, edit):
    """Rewrite the header of a safetensors file; `edit` gets its text and returns the new one."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    new = edit(content[8 : 8 + length].decode()).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


def edited(change):
    """An edit of the header as a dictionary."""

    def edit(text):
        found = json.loads(text)
        change(found)
        return json.dumps(found)

    return edit


SAFETENSORS = {
    "duplicate key": (lambda text: text.rstrip()[:-1] + "," + text.rstrip()[1:], "occurs twice"),
    "not JSON": (lambda text: text.rstrip()[:-3], "header cannot be read"),
    "a list": (lambda _: "[]", "header cannot be read"),
    "nested deeply": (lambda _: '{"a":' * 100_000, "header cannot be read"),
    "overlap": (edited(lambda h: h["b"].update(data_offsets=[0, 400])), "tensors"),
    "wrong shape": (edited(lambda h: h["b"].update(shape=[7])), "does not fit"),
    "negative": (edited(lambda h: h["b"].update(data_offsets=[-400, 800])), "does not fit"),
    "unknown type": (edited(lambda h: h["b"].update(dtype="F99")), "does not fit"),
    "no offsets": (edited(lambda h: h["b"].pop("data_offsets")), "header cannot be read"),
    "far end": (edited(lambda h: h["b"].update(data_offsets=[400, 10**12])), "incomplete download"),
    "hole": (edited(lambda h: h.pop("a")), "does not fit"),
    "fewer": (edited(lambda h: h.pop("b")), "bytes behind its tensors"),
}


@pytest.mark.fault("C20")
@pytest.mark.parametrize("damage", list(SAFETENSORS))
def test_a_damaged_safetensors_header_is_refused(damage, tmp_path):
    edit, words = SAFETENSORS[damage]
    path = tmp_path / "tiny.safetensors"
    save_file({"a": torch.ones(100), "b": torch.zeros(100)}, path)
    header(path, edit)
    refused(path, words)


@pytest.mark.fault("C20")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"12345", "a header of"),
        (struct.pack("<Q", 2**60) + b"{}", f"a header of {2**60} bytes"),
        (struct.pack("<Q", 2**31) + b"{}", f"a header of {2**31} bytes"),
        (struct.pack("<Q", 100) + b"{}", "incomplete download"),
    ],
)
def test_an_impossible_safetensors_header_is_refused(content, words, tmp_path):
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(content)
    refused(path, words)


@pytest.mark.fault("C20")
def test_trailing_bytes_and_a_renamed_pickle_are_refused(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_file(dict(TENSORS), path)
    path.write_bytes(path.read_bytes() + b"x")
    refused(path, "1 bytes behind its tensors")
    refused(saved(path), "it is a zip archive, a safetensors file wanted")
    refused(saved(path, _use_new_zipfile_serialization=False), "it is a Python pickle, a safetensors file wanted")


def test_tied_tensors_and_parameters_are_read(tmp_path):
    weight = torch.nn.Parameter(torch.ones(4))
    found = read_state_dict(saved(tmp_path / "tiny.pth", {"a": weight, "b": weight}))
    assert torch.equal(found["a"], found["b"])
    assert not found["a"].requires_grad


@pytest.mark.fault("C06", "C19", "C20")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".legacy"])
def test_random_damage_never_ends_in_anything_but_a_clean_refusal(suffix, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".safetensors":
        save_file(dict(TENSORS), path)
    else:
        saved(path, _use_new_zipfile_serialization=suffix == ".pth")
    whole = path.read_bytes()
    seeded = random.Random(0)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(seeded.choice([1, 3, 30])):
            content[seeded.randrange(seeded.choice([200, len(content)]))] = seeded.randrange(256)
        path.write_bytes(content[: seeded.choice([len(content), seeded.randrange(len(content))])])
        with contextlib.suppress(GeosamError):
            found = read_state_dict(path)
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
