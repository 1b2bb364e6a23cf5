"""``python -m geosam.apps.demo FOLDER``: render ``scene.tif`` and ``truth.gpkg`` into a folder."""

from __future__ import annotations

from pathlib import Path

import click

from geosam.apps.demo.render import render_scene
from geosam.errors import GeosamError


@click.command(help="Render the demo scene and its truth into FOLDER.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", default=7, show_default=True, help="Another seed gives another village.")
def main(folder: Path, seed: int) -> None:
    """Render the scene and say where it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        render_scene(folder / "scene.tif", folder / "truth.gpkg", seed=seed)
    except (GeosamError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{folder / 'scene.tif'}\n{folder / 'truth.gpkg'}")


if __name__ == "__main__":
    main()
