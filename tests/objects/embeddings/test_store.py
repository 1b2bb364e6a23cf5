"""The embedding store: FAULTS C23 to C27 (damage, keys, concurrency, folders that cannot be written, eviction)."""

import contextlib
import dataclasses
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scenes import SCENES

from geosam.errors import UsageError
from geosam.objects.embeddings.key import FORMAT, EmbeddingKey
from geosam.objects.embeddings.store import EmbeddingStore, _encoded
from geosam.scene import open_scene
from geosam.scene.recipe import Recipe
from geosam.segmenters.segmenter import Embedding


def key(number):
    return f"{number:064x}"[::-1]


def embedding(number=0, size=1000):
    numbers = np.random.default_rng(number).integers(0, 2**16, size, np.uint16)
    return Embedding({"bits": numbers, "number": np.array(number)}, (30, 40), "model-1")


def same(one, other):
    return (
        one.input_hw == other.input_hw
        and one.fingerprint == other.fingerprint
        and list(one.arrays) == list(other.arrays)
        and all(
            (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
            for a, b in zip(one.arrays.values(), other.arrays.values(), strict=True)
        )
    )


def entries(folder):
    return sorted(folder.glob("??/*.safetensors"))


def others(folder):
    """Everything that is neither an entry nor the manifest nor a folder."""
    known = {*entries(folder), folder / "store.json"}
    return [path for path in folder.rglob("*") if path.is_file() and path not in known]


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "store")


def test_what_was_put_comes_back(store):
    made = Embedding(
        {
            "z": np.arange(6, dtype=np.float32).reshape(2, 3),
            "a": np.arange(6, dtype=np.uint16)[::2],
            "turned": np.arange(6.0).reshape(2, 3).T,
            "scalar": np.array(2.5, np.float16),
            "none": np.empty((0, 4), np.int64),
            "truth": np.array([True, False]),
        },
        (480, 640),
        "model-1",
    )
    assert store.get(key(1)) is None
    assert store.put(key(1), made)
    found = store.get(key(1))
    assert same(found, made)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in found.arrays.values())
    assert store.bytes_of(key(1)) == entries(store.folder)[0].stat().st_size
    assert store.bytes_of(key(2)) == 0
    assert store.take_warnings() == []


KINDS = [np.dtype(name) for name in ("u1", "u2", "i4", "i8", "f2", "f4", "f8", "?")]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(KINDS).flatmap(lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=0))),
        max_size=4,
    )
)
def test_any_arrays_come_back_bit_for_bit(tmp_path_factory, arrays):
    store = EmbeddingStore(tmp_path_factory.mktemp("any") / "store")
    made = Embedding(arrays, (3, 4), "model")
    assert store.put(key(1), made)
    assert same(store.get(key(1)), made)


def test_arrays_in_foreign_byte_order_come_back_in_the_machine_s(store):
    store.put(key(1), Embedding({"a": np.arange(5, dtype=">i4")}, (1, 1), "m"))
    found = store.get(key(1)).arrays["a"]
    assert (found.dtype, found.tolist()) == (np.dtype("i4"), [0, 1, 2, 3, 4])


def test_the_folder_says_what_it_is_and_its_names_are_keys(store):
    store.put(key(3), embedding())
    manifest = json.loads((store.folder / "store.json").read_text())
    assert manifest == {"what": manifest["what"], "format": FORMAT, "max_bytes": 20 * 2**30}
    assert "embeddings" in manifest["what"]
    (path,) = entries(store.folder)
    assert path.relative_to(store.folder) == Path(key(3)[:2], f"{key(3)}.safetensors")
    assert safetensors.numpy.load_file(path)["number"] == 0


@pytest.mark.parametrize("name", ["", "abc", "../" + "a" * 61, "G" * 64])
def test_keys_are_digests(store, name):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        store.get(name)


def test_a_moved_and_a_copied_store_stay_valid(store, tmp_path):
    store.put(key(1), embedding(1))
    shutil.copytree(store.folder, tmp_path / "copy")
    store.folder.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert same(EmbeddingStore(tmp_path / name).get(key(1)), embedding(1))


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = EmbeddingStore("a/b")
    store.put(key(1), embedding(1))
    monkeypatch.chdir("/")
    assert same(store.get(key(1)), embedding(1))


def test_a_store_can_be_sent_to_another_process(store):
    store.put(key(1), embedding(1))
    sent = pickle.loads(pickle.dumps(store))  # noqa: S301 - made here
    assert same(sent.get(key(1)), embedding(1))


# Damage, C23.


SPRUNG = []


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return (SPRUNG.append, ("unpickled",))


