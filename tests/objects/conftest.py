"""Scenes of sessions."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import picture
from session_cases import scene_of


@pytest.fixture
def wide(tmp_path):
    """A scene with one object that reaches over many windows, one that lies in one, and a frame that is not them."""
    grey = np.zeros((64, 200))
    grey[20:30, 5:190] = 100
    grey[40:50, 100:110] = 200
    return scene_of(tmp_path, grey)


@pytest.fixture
def large(tmp_path):
    """A scene of many windows."""
    return scene_of(tmp_path, picture(300, 260))
