"""``geosam worker``: answer the requests of another program."""

from __future__ import annotations

import click

from geosam.apps.cli.options.value_types import SIZE

#: Default memory for embeddings (bytes). It is less on a small machine: its memory divided by `_DIVISOR`.
_DEFAULT_MEMORY, _DIVISOR = 2**30, 4


@click.command(short_help="Answer the requests of another program.")
@click.option("--memory", "memory_bytes", type=SIZE, help="Memory for embeddings. [default: 1G, or 1/4 of RAM]")
def worker(memory_bytes: int | None) -> None:
    """Answer requests on standard input, one JSON object a line; QGIS and other programs start it.

    The protocol is described in docs/worker.md.
    """
    from geosam.apps.worker.pipes import claim_pipes

    pipes = claim_pipes()  # before anything is imported that could print

    from geosam.apps.worker.machine import machine_bytes
    from geosam.apps.worker.process import serve

    serve(pipes, memory_bytes or min(_DEFAULT_MEMORY, (machine_bytes() or _DIVISOR * _DEFAULT_MEMORY) // _DIVISOR))
