import inspect
import pickle
import re

import pytest

from geosam import errors
from geosam.errors import GeosamError

BUILTINS = {
    "OSError": OSError,
    "ValueError": ValueError,
    "FileExistsError": FileExistsError,
    "MemoryError": MemoryError,
}


def drawn_tree():
    """(class name, exit code, name of the builtin it also is) for every name of the drawing in the docstring."""
    for line in (errors.__doc__ or "").splitlines():
        family = re.match(r" +(\w+) \((\d+)\)(.*)", line)
        if family is None:
            continue
        head, code, leaves = family.groups()
        # A code in parentheses behind a leaf (as in ``Terminated (143)``) is its own, not the family's.
        found = re.findall(r"(\w+)(?:\((\w+)\))?(?: \((\d+)\))?", leaves)
        for name, builtin, own in [(head, "", ""), *found]:
            yield name, int(own or code), builtin


DRAWN = list(drawn_tree())
CLASSES = {
    name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, GeosamError)
}


def test_the_drawing_shows_every_class_once():
    assert sorted(name for name, _, _ in DRAWN) == sorted(CLASSES)


@pytest.mark.parametrize(("name", "code", "builtin"), DRAWN)
def test_every_error_has_the_exit_code_of_the_drawing(name, code, builtin):
    assert CLASSES[name].exit_code == code
    if builtin:
        assert issubclass(CLASSES[name], BUILTINS[builtin])


def test_families_share_one_exit_code():
    for cls in CLASSES.values():
        for base in cls.__mro__[1:]:
            if base in CLASSES.values() and base is not GeosamError and cls is not errors.Terminated:
                assert cls.exit_code == base.exit_code, (cls, base)


def test_every_class_says_what_it_is_for():
    assert all(cls.__doc__ for cls in CLASSES.values())


def test_an_error_carries_what_its_sentences_are_made_of_into_another_process():
    error = errors.UnreadableScene(
        "the scene is too far away: a.tif: `reach`: found 3, expected 1.",
        remedy="Use `reach=1`.",
        code="too-far",
        reach=3,
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert str(copy) == "the scene is too far away: a.tif: `reach`: found 3, expected 1. Use `reach=1`."
    assert (copy.code, copy.remedy, copy.values) == ("too-far", "Use `reach=1`.", {"reach": 3})


def test_an_error_is_named_after_its_class_if_nothing_else_is_said():
    assert errors.MissingCRS("no CRS: a.tif.").code == "missing-crs"
    assert errors.OutOfMemory("full.").code == "out-of-memory"
