"""Files with code or with false claims: refused before code runs or memory is taken."""

import io
import os
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest
import torch
from checkpoint_files import refused, rewritten, saved

import geosam
from geosam.errors import OutOfMemory, UnreadableCheckpoint
from geosam.segmenters.weights.reading import read_state_dict


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


@pytest.mark.serial
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
