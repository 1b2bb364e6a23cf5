"""The command line as a result records it."""

from __future__ import annotations

import shlex
from typing import Final

#: Options that do not change the output: it is the same with any cache, and without one.
_UNRECORDED: Final = ("--cache", "--cache-size")


def recorded_command(command: str) -> str:
    """Return a command line without the options about the cache."""
    kept = []
    words = iter(shlex.split(command))
    for word in words:
        if word in _UNRECORDED:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in _UNRECORDED)):
            kept.append(word)
    return shlex.join(kept)
