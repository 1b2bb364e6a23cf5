"""A display of its own with the whole QGIS on it, with a real mouse, real keys and pictures of the screen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
SCREEN = "1600x1000x24"

#: A fresh profile with the plugin switched on, that neither asks nor looks for news.
PROFILE = """
[PythonPlugins]
geosam_qgis=true
[qgis]
checkVersion=false
[Migration]
fileVersion=2
[app]
askToSaveMemoryLayers=false
[locale]
overrideFlag=true
userLocale=en_US
"""


def until(predicate, seconds=60.0, what="it"):
    """Wait for the predicate and return its value; fail after this many seconds."""
    deadline = time.monotonic() + seconds
    while not (met := predicate()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.01)
    return met


class Desktop:
    """Xvfb, a window manager, and QGIS with `drive.py` inside, which answers questions about itself."""

    def __init__(self, folder: Path, plugin_zip: Path) -> None:
        """Start everything; `folder` is emptied, and keeps pictures, logs and the profile afterwards."""
        shutil.rmtree(folder, ignore_errors=True)
        profile = folder / "profiles" / "profiles" / "default"
        (profile / "QGIS").mkdir(parents=True)
        (profile / "QGIS" / "QGIS3.ini").write_text(PROFILE)
        with zipfile.ZipFile(plugin_zip) as archive:
            archive.extractall(profile / "python" / "plugins")
        self.folder = folder
        self._questions = folder / "questions"
        self._questions.mkdir()
        self._asked = 0
        self._processes = []
        self._start_display()
        self._start_qgis()

    def _start_display(self) -> None:
        reading, writing = os.pipe()
        options = ["-screen", "0", SCREEN, "-nolisten", "tcp", "-displayfd", str(writing)]
        self._run("Xvfb", *options, pass_fds=(writing,))
        os.close(writing)
        with os.fdopen(reading) as number:
            display = f":{number.readline().strip()}"
        runtime = self.folder / "runtime"
        runtime.mkdir(mode=0o700)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"},
            "DISPLAY": display,
            "XDG_RUNTIME_DIR": str(runtime),
            "GEOSAM_DRIVE": str(self._questions),
            "LC_ALL": "C.UTF-8",
        }
        self._run("openbox")

    def _start_qgis(self) -> None:
        options = ["--noversioncheck", "--nologo", "--profiles-path", str(self.folder / "profiles")]
        self.qgis = self._run("qgis.bin", *options, "--code", str(HERE / "drive.py"))

    def _run(self, *command: str, **options: object) -> subprocess.Popen:
        log = (self.folder / f"{command[0]}.log").open("wb")
        environment = getattr(self, "environment", None)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, **options)
        log.close()
        self._processes.append(process)
        return process

    def ask(self, name: str, /, seconds: float = 60.0, **arguments: object) -> object:
        """Return the answer of a function of `drive.py`."""
        self._asked += 1
        question = self._questions / f"{self._asked}.question"
        answer = question.with_suffix(".answer")
        question.with_suffix(".new").write_text(json.dumps({"name": name, "arguments": arguments}))
        question.with_suffix(".new").rename(question)
        until(lambda: answer.exists() or self.qgis.poll() is not None, seconds, f"the answer to {name}")
        assert answer.exists(), f"QGIS ended with {self.qgis.returncode} during {name}: see {self.folder}"
        told = json.loads(answer.read_text())
        assert "error" not in told, told["error"]
        return told["value"]

    def state_where(self, predicate, seconds=60.0, what="a state"):
        """The state of QGIS as soon as the predicate holds for it."""

        def look():
            state = self.ask("state")
            return state if predicate(state) else None

        return until(look, seconds, what)

    def mouse(self, x: float, y: float, *then: str) -> None:
        """Move the pointer to a place on the screen, and perhaps click (`click 1`)."""
        self._xdotool("mousemove", str(round(x)), str(round(y)), *then)

    def key(self, name: str) -> None:
        """Press a key and let it go."""
        self._xdotool("key", name)

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, timeout=60)

    def picture(self, name: str) -> Path:
        """A picture of the whole screen."""
        path = self.folder / f"{name}.png"
        subprocess.run(["scrot", "-o", str(path)], env=self.environment, check=True, timeout=60)
        return path

    def wait_for_end(self, seconds: float = 60.0) -> int:
        """QGIS's exit code."""
        return self.qgis.wait(seconds)

    def close(self) -> None:
        """End what still runs, the last first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)
