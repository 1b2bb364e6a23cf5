"""The rules for finding everything, as a model and the options set them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from geosam.errors import UsageError
from geosam.options import AUTOMATIC, KEEP, RULES, values_for

if TYPE_CHECKING:
    from geosam.segmenters.segmenter import ModelSpec


def automatic_rules(options: Mapping[str, Any], *, prompted: bool) -> Callable[[ModelSpec], dict[str, Any]]:
    """Return a function from a model to the fields `keep` and `automatic` of `RunOptions`.

    Options that are None leave the model's rule, or the default, as it is.

    Raises:
        UsageError: an option is set although there are prompts.
    """
    from geosam.objects.everything import AutomaticRule

    first = next((option.name for option in RULES if options.get(option.name) is not None), None)
    if first is not None and prompted:
        raise UsageError(
            f"`{first}` is for finding everything: prompts are given, too.",
            remedy="Leave it out, or the prompts.",
            code="rule-with-prompts",
            option=first,
        )
    keep = values_for(KEEP, options)
    automatic = AutomaticRule(**values_for(AUTOMATIC, options))
    return lambda spec: {"keep": replace(spec.keep, **keep), "automatic": automatic}
