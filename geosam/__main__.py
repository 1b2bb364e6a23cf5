"""``python -m geosam`` is the geosam command."""

from geosam.apps.cli.main import main

main()
