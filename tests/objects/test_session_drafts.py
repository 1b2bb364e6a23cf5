"""Drafts that sessions refuse, clip or take from prompts."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS
from scenes import SCENES
from session_cases import (
    clicks,
    on_map,
    session_of,
)

from geosam import (
    Draft,
    Prompt,
    draft_of,
    open_scene,
    prompt_of,
)
from geosam.errors import CRSMismatch, EmptyPrompt, PromptError, PromptOutsideScene
from geosam.prompts.prompt import Steps


def test_drafts_that_say_nothing_or_lie_elsewhere_are_refused(wide):
    session = session_of(wide)
    crs = wide.geobox.crs.to_wkt()
    with pytest.raises(PromptOutsideScene, match="the draft"):
        session.answer(clicks(wide, (100.5, 25.5), (-5, 4)))
    with pytest.raises(EmptyPrompt, match="the prompt selects nothing: the draft"):
        session.answer(clicks(wide, (100.5, 25.5, 0)))
    with pytest.raises(EmptyPrompt, match="the prompt selects nothing"):
        session.answer(Draft(crs))
    with pytest.raises(EmptyPrompt, match="the box has no area"):
        session.answer(Draft(crs).with_box(on_map(wide, crs, (1, 1), (5, 5), (5, 5), (1, 1))))
    with pytest.raises(EmptyPrompt, match="the polygon has no area"):
        session.answer(Draft(crs).with_mask([on_map(wide, crs, (1, 1), (5, 5), (9, 9))]))
    with pytest.raises(PromptError, match="unknown CRS: the draft: found 'EPSG:nonsense'"):
        session.answer(Draft("EPSG:nonsense").with_point(1, 2, 1))
    with pytest.raises(CRSMismatch):
        session.answer(Draft("EPSG:4326").with_point(1e6, 2e6, 1))
    with pytest.raises(PromptError, match="not finite"):
        session.answer(Draft(crs).with_point(float("nan"), 2, 1))


def test_a_draft_outside_the_region_in_use_is_refused(tmp_path):
    path = SCENES["north_up"](tmp_path)
    whole = open_scene(path)
    xmin, ymin, xmax, ymax = whole.geobox.bounds
    part = open_scene(path, window=(xmin, ymin, (xmin + xmax) / 2, ymax))
    session = session_of(part)
    assert session.answer(clicks(part, (20.5, 20.5))).ready
    with pytest.raises(PromptOutsideScene, match="columns 0 to 45"):
        session.answer(clicks(part, (80.5, 20.5)))


def test_a_box_that_reaches_over_the_edge_is_clipped_with_a_warning(wide):
    crs = wide.geobox.crs.to_wkt()
    box = Draft(crs).with_box(on_map(wide, crs, (190, 10), (230, 10), (230, 30), (190, 30)))
    assert "reaches over the edge" in session_of(wide).answer(box).warnings[0]


def test_parts_given_at_once_become_steps_of_a_draft():
    prompt = Prompt(
        "x",
        CRS(32633),
        np.array([[3.0, 4.0], [5.0, 6.0]]),
        np.array([1, 0], np.int8),
        box_xyxy=(0.0, 0.0, 9.0, 9.0),
        mask=shapely.box(1, 1, 4, 4),
        steps=Steps(np.array([0, 1]), box=1, polygon=0),
    )
    draft = draft_of(prompt)
    assert [step.kind for step in draft.steps] == ["mask", "point", "box", "point"]
    assert draft.crs == "EPSG:32633"
    triangle = shapely.Polygon([(0, 0), (9, 0), (0, 9)])
    odd = Prompt("y", CRS(32633), box_xyxy=triangle.bounds, outline=triangle)
    assert sorted(draft_of(odd).steps[0].rings[0]) == [(0, 0), (0, 9), (9, 0), (9, 9)]


def test_rings_inside_of_rings_are_holes_and_a_crossing_outline_is_repaired():
    def square(size):
        return [(-size, -size), (size, -size), (size, size), (-size, size)]

    polygon = prompt_of(Draft("EPSG:32633").with_mask([square(2), square(9), square(6), [(20, 0), (24, 0), (24, 4)]]))
    assert polygon.mask.area == 18**2 - 12**2 + 4**2 + 8
    bowtie = prompt_of(Draft("EPSG:32633").with_mask([[(0, 0), (4, 4), (4, 0), (0, 4)]]))
    assert bowtie.mask.is_valid
    assert bowtie.mask.area == 8
