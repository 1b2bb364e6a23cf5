"""Prompts asked in one window step by step, as they were given; the one way of asking for sessions and for batches."""

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

#: What an answer takes beside its arrays (bytes).
_ANSWER_BYTES = 1024


class View(NamedTuple):
    """A window as a model sees it."""

    segmenter: Prompted
    """Made the embedding and reads it."""
    embedding: Embedding
    """Of the window, which may have been padded at the right and at the bottom."""
    window: Window
    """Where it lies, scene pixels."""

    @property
    def tile(self) -> Window:
        """The window with the padding."""
        height, width = self.embedding.input_hw
        return Window(self.window.col_off, self.window.row_off, width, height)

    def mask(self, masks: MaskSet, row: int) -> BoolArray:
        """One of the masks that the model gave, without the padding (H, W)."""
        return masks.full(row)[: self.window.height, : self.window.width]


class Answers:
    """Answers of one model to prompts in windows of one scene, so that one more step of a prompt is one more question.

    Serves any number of threads. Those not asked for the longest time are given up first.

    Args:
        max_bytes: what the answers may take; 0 remembers nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[MaskSet | None]] = OrderedDict()
        self._bytes = 0

    def latest(self, keys: Sequence[bytes]) -> tuple[int, MaskSet | None]:
        """To how many of a prompt's steps, whose keys are given, the answers are known, and the last of these."""
        with self._lock:
            for number, key in reversed(list(enumerate(keys, start=1))):
                if key in self._known:
                    self._known.move_to_end(key)
                    return number, self._known[key][0]
        return 0, None

    def keep(self, key: bytes, answer: MaskSet | None) -> None:
        """Remember the answer to a step."""
        with self._lock:
            if key not in self._known:
                self._known[key] = (answer,)
                self._bytes += _size(answer)
            while self._bytes > self.max_bytes:
                self._bytes -= _size(self._known.popitem(last=False)[1][0])

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._known.clear()
            self._bytes = 0


def replay(view: View, histories: Sequence[Sequence[ScenePrompt]], known: Answers) -> list[MaskSet | None]:
    """The answers to prompts that are asked as they were given, each step of all of them at once.

    Args:
        view: the window; prompts may reach beyond it.
        histories: for each object, all that had been given after each of its steps.
        known: answers that need not be asked for again; takes those that are.

    Returns:
        For each object a set of one mask, or None where there is nothing.
    """
    keys = [_keys(view.window, steps) for steps in histories]
    found = [known.latest(steps) for steps in keys]
    answers = [answer for _, answer in found]
    for number in range(max(map(len, histories), default=0)):
        due = [i for i, steps in enumerate(histories) if found[i][0] <= number < len(steps)]
        shown = refine(view, [histories[i][number] for i in due], [answers[i] for i in due])
        for i, answer in zip(due, shown, strict=True):
            answers[i] = answer
            known.keep(keys[i][number], answer)
    return answers


def refine(view: View, prompts: Sequence[ScenePrompt], former: Sequence[MaskSet | None]) -> list[MaskSet | None]:
    """What the model shows for prompts now, after what it showed for them before; one step of a session or a replay.

    Asked for the first time, an ambiguous prompt chooses among several masks. Later the logits of the former answer
    say which one was meant, and all prompts so far give one mask. A polygon that was drawn last replaces the former
    answer; so does everything for models that give no logits: they are always asked anew.

    Args:
        view: the window; prompts may reach beyond it.
        prompts: all that has been given so far, for each object.
        former: the answer to each before its last step; None at first, or where nothing was found.

    Returns:
        For each prompt a set of one mask, or None where there is nothing.
    """
    known = [_known(prompt, answer) for prompt, answer in zip(prompts, former, strict=True)]
    open_choice = [logits is None and _is_ambiguous(prompt) for prompt, logits in zip(prompts, known, strict=True)]
    answers: list[MaskSet | None] = [None] * len(prompts)
    for multimask in (True, False):
        group = [i for i, several in enumerate(open_choice) if several == multimask]
        if not group:
            continue
        asked = in_window([prompts[i] for i in group], view.tile, [known[i] for i in group])
        masks = view.segmenter.decode(view.embedding, asked, multimask=multimask, keep=None)
        for number, i in enumerate(group):
            row = _choose(masks, number, prompts[i])
            answers[i] = None if row is None else masks.select([row])
    return answers


def _known(prompt: ScenePrompt, former: MaskSet | None) -> Logits | None:
    """The logits (h, w) that the next answer goes on from."""
    if former is None or former.logits is None or prompt.ends_with_polygon:
        return None
    logits: Logits = former.logits[0]
    return logits


def _is_ambiguous(prompt: ScenePrompt) -> bool:
    """Whether a part, the whole and a group are all sensible answers: a single click, or a level asked for."""
    lone_click = prompt.box_xyxy is None and prompt.polygon is None and len(prompt.labels) == 1
    return prompt.granularity != "auto" or lone_click


def _choose(masks: MaskSet, number: int, prompt: ScenePrompt) -> int | None:
    rows = np.flatnonzero(masks.prompt_index == number)
    if prompt.granularity != "auto" and len(rows) > 1:
        wanted = Granularity[prompt.granularity.upper()]
        rows = rows[np.argsort(np.abs(masks.granularity[rows] - int(wanted)), kind="stable")]
        return int(rows[0])
    return int(rows[np.argmax(masks.predicted_iou[rows])]) if len(rows) else None


def _keys(window: Window, steps: Sequence[ScenePrompt]) -> list[bytes]:
    """A key for each step: all that its answer depends on, the steps before it included."""
    digest = hashlib.blake2b(repr(window).encode(), digest_size=20)
    keys = []
    for given in steps:
        polygon = None if given.polygon is None else given.polygon.wkb
        facts = (len(given.labels), given.box_xyxy, given.granularity, given.ends_with_polygon, polygon)
        digest.update(repr(facts).encode() + given.points_xy.tobytes() + given.labels.tobytes())
        keys.append(digest.digest())
    return keys


def _size(answer: MaskSet | None) -> int:
    if answer is None:
        return _ANSWER_BYTES
    logits = 0 if answer.logits is None else answer.logits.nbytes
    return _ANSWER_BYTES + logits + sum(mask.nbytes for mask in answer.masks)
