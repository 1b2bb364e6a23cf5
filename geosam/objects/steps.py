"""Prompts of one window, decoded step by step as the user gave them, in sessions and in batch runs.

A click that corrects an answer is decoded with the logits of that answer, as SAM expects it. So the answer to a prompt
depends on its steps, and both sessions and batch runs replay them.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.geometry.geobox import Window
from geosam.prompts.in_window import in_window
from geosam.segmenters.masks import Granularity, MaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam._arrays import BoolArray
    from geosam.prompts.prompt import ScenePrompt
    from geosam.segmenters.pixel_prompts import Logits
    from geosam.segmenters.segmenter import Embedding, Prompted

#: Bytes of an answer beside its arrays, estimated.
_ANSWER_BYTES = 1024


class WindowView(NamedTuple):
    """A window with its embedding and the model that made it."""

    segmenter: Prompted
    """Model that made the embedding and decodes it."""
    embedding: Embedding
    """Embedding of the window, which may have padding at the right and at the bottom."""
    window: Window
    """Place of the window, scene pixels."""

    @property
    def padded(self) -> Window:
        """The window with its padding, scene pixels."""
        height, width = self.embedding.input_hw
        return Window(self.window.col_off, self.window.row_off, width, height)

    def mask(self, masks: MaskSet, row: int) -> BoolArray:
        """Return one mask of the model (H, W), without the padding."""
        return masks.full(row)[: self.window.height, : self.window.width]


class Answers:
    """Cache of the answers of one model to prompts of one scene, so that a further step is decoded alone.

    Safe for threads. When the cache is full, the answer that was not used for the longest time goes first.

    Args:
        max_bytes: limit of all answers; 0 keeps none.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        # Tuples of one, because None is an answer too: nothing was found.
        self._cached: OrderedDict[bytes, tuple[MaskSet | None]] = OrderedDict()
        self._bytes = 0

    def latest(self, keys: Sequence[bytes]) -> tuple[int, MaskSet | None]:
        """Return the number of steps up to the last one whose answer is cached, and that answer; (0, None) without one.

        Args:
            keys: keys of a prompt's steps, the first step first.
        """
        with self._lock:
            # From the end: the last cached step makes all earlier ones unnecessary.
            for number, key in reversed(list(enumerate(keys, start=1))):
                if key in self._cached:
                    self._cached.move_to_end(key)
                    return number, self._cached[key][0]
        return 0, None

    def keep(self, key: bytes, answer: MaskSet | None) -> None:
        """Keep the answer to a step."""
        with self._lock:
            if key not in self._cached:
                self._cached[key] = (answer,)
                self._bytes += _size(answer)
            while self._bytes > self.max_bytes:
                self._bytes -= _size(self._cached.popitem(last=False)[1][0])

    def clear(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._cached.clear()
            self._bytes = 0


def replay(view: WindowView, histories: Sequence[Sequence[ScenePrompt]], cache: Answers) -> list[MaskSet | None]:
    """Decode prompts step by step, as the user gave them; the same step of all prompts in one call.

    Args:
        view: the window; prompts may reach beyond it.
        histories: the states of each prompt, one after each of its steps.
        cache: answers to steps, which are not decoded again; takes the new ones.

    Returns:
        The answer to the last step of each prompt: a set of one mask, or None where nothing was found.
    """
    keys = [_keys(view.window, steps) for steps in histories]
    latest = [cache.latest(steps) for steps in keys]
    answers = [answer for _, answer in latest]
    for number in range(max(map(len, histories), default=0)):
        due = [i for i, steps in enumerate(histories) if latest[i][0] <= number < len(steps)]
        # One call for a step of all prompts: a network decodes a batch faster than its prompts one by one.
        refined = refine(view, [histories[i][number] for i in due], [answers[i] for i in due])
        for i, answer in zip(due, refined, strict=True):
            answers[i] = answer
            cache.keep(keys[i][number], answer)
    return answers


def refine(
    view: WindowView, prompts: Sequence[ScenePrompt], previous: Sequence[MaskSet | None]
) -> list[MaskSet | None]:
    """Decode one step of each prompt, with the logits of the previous answer where there are any.

    At its first step, an ambiguous prompt chooses among several masks. Later the logits of the previous answer stand
    for that choice, and the prompt gives one mask. A polygon as the last step replaces the previous answer. Models
    without logits decode every step anew.

    Args:
        view: the window; prompts may reach beyond it.
        prompts: the state of each prompt, its last step included.
        previous: the answer to each prompt before its last step; None at the first step, or where nothing was found.

    Returns:
        For each prompt a set of one mask, or None where nothing was found.
    """
    logits = [_logits(prompt, answer) for prompt, answer in zip(prompts, previous, strict=True)]
    open_choice = [low is None and _is_ambiguous(prompt) for prompt, low in zip(prompts, logits, strict=True)]
    answers: list[MaskSet | None] = [None] * len(prompts)
    for multimask in (True, False):  # a call of the decoder has one value for all its prompts
        group = [i for i, several in enumerate(open_choice) if several == multimask]
        if not group:
            continue
        pixel_prompts = in_window([prompts[i] for i in group], view.padded, [logits[i] for i in group])
        masks = view.segmenter.decode(view.embedding, pixel_prompts, multimask=multimask, keep=None)
        for number, i in enumerate(group):
            row = _choose(masks, number, prompts[i])
            answers[i] = None if row is None else masks.select([row])
    return answers


def _logits(prompt: ScenePrompt, previous: MaskSet | None) -> Logits | None:
    """Return the logits (h, w) of the previous answer; None if the prompt does not continue it."""
    if previous is None or previous.logits is None or prompt.ends_with_polygon:
        return None
    logits: Logits = previous.logits[0]
    return logits


def _is_ambiguous(prompt: ScenePrompt) -> bool:
    """Return True if part, whole and group are all sensible answers: a single click, or a chosen granularity."""
    lone_click = prompt.box_xyxy is None and prompt.polygon is None and len(prompt.labels) == 1
    return prompt.granularity != "auto" or lone_click


def _choose(masks: MaskSet, number: int, prompt: ScenePrompt) -> int | None:
    """Return the row of the mask that answers a prompt: of the nearest granularity, or of the best score."""
    rows = np.flatnonzero(masks.prompt_index == number)
    if prompt.granularity != "auto" and len(rows) > 1:
        expected = Granularity[prompt.granularity.upper()]
        # The nearest one, because a model may not give every granularity; stable, so that the first of equals is taken.
        rows = rows[np.argsort(np.abs(masks.granularity[rows] - int(expected)), kind="stable")]
        return int(rows[0])
    return int(rows[np.argmax(masks.predicted_iou[rows])]) if len(rows) else None


def _keys(window: Window, steps: Sequence[ScenePrompt]) -> list[bytes]:
    """Return a key for each step: a digest of all that its answer depends on, the earlier steps included."""
    digest = hashlib.blake2b(repr(window).encode(), digest_size=20)  # another window gives another answer
    keys = []
    for state in steps:
        polygon = None if state.polygon is None else state.polygon.wkb
        facts = (len(state.labels), state.box_xyxy, state.granularity, state.ends_with_polygon, polygon)
        digest.update(repr(facts).encode() + state.points_xy.tobytes() + state.labels.tobytes())
        keys.append(digest.digest())  # the digest continues, so it contains all earlier steps
    return keys


def _size(answer: MaskSet | None) -> int:
    """Return the bytes of an answer in memory."""
    if answer is None:
        return _ANSWER_BYTES
    logits = 0 if answer.logits is None else answer.logits.nbytes
    return _ANSWER_BYTES + logits + sum(mask.nbytes for mask in answer.masks)
