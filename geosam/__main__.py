"""``python -m geosam`` is the geosam command."""

from geosam.cli.main import main

main()
