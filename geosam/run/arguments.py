"""The options of one call, sorted by the part of geosam that takes them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geosam.errors import UsageError
from geosam.objects.everything import AutomaticRule
from geosam.options import AUTOMATIC, CACHE, GROUPS, KEEP, MODEL, OPENING, PROMPTS, RULES, RUN, defaults, values_for
from geosam.run.options import RunOptions

if TYPE_CHECKING:
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.segmenters.segmenter import ModelSpec


@dataclass(frozen=True)
class Arguments:
    """The options of one call by name; an option that is None is not set."""

    options: Mapping[str, Any]
    """Value by name, as :mod:`geosam.options` names them."""
    command: str = ""
    """Command line or request that the provenance records."""

    @classmethod
    def of(cls, function: str, options: Mapping[str, Any], *groups: str, command: str = "") -> Arguments:
        """Check that a function has all these options.

        Args:
            function: name of the function, for the message.
            options: values by name.
            groups: names of the groups of :data:`geosam.options.GROUPS` that the function takes.
            command: command line or request that the provenance records.

        Raises:
            UsageError: the function has no option of that name.
        """
        accepted = sorted({option.name for group in groups for option in GROUPS[group]})
        for name in options:
            if name not in accepted:
                near = difflib.get_close_matches(name, accepted, n=1)
                raise UsageError(
                    f"{function}() has no option of that name: {name!r}.",
                    remedy=f"Did you mean `{near[0]}`?" if near else f"See help(geosam.{function}).",
                    code="unknown-option",
                    option=name,
                )
        return cls(options, command)

    @property
    def opening(self) -> dict[str, Any]:
        """Arguments of :func:`~geosam.scene.open_scene`."""
        return values_for(OPENING, self.options)

    @property
    def model(self) -> dict[str, Any]:
        """Arguments of :func:`~geosam.segmenters.registry.load_segmenter`."""
        return values_for(MODEL, self.options)

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of :func:`~geosam.prompts.sources.prompts_of`, and `granularity` and `skip_outside`."""
        return {**defaults(PROMPTS), **values_for(PROMPTS, self.options)}

    @property
    def learning(self) -> dict[str, Any]:
        """Fields of the options of fine-tuning."""
        return values_for(GROUPS["learning"], self.options)

    def run_options(self, spec: ModelSpec, *, prompted: bool) -> RunOptions:
        """Return the options of a run. Thresholds that no option sets are those of the model.

        Args:
            spec: facts about the model.
            prompted: the run has prompts.

        Raises:
            UsageError: an option for finding everything is set although there are prompts.
        """
        rule = next((option.name for option in RULES if self.options.get(option.name) is not None), None)
        if rule is not None and prompted:
            raise UsageError(
                f"`{rule}` is for finding everything: found prompts, expected none.",
                remedy=f"Leave out `{rule}` or the prompts.",
                code="rule-with-prompts",
                option=rule,
            )
        keep = replace(spec.keep, **values_for(KEEP, self.options))
        automatic = AutomaticRule(**values_for(AUTOMATIC, self.options))
        run = values_for(RUN, self.options)
        return RunOptions(**run, keep=keep, automatic=automatic, command=self.command)

    def store(self) -> EmbeddingStore | None:
        """Open the folder that keeps embeddings. Return None if no option names one.

        Raises:
            UsageError: `cache_size` is set without `cache`, or the folder cannot be used.
        """
        from geosam.objects.embeddings.store import EmbeddingStore  # noqa: PLC0415 - loads safetensors

        place = values_for(CACHE, self.options)
        if "folder" in place:
            return EmbeddingStore(**place)
        if "max_bytes" in place:
            raise UsageError(
                "`cache_size` has no effect: found no `cache`, expected one.",
                remedy="Name one with `cache`.",
                code="cache-size-without-cache",
                cache_size=place["max_bytes"],
            )
        return None