def rewritten(data, change):
    """The entry with another JSON header of a length that fits."""
    length = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + length]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def without_facts(header):
    return {name: value for name, value in header.items() if name != "__metadata__"}


def with_fact(name, value):
    def change(header):
        facts = json.loads(header["__metadata__"]["geosam"]) | {name: value}
        return header | {"__metadata__": {"geosam": json.dumps(facts)}}

    return change


DAMAGE = {
    "empty": b"",
    "seven bytes": lambda data: data[:7],
    "cut in the header": lambda data: data[:60],
    "cut in the arrays": lambda data: data[:-900],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
    "huge header": lambda data: (10**18).to_bytes(8, "little") + data[8:],
    "deep header": (10**5).to_bytes(8, "little") + b"[" * 10**5,
    "flipped in the arrays": lambda data: data[:-500] + bytes([data[-500] ^ 4]) + data[-499:],
    "pickled": pickle.dumps(Trap()),
    "pickled array": pickle.dumps(np.array([Trap()])),
    "a picture": b"\x89PNG\r\n\x1a\n" * 100,
    "another entry": _encoded(key(2), embedding(2)),
    "no facts": lambda data: rewritten(data, without_facts),
    "facts of another size": lambda data: rewritten(data, with_fact("input_hw", [40, 30])),
    "facts of another model": lambda data: rewritten(data, with_fact("model", "model-2")),
    "facts of another format": lambda data: rewritten(data, with_fact("format", FORMAT + 1)),
    "facts without arrays": lambda data: rewritten(data, with_fact("names", [])),
    "facts with more arrays": lambda data: rewritten(data, with_fact("names", ["bits", "number", "more"])),
    "facts that are a list": lambda data: rewritten(data, lambda header: header | {"__metadata__": {"geosam": "[]"}}),
    "renamed array": lambda data: data.replace(b'"bits"', b'"gits"'),
    "foreign tensors": safetensors.numpy.save({"bits": np.zeros(3)}),
}


@pytest.mark.fault("C23")
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_a_miss_is_deleted_and_warned_of_once(store, kind):
    for number in (1, 3):
        store.put(key(number), embedding(number))
        path = store.folder / key(number)[:2] / f"{key(number)}.safetensors"
        damage = DAMAGE[kind]
        path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
        assert store.get(key(number)) is None
        assert not path.exists()
    (warning,) = store.take_warnings()
    assert "damaged" in warning
    assert str(store.folder) in warning
    assert SPRUNG == []
    store.put(key(1), embedding(1))
    assert same(store.get(key(1)), embedding(1))
    assert store.take_warnings() == []


@pytest.mark.fault("C23")
@given(st.data())
def test_whatever_is_flipped_or_cut_the_answer_is_right_or_none(tmp_path_factory, data):
    store = EmbeddingStore(tmp_path_factory.mktemp("flips") / "store")
    made = embedding(7, 50)
    store.put(key(1), made)
    (path,) = entries(store.folder)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = store.get(key(1))
    assert found is None or same(found, made)


@pytest.mark.fault("C23")
def test_a_folder_in_the_place_of_an_entry_is_a_miss(store):
    (store.folder / key(1)[:2] / f"{key(1)}.safetensors").mkdir(parents=True)
    assert store.get(key(1)) is None
    assert not store.put(key(1), embedding(1))
    assert len(store.take_warnings()) == 2


@pytest.mark.fault("C23")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"what": "something else"}'])
def test_a_damaged_manifest_is_written_again(store, text):
    store.put(key(1), embedding(1))
    (store.folder / "store.json").write_text(text)
    again = EmbeddingStore(store.folder)
    assert same(again.get(key(1)), embedding(1))
    assert json.loads((store.folder / "store.json").read_text())["format"] == FORMAT


# Keys, C24.


@pytest.fixture(scope="module")
def real_key(tmp_path_factory):
    scene = open_scene(SCENES["nodata"](tmp_path_factory.mktemp("key")), resolution=0.7)
    return EmbeddingKey.of(scene, scene.read(scene.region), "model-1", 1024)


OTHERS = {
    "source": st.text(),
    "grid": st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 8),
    "crs": st.text(),
    "bands": st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    "level": st.tuples(st.none() | st.integers(0, 9), st.booleans(), st.booleans(), st.booleans()),
    "resampling": st.just(()) | st.tuples(*[st.tuples(st.floats(0.01, 100), st.integers(1, 10**6))] * 2),
    "stretch": st.tuples(*[st.tuples(*[st.floats(-1e4, 1e4)] * 3)] * 2),
    "mask_rule": st.text(),
    "pixels": st.text(),
    "padded_to": st.none() | st.integers(1, 4096),
    "model": st.text(),
    "format": st.integers(),
}


