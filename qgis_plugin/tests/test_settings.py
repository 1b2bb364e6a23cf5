"""Settings keep their types, even with damaged values."""

import pytest
from qgis.core import QgsSettings

from geosam_qgis.settings import Flag, Number, Settings, Text


class Mine:
    name = Text("mine/name", "default")
    size = Number("mine/size", 2.5, 1.0)
    live = Flag("mine/live", True)


def test_defaults_then_what_was_written():
    mine = Mine()
    assert (mine.name, mine.size, mine.live) == ("default", 2.5, True)
    mine.name, mine.size, mine.live = "x", 7, False
    again = Mine()
    assert (again.name, again.size, again.live) == ("x", 7.0, False)
    assert Settings().worker == ""


@pytest.mark.parametrize("damaged", ["nan", "inf", "-1", "0.5", "many", "", None, [1, 2]])
def test_a_damaged_number_reads_as_the_default(damaged):
    QgsSettings().setValue("geosam/mine/size", damaged)
    assert Mine().size == 2.5


@pytest.mark.parametrize(("stored", "read"), [("true", True), ("0", False), (False, False), ("maybe", True), (1, True)])
def test_yes_and_no_in_all_their_spellings(stored, read):
    QgsSettings().setValue("geosam/mine/live", stored)
    assert Mine().live is read


def test_a_text_that_is_none_reads_as_the_default():
    QgsSettings().setValue("geosam/mine/name", [1, 2])
    assert Mine().name == "default"
