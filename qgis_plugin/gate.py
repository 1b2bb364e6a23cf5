"""The gate: the checks of the repository of plugins (plugins.qgis.org) before it publishes a zip.

`gate.py ZIP` unpacks the zip and fails on any finding; comments that would silence a finding are ignored. The rules are
those of github.com/qgis/QGIS-Plugins-Website, qgis-app/plugins/management/commands/data, as of November 2026.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

#: The 74 tests of Bandit in the repository of plugins.
BANDIT = (
    "B101,B102,B103,B104,B105,B106,B107,B108,B110,B111,B112,B113,B201,B202,"
    "B301,B302,B303,B304,B305,B306,B307,B308,B310,B311,B312,B313,B314,B315,B316,B317,B318,B319,B320,B321,B323,B324,"
    "B401,B402,B403,B405,B406,B407,B408,B409,B412,B413,"
    "B501,B502,B503,B504,B505,B506,B507,B508,B509,"
    "B601,B602,B603,B604,B605,B606,B607,B608,B609,B610,B611,B612,B613,B614,B615,"
    "B701,B702,B703,B704"
)

#: The codes of flake8 in the repository of plugins.
FLAKE8 = (
    "E101,E711,E712,E713,E714,E721,E722,E731,E741,E742,E743,E901,E902,E999,W605,"
    "F402,F403,F404,F405,F811,F821,F822,F823,F831,F901,C901"
)

#: Extensions that count as programs there, and names that must not be in a zip.
SUSPICIOUS = (".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd", ".pyc")
FORBIDDEN = {"__MACOSX", ".git", "__pycache__", ".."}


def members(archive: zipfile.ZipFile) -> list[str]:
    """Return the faults in the zip's list of files."""
    faults = []
    for entry in archive.infolist():
        parts = entry.filename.split("/")
        if entry.filename.lower().endswith(SUSPICIOUS):
            faults.append(f"{entry.filename}: a file of this kind is refused")
        if entry.external_attr >> 16 & 0o111:
            faults.append(f"{entry.filename}: is executable")
        if FORBIDDEN & set(parts) or parts[-1].startswith("."):
            faults.append(f"{entry.filename}: hidden, or not necessary")
    if len({name.split("/")[0] for name in archive.namelist()}) != 1:
        faults.append("more than one folder at the top")
    return faults


def output(folder: Path, module: str, *arguments: str) -> str:
    """Run a tool in a folder and return its output, which says more than its exit code."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if not done.stdout.strip() and done.returncode != 0:
        sys.exit(f"error: {module} did not run: {done.stderr.strip()}")
    return done.stdout


def bandit(folder: Path) -> list[str]:
    """Return the findings of Bandit."""
    report = json.loads(output(folder, "bandit", "-q", "-r", ".", "-f", "json", "--ignore-nosec", "-t", BANDIT))
    findings = [f"{at['filename']}:{at['line_number']}: {at['test_id']} {at['issue_text']}" for at in report["results"]]
    return findings + [f"{at['filename']}: {at['reason']}" for at in report["errors"]]


def secrets(folder: Path) -> list[str]:
    """Return the findings of detect-secrets; the repository of plugins leaves `metadata.txt` out, too."""
    options = ["--all-files", "--exclude-files", r"metadata\.txt", "--disable-plugin", "IPPublicDetector"]
    results = json.loads(output(folder, "detect_secrets", "scan", *options, "."))["results"]
    return [f"{file}:{at['line_number']}: {at['type']}" for file, places in results.items() for at in places]


def flake8(folder: Path) -> list[str]:
    """Return the findings of flake8."""
    rules = ["--isolated", "--disable-noqa", "--max-complexity", "10", "--select", FLAKE8]
    return output(folder, "flake8", *rules, ".").splitlines()


def main(archive: Path) -> int:
    """Run all checks on a zip; return 1 if there are findings."""
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as opened:
        findings = {"files": members(opened)}
        opened.extractall(scratch)
        for tool in (bandit, secrets, flake8):
            findings[tool.__name__] = tool(Path(scratch))
    for name, lines in findings.items():
        sys.stdout.write(f"{name}: {len(lines) or 'no'} finding{'' if len(lines) == 1 else 's'}\n")
        sys.stdout.write("".join(f"  {line}\n" for line in lines))
    return int(any(findings.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