def test_every_field_of_a_key_is_known_here():
    names = [field.name for kind in (EmbeddingKey, Recipe) for field in dataclasses.fields(kind)]
    assert sorted([*OTHERS, "recipe"]) == sorted(names)


def changed_in(key, name, value):
    if hasattr(key.recipe, name):
        return dataclasses.replace(key, recipe=dataclasses.replace(key.recipe, **{name: value}))
    return dataclasses.replace(key, **{name: value})


def test_a_key_keeps_its_digest_as_long_as_the_format_stays():
    recipe = Recipe(
        source="content",
        grid=(8, 6, 0.5, 0.0, 500000.0, 0.0, -0.5, 5000000.0),
        crs="EPSG:32633",
        bands=(1, 2, 3),
        level=(None, False, False, True),
        resampling=((1.5, 90), (1.5, 70)),
        stretch=((0.0, 1.0, 2.0), (255.0, 254.0, 253.0)),
        mask_rule="[[0.0, null, null], null, [], null]",
    )
    key = EmbeddingKey(recipe, pixels="pixels", padded_to=1024, model="model-1")
    assert key.digest == "281418b8f914903cd02a78276ae8a45c5ad42e9f4bf2a24dcef19559dae38d1a"


@pytest.mark.fault("C24")
@given(st.sampled_from(sorted(OTHERS)).flatmap(lambda name: st.tuples(st.just(name), OTHERS[name])))
def test_any_single_changed_field_is_a_miss(tmp_path_factory, real_key, change):
    name, value = change
    changed = changed_in(real_key, name, value)
    store = EmbeddingStore(tmp_path_factory.getbasetemp() / "keys")
    store.put(real_key.digest, embedding(1))
    if changed == real_key:
        assert changed.digest == real_key.digest
    else:
        assert store.get(changed.digest) is None
    assert same(store.get(real_key.digest), embedding(1))


OPENED = {
    "again": ({}, True),
    "stretch": ({"stretch": "0,200"}, False),
    "bands": ({"bands": (3, 2, 1)}, False),
    "one band": ({"bands": (1,)}, False),
    "resolution": ({"resolution": 0.7}, False),
    "the same stretch in other words": ({"stretch": "none"}, True),
    "window": ({"window": (500_000, 4_999_970, 500_030, 5_000_000)}, True),
}


@pytest.mark.fault("C24")
@pytest.mark.parametrize("case", OPENED)
def test_the_key_follows_what_is_read(tmp_path, case):
    options, equal = OPENED[case]
    path = SCENES["nodata"](tmp_path)

    def made(**opening):
        scene = open_scene(path, **opening)
        tile = scene.read(dataclasses.replace(scene.geobox.window, width=20, height=20))
        return EmbeddingKey.of(scene, tile, "model-1", None).digest

    assert (made() == made(**options)) == equal


@pytest.mark.fault("C24")
@pytest.mark.parametrize("kind", ["north_up", "nodata", "alpha", "mask_band", "south_up", "rotated", "single_band"])
def test_kinds_of_scenes_have_keys_of_their_own_and_windows_too(tmp_path, kind):
    keys = set()
    for name in {kind, "north_up"}:
        folder = tmp_path / name
        folder.mkdir()
        scene = open_scene(SCENES[name](folder))
        for col in (0, 1):
            tile = scene.read(dataclasses.replace(scene.region, col_off=col, width=30, height=30))
            keys.add(EmbeddingKey.of(scene, tile, "model-1", None).digest)
    assert len(keys) == 2 * len({kind, "north_up"})


# C25: several processes


PROCESS = """
import sys, numpy as np
from geosam.segmenters.segmenter import Embedding
from geosam.objects.embeddings.store import EmbeddingStore

folder, first, count, rounds, size, limit = sys.argv[1], *map(int, sys.argv[2:])
store = EmbeddingStore(folder, limit or None)
key = lambda number: f"{number:064x}"[::-1]

def embedding(number):
    bits = np.random.default_rng(number).integers(0, 2**16, size, np.uint16)
    return Embedding({"bits": bits, "number": np.array(number)}, (30, 40), "model-1")

print("ready", flush=True)
for _ in range(rounds):
    for number in range(first, first + count):
        assert store.put(key(number), embedding(number))
        for used in (number, first, 150):
            found = store.get(key(used))
            assert found is None or found.arrays["bits"].tobytes() == embedding(used).arrays["bits"].tobytes()
assert store.take_warnings() == []
"""


