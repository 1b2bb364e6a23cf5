"""The house rules: rooms, names and words. `python tests/house.py` prints all figures."""

import house
import pytest


@pytest.mark.parametrize(
    "measure",
    [house.clashes, house.flags, house.wanted, house.coded_tests, house.long_files, house.room_faults],
    ids=lambda measure: measure.__name__,
)
def test_nothing_breaks_a_rule_of_the_house(measure):
    assert not measure()


def test_few_docstrings_begin_with_a_question_word():
    questions, count = house.question_docstrings()
    assert len(questions) <= house.MAX_QUESTIONS * count


def test_few_modules_and_folders_lie_flat():
    flat, folders = house.rooms()
    assert len(flat) <= house.MAX_FLAT
    assert len(folders) <= house.MAX_FOLDERS


def test_every_room_has_as_many_lines_of_tests_as_of_source():
    ratios = house.test_ratios()
    assert set(ratios) == set(house.rooms()[1])
    assert {room: ratio for room, ratio in ratios.items() if ratio < 1} == {}


@pytest.mark.parametrize(
    ("measure", "name", "text"),
    [
        (house.flags, "a.py", 'raise ValueError("use --overlap")'),
        (house.wanted, "a.py", "wanted = 3"),
        (house.question_docstrings, "a.py", '"""What it is."""'),
        (house.long_files, "a.py", "x = 1\n" * 401),
        (house.clashes, "a.py", "class Twice: ..."),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_rule_is_found(measure, name, text, tmp_path, monkeypatch):
    library = tmp_path / "geosam"
    library.mkdir()
    (library / name).write_text(text)
    (library / "b.py").write_text("class Twice: ...")
    monkeypatch.setattr(house, "REPOSITORY", tmp_path)
    monkeypatch.setattr(house, "LIBRARY", library)
    monkeypatch.setattr(house, "PLUGIN", tmp_path / "plugin")
    found = measure()
    assert found[0] if isinstance(found, tuple) else found
