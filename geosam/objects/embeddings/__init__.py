"""Embeddings of windows, made once and kept in memory or on disk.

From the ground up: `key` names an embedding by all that it depends on; `store` keeps embeddings in a folder; `memory`
keeps them in a process; `embedder` reads windows of a scene and embeds them.
"""