def started(folder, *numbers):
    """A process that puts and gets embeddings: first number, count, rounds, size, limit."""
    command = [sys.executable, "-c", PROCESS, str(folder), *map(str, numbers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def ended(process):
    process.stdout.close()
    return process.wait()


@pytest.mark.fault("C25")
def test_four_writers_of_the_same_entries_and_a_reader_that_never_sees_a_torn_one(tmp_path):
    wanted = {number: embedding(number, 20_000) for number in range(6)}
    store = EmbeddingStore(tmp_path / "store")
    writers = [started(store.folder, 0, 6, 20, 20_000, 0) for _ in range(4)]
    found = 0
    while any(writer.poll() is None for writer in writers):
        for number, made in wanted.items():
            read = store.get(key(number))
            assert read is None or same(read, made)
            found += read is not None
    assert [ended(writer) for writer in writers] == [0] * 4
    assert found > 20
    assert store.take_warnings() == []
    assert len(entries(store.folder)) == len(wanted)
    assert others(store.folder) == []


WRITER = """
import sys, numpy as np
from geosam.segmenters.segmenter import Embedding
from geosam.objects.embeddings.store import EmbeddingStore
store = EmbeddingStore(sys.argv[1])
print("ready", flush=True)
for number in range(10**6):
    bits = np.full(2_000_000, number, np.uint16)
    store.put(f"{number % 50:064x}", Embedding({"bits": bits}, (1, 1), "m"))
"""


@pytest.mark.fault("C25")
def test_killed_while_it_writes_a_process_leaves_no_torn_entry(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "store"
    left = set()
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.15))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        left |= set(others(folder))
    store = EmbeddingStore(folder)
    found = [store.get(path.stem) for path in entries(folder)]
    assert found
    assert all(len(set(item.arrays["bits"].tolist())) == 1 for item in found)
    assert store.take_warnings() == []
    assert left == set(others(folder))  # they might be somebody's who writes just now
    for path in left:
        os.utime(path, (0, 0))
    store.put(key(1), embedding(1))
    assert others(folder) == []


# C26: folders that cannot be used


@contextlib.contextmanager
def without_rights():
    """Nobody writes in folders of mode 500: not even root, who is somebody else meanwhile."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_folder():
    """A folder that other users may look into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.fault("C26")
def test_a_folder_that_cannot_be_made_is_warned_of_once_and_nothing_is_found(open_folder):
    open_folder.chmod(0o555)
    with without_rights():
        store = EmbeddingStore(open_folder / "store")
        assert not store.put(key(1), embedding(1))
        assert store.get(key(1)) is None
    (warning,) = store.take_warnings()
    assert f"{store.folder}: Permission denied" in warning


@pytest.mark.fault("C26")
def test_a_store_that_may_only_be_read_is_read(open_folder):
    folder = open_folder / "store"
    EmbeddingStore(folder).put(key(1), embedding(1))
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with without_rights():
        store = EmbeddingStore(folder)
        assert same(store.get(key(1)), embedding(1))
        assert store.take_warnings() == []
        assert not store.put(key(2), embedding(2))
        assert not store.put(key(3), embedding(3))
    (warning,) = store.take_warnings()
    assert "Permission denied" in warning
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)


@pytest.mark.fault("C26")
def test_entries_that_may_not_be_read_are_misses(open_folder):
    folder = open_folder / "store"
    EmbeddingStore(folder).put(key(1), embedding(1))
    folder.chmod(0o755)
    entries(folder)[0].chmod(0)
    with without_rights():
        store = EmbeddingStore(folder)
        assert store.get(key(1)) is None
    assert len(store.take_warnings()) == 1


