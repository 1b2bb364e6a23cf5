"""Fixtures of embedding stores."""

import pytest

from geosam.objects.embeddings.store import EmbeddingStore


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "store")
