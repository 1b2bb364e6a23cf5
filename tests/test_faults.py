"""The catalogue of faults and the tests that carry its ids agree, both ways."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
#: How the last column of a row without a test begins, and goes on.
WITHOUT_TEST = re.compile(r"No test: (by design|by requirement|measured by `(?P<script>[\w/.]+)`)(\.|$)")


def rows():
    """The last column of each row of the page, by id."""
    return {name: answer for name, _, answer in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def marked():
    """The ids in the markers of all tests."""
    for path in [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "qgis_plugin" / "tests").rglob("test_*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                yield from (argument.value for argument in node.args)


def test_every_id_in_a_test_is_a_row_of_the_page():
    assert set(marked()) - set(rows()) == set()


def test_every_row_has_a_test_or_says_why_it_has_none():
    excused = {name for name, answer in rows().items() if WITHOUT_TEST.match(answer)}
    assert set(rows()) - set(marked()) == excused


def test_every_line_of_a_table_is_a_row_and_no_id_stands_twice():
    lines = re.findall(r"^\| ?[A-Z]\w* ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == len(rows())


def test_a_row_without_a_test_names_a_benchmark_that_is_there():
    reasons = [WITHOUT_TEST.match(answer) for answer in rows().values()]
    scripts = {reason["script"] for reason in reasons if reason and reason["script"]}
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_ids_of_each_letter_run_without_a_gap():
    numbers = {}
    for name in rows():
        numbers.setdefault(name[0], []).append(int(name[1:]))
    assert all(sorted(values) == list(range(1, len(values) + 1)) for values in numbers.values())
