"""An exact segmenter whose objects have classes, so that classes can be tested to the byte."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import ModelSpec
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

DARK, LIGHT = 1, 7


@dataclass(frozen=True)
class LabelledComponents(ThresholdSegmenter):
    """A ThresholdSegmenter that tells dark components from light ones by their red, which is also the class score.

    With `twice` every component is proposed once as each class, with the same score. `scored=False` leaves the class
    score out; `lies` gives a class that is not declared.
    """

    classes = {DARK: "dark", LIGHT: "light — bright"}  # noqa: RUF012 - never changed
    twice: bool = False
    scored: bool = True
    lies: bool = False

    @property
    def spec(self):
        return ModelSpec("labelled", f"labelled-{self.twice}-{self.scored}-{self.lies}")

    def embed(self, rgb, valid):
        embeddings = super().embed(rgb, valid)
        return [
            replace(embedding, arrays={**embedding.arrays, "reds": picture[0]}, fingerprint=self.spec.fingerprint)
            for embedding, picture in zip(embeddings, rgb, strict=True)
        ]

    def decode(self, embedding, prompts, *, multimask, keep):
        masks = super().decode(embedding, prompts, multimask=multimask, keep=keep)
        return self._labelled(masks, embedding)

    def propose(self, embedding, keep):
        masks = self._labelled(super().propose(embedding, keep), embedding)
        if not self.twice:
            return masks
        other = replace(masks, class_id=np.where(masks.class_id == DARK, LIGHT, DARK).astype(np.int32))
        turned = int(embedding.arrays["reds"].sum()) % 2  # so that rows of two tiles do not pair by chance
        return MaskSet.concatenate(masks.shape_hw, [other, masks] if turned else [masks, other])

    def _labelled(self, masks, embedding):
        reds = np.array([embedding.arrays["reds"][masks.full(row)][0] for row in range(len(masks))], np.float32)
        class_id = np.full(len(masks), 99) if self.lies else np.where(reds < 128, DARK, LIGHT)
        score = (reds / 255).astype(np.float32) if self.scored else None
        return replace(masks, class_id=class_id.astype(np.int32), class_score=score)
