"""Sentences that state the presence or the absence of a class, and their text features.

Letters: C classes, D feature width, T templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES
from torch import Tensor

from promptmlr.backbone import Backbone

__all__ = ["TEMPLATES", "Templates", "negated", "text_directions"]


@dataclass(frozen=True)
class Templates:
    """Sentences with {} for the class.

    Attributes:
        positive: sentences that state its presence.
        other: paraphrases of the positive sentences, for comparison.
        negative: sentences that state its absence.
    """

    positive: tuple[str, ...]
    other: tuple[str, ...]
    negative: tuple[str, ...]


def negated(template: str) -> str:
    """A template negated by "not " before it."""
    return f"not {template}"


_IMAGENET = tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
TEMPLATES: Mapping[str, Templates] = MappingProxyType(
    {
        "single": Templates(("photo of a {}",), ("picture of a {}",), ("Not a photo of a {}",)),
        "imagenet": Templates(_IMAGENET, _IMAGENET, tuple(map(negated, _IMAGENET))),
    }
)


def text_directions(backbone: Backbone, names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """(T, C, D) float64 text features of unit length, on the CPU."""
    features = [backbone.encode_text([template.format(name) for name in names]) for template in templates]
    return torch.nn.functional.normalize(torch.stack(features).cpu().double(), dim=-1)
