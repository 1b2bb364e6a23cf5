"""The segmenters that geosam ships, and the names they are loaded by."""

import os

# Threads that wait for each other by spinning take the processor from the one that they wait for: where another program
# is busy, networks were ten times slower. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
