import subprocess
import sys

import pytest
from calls import ENVIRONMENT
from checkpoint_server import CONTENT, enter, serving

from geosam.apps.cli.report import Report
from geosam.segmenters.registry import registry
from geosam.segmenters.weights.manifest import manifest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of checkpoints."""
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def server(monkeypatch):
    """A server of the checkpoint `tiny`, which the manifest has in place of the official ones."""
    monkeypatch.setattr(manifest, "_entries", {})
    with serving() as started:
        enter(monkeypatch, started.url, size=len(CONTENT))
        yield started


@pytest.mark.parametrize("command", [["models"], ["models", "list"]], ids=" ".join)
def test_models_are_listed_with_the_default_first(command, geosam):
    done = geosam(*command)
    assert (done.code, done.err) == (0, "")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert names[:3] == ["geosam_lite", "regions", "threshold"]
    listed = geosam(*command, "--json").json
    assert [model["name"] for model in listed["models"]] == names
    assert listed["exit_code"] == 0


def test_every_model_and_every_checkpoint_is_listed_once(geosam):
    names = [model["name"] for model in geosam("models", "list", "--json").json["models"]]
    assert names[: len(registry)] == list(registry)
    assert sorted(names) == sorted({*registry, *manifest})


def test_a_checkpoint_is_said_to_be_there_or_not(geosam, folder):
    def sam_b():
        (line,) = [line for line in geosam("models").out.splitlines() if line.startswith("sam_vit_b ")]
        models = geosam("models", "--json").json["models"]
        (facts,) = [model["checkpoint"] for model in models if model["name"] == "sam_vit_b"]
        return line, facts

    line, facts = sam_b()
    assert line.endswith("[not downloaded, 375 MB]")
    assert facts == {
        "path": str(folder / "sam_vit_b_01ec64.pth"),
        "present": False,
        "bytes": 375042383,
        "sha256": manifest["sam_vit_b"].sha256,
        "attested": manifest["sam_vit_b"].attested,
        "licence": "Apache-2.0",
        "url": manifest["sam_vit_b"].url,
    }
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"x" * 2_000_000)
    line, facts = sam_b()
    assert line.endswith("[present, 2 MB]")
    assert (facts["present"], facts["bytes"]) == (True, 2_000_000)


def test_models_without_weights_have_no_checkpoint(geosam):
    models = {model["name"]: model for model in geosam("models", "--json").json["models"]}
    assert models["regions"]["checkpoint"] is None


@pytest.mark.parametrize("command", [["models"], ["models", "list"], ["models", "download", "--help"]], ids=" ".join)
def test_listing_the_models_imports_neither_torch_nor_the_network(command):
    code = (
        "import sys; from geosam.apps.cli.main import run; from geosam.apps.cli.report import Report;"
        "from geosam.apps.cli.signals import Signals; code = run(sys.argv[1:], Report(), Signals());"
        "sys.exit(str({'torch', 'requests'} & set(sys.modules)) if code == 0 else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60
    )
    assert done.stderr == "set()\n"


def test_an_unknown_subcommand_is_a_usage_error(geosam):
    done = geosam("models", "nonsense")
    assert done.code == 2
    assert "nonsense" in done.error()


@pytest.mark.usefixtures("server")
def test_a_checkpoint_is_downloaded_found_and_verified(geosam, folder):
    place = str(folder / "tiny.pth")
    done = geosam("models", "download", "tiny")
    assert (done.code, done.out) == (0, f"{place}\n")
    assert (folder / "tiny.pth").read_bytes() == CONTENT
    assert geosam("models", "download", "tiny", "--json").json == {
        "checkpoints": [{"name": "tiny", "path": place, "verified": True}],
        "warnings": [],
        "exit_code": 0,
    }
    assert geosam("models", "path", "tiny").out == f"{place}\n"
    assert geosam("models", "path", "tiny", "--json").json == {"path": place, "warnings": [], "exit_code": 0}
    for names in ([], ["tiny"]):
        done = geosam("models", "verify", *names)
        assert (done.code, done.out, done.err) == (0, "tiny  verified\n", "")
    (row,) = geosam("models", "verify", "--json").json["checkpoints"]
    assert row == {"name": "tiny", "path": place, "state": "verified", "error": None}


def test_where_a_note_is_unwanted_none_is_made(geosam, server):
    assert geosam("models", "download", "tiny").err == f"tiny: {server.url}/tiny.pth\n"
    assert geosam("models", "download", "tiny", "--quiet").err == ""


def test_several_checkpoints_are_downloaded_in_one_call(geosam, server, folder, monkeypatch):
    enter(monkeypatch, server.url, name="small")
    done = geosam("models", "download", "tiny", "small")
    assert (done.code, done.out) == (0, f"{folder}/tiny.pth\n{folder}/small.pth\n")
    assert geosam("models", "verify").out == "tiny  verified\nsmall  verified\n"


def test_what_cannot_be_verified_is_said_to_be_so(geosam, server, monkeypatch):
    enter(monkeypatch, server.url, sha256=False)
    done = geosam("models", "download", "tiny", "--json")
    (warning,) = done.json["warnings"]
    assert warning.startswith("not verified: no attested hash: ")
    assert warning.endswith("tiny.pth")
    assert not done.json["checkpoints"][0]["verified"]
    done = geosam("models", "verify")
    assert (done.code, done.out) == (0, "tiny  not verified: no attested hash\n")


@pytest.mark.fault("C09")
def test_verify_finds_a_flipped_bit_and_ends_in_5(geosam, server, folder, monkeypatch):
    enter(monkeypatch, server.url, name="small")
    geosam("models", "download", "tiny", "small")
    content = bytearray(CONTENT)
    content[1_000_000] ^= 1
    (folder / "tiny.pth").write_bytes(content)
    done = geosam("models", "verify")
    assert done.code == 5
    assert "tiny.pth: found SHA-256" in done.error()
    assert done.out.splitlines()[1:] == ["small  verified"]
    rows = geosam("models", "verify", "--json").json["checkpoints"]
    assert [row["state"] for row in rows] == ["damaged", "verified"]
    (folder / "small.pth").write_bytes(content[:500])
    done = geosam("models", "verify")
    assert done.code == 5
    assert "2 of 2 checkpoints are missing or damaged" in done.error()
    assert "incomplete download: 500 bytes" in done.out


@pytest.mark.fault("C08")
@pytest.mark.usefixtures("server")
def test_a_checkpoint_that_is_missing_ends_in_5_with_the_remedy(geosam):
    for command in ("path", "verify"):
        done = geosam("models", command, "tiny")
        assert done.code == 5
        assert "geosam models download tiny" in done.error()
    assert geosam("models", "verify").out == ""


@pytest.mark.parametrize("command", ["download", "verify", "path"])
def test_a_name_without_checkpoint_is_a_usage_error(command, geosam):
    done = geosam("models", command, "regions")
    assert done.code == 2
    assert "found 'regions', expected one of sam_vit_b, " in done.error()


def test_a_misspelt_name_is_said_before_anything_is_fetched(geosam, server):
    assert geosam("models", "download", "tiny", "tyni").code == 2
    assert server.asked == []


@pytest.mark.fault("C10")
def test_a_wrong_hash_ends_in_5(geosam, server, monkeypatch):
    enter(monkeypatch, server.url, sha256="0" * 64)
    done = geosam("models", "download", "tiny", "--json")
    assert done.code == done.json["exit_code"] == 5
    assert "tiny.pth.corrupt" in done.error()


def test_a_server_that_fails_ends_in_5(geosam, server):
    server.fault = lambda handler: handler.answer(503)
    done = geosam("models", "download", "tiny")
    assert done.code == 5
    assert "HTTP status 503" in done.error()


def test_the_first_of_two_is_reported_if_the_second_fails(geosam, server, folder, monkeypatch):
    enter(monkeypatch, server.url, name="small", sha256="0" * 64)
    done = geosam("models", "download", "tiny", "small")
    assert (done.code, done.out) == (5, f"{folder}/tiny.pth\n")


@pytest.mark.usefixtures("server")
def test_on_a_terminal_a_bar_shows_the_bytes(geosam, folder, monkeypatch):
    monkeypatch.setattr(Report, "draws", True)
    done = geosam("models", "download", "tiny")
    assert (done.code, done.out) == (0, f"{folder}/tiny.pth\n")
