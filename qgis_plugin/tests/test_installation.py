"""The plugin's own environment, made from a folder of tiny wheels: no network, but real Python, venv and pip."""

import os
import sys
import time
import zipfile
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtCore import QProcessEnvironment

from geosam_qgis.engine import installation, interpreters, locations
from geosam_qgis.engine.client import WorkerClient
from geosam_qgis.engine.environment import installer_environment
from geosam_qgis.engine.install_steps import Program, Removal
from geosam_qgis.engine.installation import Installation, InstallPlan
from geosam_qgis.engine.locations import find_worker

HERE = Path(__file__).parent


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """A new profile, and no worker anywhere else."""
    folder = tmp_path / "Profil d'essai é"
    folder.mkdir()
    monkeypatch.setattr(QgsApplication, "qgisSettingsDirPath", staticmethod(lambda: f"{folder}/"))
    monkeypatch.setattr(locations, "tool_folders", list)
    monkeypatch.delenv("GEOSAM_WORKER", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder / "geosam"


def wheel(folder, name="geosam_toolkit", requires="", modes=""):
    """A wheel whose `geosam` program, and module, is the worker of the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = {
        "geosam/__init__.py": "",
        "geosam/protocol.py": (HERE.parent / "geosam_qgis" / "protocol.py").read_text(),
        "geosam/fake_worker.py": (HERE / "fake_worker.py").read_text(),
        "geosam/__main__.py": f"""
import os, sys
from pathlib import Path
os.environ["FAKE_WORKER_PROTOCOL"] = str(Path(__file__).with_name("protocol.py"))
from geosam.fake_worker import main as worker
def main():
    assert sys.argv[1:] == ["worker"], sys.argv
    worker({modes.split()})
if __name__ == "__main__":
    main()
""",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngeosam = geosam.__main__:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    place = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return place


class Attempt:
    """An installation with its messages."""

    def __init__(self, source, python=sys.executable):
        self.lines, self.commands, self.obstacles = [], [], []
        self.installation = Installation(InstallPlan(source=str(source), python=python))
        self.installation.progressed.connect(self.lines.append)
        self.installation.succeeded.connect(self.commands.append)
        self.installation.failed.connect(self.obstacles.append)
        self.installation.start()

    @property
    def over(self):
        return bool(self.commands or self.obstacles)


def folders(root):
    return sorted(path.name for path in root.glob("*"))


def test_an_environment_is_made_from_a_folder_of_wheels_tried_and_found(profile, tmp_path, wait):
    wheel(tmp_path / "wheels of ours")
    assert find_worker() is None
    attempt = Attempt(tmp_path / "wheels of ours")
    wait(lambda: attempt.over, 180)
    assert attempt.obstacles == [], attempt.lines
    assert folders(profile) == ["current", "env-1"]
    assert find_worker() == attempt.commands[0]
    assert any("Successfully installed geosam-toolkit-1.0" in line for line in attempt.lines)
    answers = []
    client = WorkerClient(find_worker())
    client.request("echo", {"text": "hello"}, answers.append, answers.append)
    wait(lambda: answers)
    assert answers[0]["text"] == "hello"
    client.stop()
    wait(lambda: not client.is_ending)

    # what fails afterwards leaves it as it is
    old = find_worker()
    for source, said in (
        (wheel(tmp_path / "broken", modes="dies"), "The new worker does not work."),
        (tmp_path / "no such.whl", "no such.whl is neither a file nor a folder"),
        (tmp_path, "geosam-toolkit"),
    ):
        failing = Attempt(source.parent if source.is_file() else source)
        wait(lambda: failing.over, 120)  # noqa: B023
        assert failing.commands == []
        assert said in failing.obstacles[0]
        assert folders(profile) == ["current", "env-1"]
        assert find_worker() == old

    # and what succeeds takes its place
    again = Attempt(tmp_path / "wheels of ours")
    wait(lambda: again.over, 180)
    assert again.obstacles == []
    assert folders(profile) == ["current", "env-2"]
    assert find_worker() == again.commands[0] != old


@pytest.mark.parametrize("at", ["Making", "> ", "Looking in links", "Testing"])
def test_cancelling_at_any_moment_leaves_nothing(profile, tmp_path, wait, at):
    wheel(tmp_path / "wheels")
    attempt = Attempt(tmp_path / "wheels")
    wait(lambda: attempt.over or any(line.startswith(at) for line in attempt.lines), 180)
    begun = time.monotonic()
    attempt.installation.cancel()
    attempt.installation.cancel()
    wait(lambda: attempt.over, 60)
    assert time.monotonic() - begun < 30
    assert attempt.obstacles == ["Cancelled."]
    assert folders(profile) == []
    assert find_worker() is None
    assert not attempt.installation.is_running


def test_a_half_made_environment_is_neither_found_nor_kept(profile, tmp_path, wait):
    left = profile / "env-7" / "bin"
    left.mkdir(parents=True)
    (left / "geosam").write_text("#!/bin/sh\n")
    (left / "geosam").chmod(0o755)
    assert find_worker() is None
    attempt = Attempt(tmp_path, python=str(tmp_path / "no python"))
    wait(lambda: attempt.over)
    assert "No uv and no Python from 3.11 to 3.13" in attempt.obstacles[0]
    assert folders(profile) == []


def test_too_old_interpreters_are_not_used_and_are_named(profile, tmp_path, wait):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\necho "[[3, 9], \\"/x\\", \\"/usr\\", true]"\n')
    old.chmod(0o755)
    attempt = Attempt(tmp_path, python=str(old))
    wait(lambda: attempt.over)
    assert f"{old} (Python 3.9)" in attempt.obstacles[0]


def test_killing_a_program_kills_its_children(tmp_path, wait, qgis_app):
    pids = tmp_path / "pids"
    script = (
        "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; "
        f"time.sleep(600)']); open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n'); time.sleep(600)"
    )
    outcomes = []
    program = Program([sys.executable, "-c", script], installer_environment(), leader=sys.executable)
    program.done.connect(outcomes.append)
    program.start()
    wait(lambda: pids.exists() and pids.read_text().endswith("\n"))
    program.kill()
    wait(lambda: outcomes)
    assert not outcomes[0].ok
    wait(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()))


def test_a_program_that_takes_too_long_is_killed(wait, qgis_app):
    outcomes = []
    program = Program(["/bin/sleep", "600"], installer_environment(), limit_s=0.3)
    program.done.connect(outcomes.append)
    program.start()
    wait(lambda: outcomes, 20)
    assert not outcomes[0].ok


def test_removing_many_files_never_holds_up_the_interface_and_follows_no_links(tmp_path, wait, qgis_app):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = tmp_path / "env-1"
    for number in range(40):
        inner = folder / f"{number}" / "deeper"
        inner.mkdir(parents=True)
        for file in range(50):
            (inner / f"{file}").write_text("")
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    outcomes, gaps = [], [time.monotonic()]
    removal = Removal(folder)
    removal.done.connect(outcomes.append)
    removal.start()
    wait(lambda: gaps.append(time.monotonic()) or outcomes)
    assert outcomes[0].ok
    assert not folder.exists()
    assert (outside / "kept").exists()
    assert len(gaps) > 4


def test_the_proxy_of_qgis_is_handed_on(wait, qgis_app, monkeypatch):
    for name, value in {
        "proxyEnabled": True,
        "proxyType": "HttpProxy",
        "proxyHost": "proxy.example.org",
        "proxyPort": 3128,
        "proxyUser": "ann e",
        "proxyPassword": "p@ss/word",
        "noProxyUrls": ["http://intranet.example.org/"],
    }.items():
        QgsSettings().setValue(f"proxy/{name}", value)
    QgsNetworkAccessManager.instance().setupDefaultProxyAndCache()
    outcomes = []
    try:
        program = Program([sys.executable, "-c", "import os; print(os.environ)"], installer_environment())
        program.done.connect(outcomes.append)
        program.start()
        wait(lambda: outcomes)
    finally:
        QgsSettings().remove("proxy")
        QgsNetworkAccessManager.instance().setupDefaultProxyAndCache()
    variables = eval(outcomes[0].text.removeprefix("environ(").removesuffix(")"))  # noqa: S307
    assert variables["HTTPS_PROXY"] == variables["http_proxy"] == "http://ann%20e:p%40ss%2Fword@proxy.example.org:3128"
    assert variables["NO_PROXY"] == "localhost,127.0.0.1,intranet.example.org"


def test_variables_that_lead_installers_astray_are_dropped():
    system = QProcessEnvironment()
    for name in ("PIP_USER", "PIP_TARGET", "PIP_INDEX_URL", "PYTHONHOME"):
        system.insert(name, "x")
    kept = installer_environment(system)
    assert [name for name in ("PIP_USER", "PIP_TARGET", "PYTHONHOME") if kept.contains(name)] == []
    assert kept.value("PIP_INDEX_URL") == "x"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def packages(monkeypatch, platform, **plan):
    monkeypatch.setattr(installation.sys, "platform", platform)
    return Installation(InstallPlan(**plan))._packages()


def test_torch_comes_from_where_it_fits_the_machine(profile, monkeypatch, tmp_path):
    cpu, gpu = ["--index-url", installation.TORCH_CPU, "torch"], ["--index-url", installation.TORCH_GPU, "torch"]
    rest = ["geosam-toolkit"]
    assert packages(monkeypatch, "linux") == [cpu, rest]
    assert packages(monkeypatch, "linux", gpu=True) == [rest]
    assert packages(monkeypatch, "win32") == [rest]
    assert packages(monkeypatch, "win32", gpu=True) == [gpu, rest]
    assert packages(monkeypatch, "darwin", gpu=True) == [rest]
    mirror = "https://mirror.example.org/simple"
    assert packages(monkeypatch, "linux", source=mirror) == [["--index-url", mirror, "geosam-toolkit"]]
    offline = ["--no-index", "--find-links", str(tmp_path), "geosam-toolkit"]
    assert packages(monkeypatch, "linux", source=str(tmp_path)) == [offline]
    assert packages(monkeypatch, "darwin", source="/x/geosam.whl") == [["/x/geosam.whl"]]


def test_uv_comes_first_then_the_newest_python(tmp_path, monkeypatch):
    for name in ("python3.11", "python3.12", "uv", "python3.9", "python3"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(interpreters, "tool_folders", list)
    system = QProcessEnvironment()
    system.insert("PATH", str(tmp_path))
    found = [Path(candidate.program).name for candidate in interpreters.candidates("", system)]
    assert found == ["uv", "python3.12", "python3.11", "python3"]


UV = """#!/bin/sh
case "$1" in
--version) echo "uv 0.0.0" ;;
venv) [ "$2 $3" = "--python >=3.11,<3.14" ] && exec {python} -m venv "$4" ;;
pip) [ "$2 $3 $4" = "install --no-progress --python" ] || exit 9
  python="$5"; shift 5; exec "$python" -m pip install "$@" ;;
esac
"""


def test_uv_makes_an_environment_as_well(profile, tmp_path, wait):
    wheel(tmp_path / "wheels")
    uv = tmp_path / "uv"
    uv.write_text(UV.format(python=sys.executable))
    uv.chmod(0o755)
    attempt = Attempt(tmp_path / "wheels", python=str(uv))
    wait(lambda: attempt.over, 180)
    assert attempt.obstacles == []
    assert find_worker() == attempt.commands[0]
