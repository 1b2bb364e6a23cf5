"""The authors' networks with random weights lie beside the tests of the models."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "models"))