@pytest.mark.fault("C26")
def test_a_full_disk_is_warned_of_once_and_leaves_nothing_half_written(store):
    store.put(key(1), embedding(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert not store.put(key(2), embedding(2, 50_000))
        assert not store.put(key(3), embedding(3, 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(store.take_warnings()) == 1
    assert others(store.folder) == []
    assert same(store.get(key(1)), embedding(1))


@pytest.mark.fault("C26")
def test_the_temporary_folder_may_be_on_another_file_system(tmp_path, monkeypatch):
    memory = Path("/dev/shm")  # noqa: S108 - it is there to be another one
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    monkeypatch.setenv("TMPDIR", str(memory))
    store = EmbeddingStore(tmp_path / "store")
    assert store.put(key(1), embedding(1))
    assert same(store.get(key(1)), embedding(1))


@pytest.mark.fault("C26")
def test_a_file_or_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="found a file"):
            EmbeddingStore(folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(UsageError, match=r"it holds 'a\.jpg'"):
        EmbeddingStore(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


# C27: the limit


@pytest.mark.fault("C27")
def test_the_entries_used_longest_ago_go_first(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    for number in range(10):
        store.put(key(number), embedding(number))
        time.sleep(0.01)  # some file systems know hundredths of a second
    size = sum(path.stat().st_size for path in entries(store.folder))
    assert store.get(key(0)) is not None
    time.sleep(0.01)
    small = EmbeddingStore(store.folder, max_bytes=size // 2)
    small.put(key(10), embedding(10))
    kept = [number for number in range(11) if small.bytes_of(key(number))]
    assert kept == [0, 8, 9, 10]  # a tenth is freed beyond what is needed
    assert sum(path.stat().st_size for path in entries(store.folder)) <= size // 2
    assert small.take_warnings() == []


@pytest.mark.fault("C27")
def test_the_limit_holds_after_every_entry_and_the_newest_is_never_given_up(tmp_path):
    limit = 12_000
    store = EmbeddingStore(tmp_path / "store", max_bytes=limit)
    for number in range(60):
        assert store.put(key(number), embedding(number, 200 + 37 * number % 800))
        assert same(store.get(key(number)), embedding(number, 200 + 37 * number % 800))
        assert sum(path.stat().st_size for path in entries(store.folder)) <= limit


@pytest.mark.fault("C27")
def test_an_embedding_larger_than_the_limit_is_not_kept(tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=4000)
    store.put(key(1), embedding(1, 10))
    assert not store.put(key(2), embedding(2, 4000))
    assert not store.put(key(3), embedding(3, 4000))
    (warning,) = store.take_warnings()
    assert "does not fit" in warning
    assert len(entries(store.folder)) == 1


@pytest.mark.fault("C27")
def test_nothing_but_entries_is_deleted(tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=4000)
    store.put(key(1), embedding(1))
    mine = [store.folder / "notes.txt", store.folder / key(1)[:2] / "a.tif", store.folder / "mine" / "b.safetensors"]
    mine[2].parent.mkdir()
    for path in mine:
        path.write_bytes(bytes(5000))
        os.utime(path, (0, 0))
    for number in range(2, 9):
        store.put(key(number), embedding(number))
    assert all(path.exists() for path in mine)


@pytest.mark.fault("C27")
def test_the_limit_stays_with_the_folder_until_another_is_asked_for(tmp_path):
    assert EmbeddingStore(tmp_path / "store", max_bytes=5000).max_bytes == 5000
    assert EmbeddingStore(tmp_path / "store").max_bytes == 5000
    assert EmbeddingStore(tmp_path / "store", max_bytes=6000).max_bytes == 6000
    assert EmbeddingStore(tmp_path / "store").max_bytes == 6000
    with pytest.raises(ValueError, match="at least one byte"):
        EmbeddingStore(tmp_path / "store", max_bytes=0)


@pytest.mark.fault("C27")
def test_entries_may_be_given_up_by_others_while_they_are_used(tmp_path):
    folder = tmp_path / "store"
    processes = [started(folder, 100 * number, 100, 1, 2000, 100_000) for number in range(4)]
    assert [ended(process) for process in processes] == [0] * 4
    assert others(folder) == []
    total = sum(path.stat().st_size for path in entries(folder))
    assert total <= 100_000 + 4 * 100_000 // 20


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "cut", "delete", "open again", "limit", "clear"]),
        st.integers(0, 5),
        st.integers(0, 3000),
    ),
    max_size=30,
)


@pytest.mark.fault("Q14")
@given(STEPS)
def test_whatever_happens_to_a_store_it_answers_right_or_not_at_all(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps") / "store"
    store = EmbeddingStore(folder, max_bytes=10_000)
    for what, number, size in steps:
        path = folder / key(number)[:2] / f"{key(number)}.safetensors"
        if what == "put":
            assert store.put(key(number), embedding(number, 300))
            assert same(store.get(key(number)), embedding(number, 300))
        elif what == "cut" and path.exists():
            os.truncate(path, min(size, path.stat().st_size))
        elif what == "delete":
            path.unlink(missing_ok=True)
        elif what == "open again":
            store = EmbeddingStore(folder)
        elif what == "limit":
            store = EmbeddingStore(folder, max_bytes=1500 + size)
        elif what == "clear":
            shutil.rmtree(folder, ignore_errors=True)
        found = store.get(key(number))
        assert found is None or same(found, embedding(number, 300))
        assert store.failure is None
