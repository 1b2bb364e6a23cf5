"""Pictures that are kept on disk."""

from types import SimpleNamespace

import numpy as np
import pytest

from geosam.training.data import rendered
from geosam.training.data.rendered import rendered_pictures


@pytest.fixture
def renderer(tmp_path, monkeypatch):
    """A renderer whose sources can be changed, and that notes what it is asked for."""
    made = []

    def render(rng):
        made.append(rng)
        return original(np.random.default_rng(0))

    original = rendered.synthetic.render
    sources = tmp_path / "synthetic"
    sources.mkdir()
    (sources / "roofs.py").write_text("red")
    monkeypatch.setattr(rendered, "synthetic", SimpleNamespace(render=render, __path__=[str(sources)]))
    yield SimpleNamespace(sources=sources, made=made)
    rendered._renderer_version.cache_clear()


@pytest.mark.parametrize(("change", "times"), [(None, 1), ("blue", 2)], ids=["same renderer", "changed renderer"])
def test_pictures_are_rendered_again_only_where_the_renderer_has_changed(change, times, renderer, tmp_path):
    rendered._renderer_version.cache_clear()
    (first,) = rendered_pictures(1, tmp_path / "pool", 1)
    if change is not None:
        (renderer.sources / "roofs.py").write_text(change)
    rendered._renderer_version.cache_clear()
    (again,) = rendered_pictures(1, tmp_path / "pool", 1)
    assert len(renderer.made) == times
    assert (first.rgb == again.rgb).all()
