import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines that run tests are shared: a slow example is no failure. HYPOTHESIS_PROFILE=long looks much harder.
settings.register_profile("short", deadline=None, max_examples=50)
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

DATA = Path(os.environ.get("GEOSAM_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real imagery, not part of the repository."""
    if not (DATA / "MANIFEST.md").is_file():
        pytest.skip(f"no real imagery in {DATA}; name its folder in GEOSAM_DATA")
    return DATA
