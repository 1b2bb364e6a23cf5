"""``python -m geosam.apps.demo FOLDER``: render ``scene.tif`` and ``truth.gpkg`` into a folder."""

from __future__ import annotations

from pathlib import Path

import click

from geosam.apps.demo.render import SEED, render_scene
from geosam.errors import GeosamError

_NOTE = (
    "The model geosam_lite learnt from pictures of the same painter: this scene shows how geosam works "
    "and measures nothing. docs/models.md has measurements on real pictures."
)


@click.command(help="Render the demo scene and its truth into FOLDER.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", default=SEED, show_default=True, help="Another seed gives another village.")
def main(folder: Path, seed: int) -> None:
    """Render the scene and print the paths of its files."""
    scene, truth = folder / "scene.tif", folder / "truth.gpkg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        render_scene(scene, truth, seed=seed)
    except (GeosamError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{scene}\n{truth}\n{_NOTE}")


if __name__ == "__main__":
    main()
