"""Sentences that say that a class is there, or that it is not, and what a text tower makes of them.

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
        positive: they say that the class is there.
        other: what they are compared with, as other ways of saying the same.
        negative: they say that it is not.
    """

    positive: tuple[str, ...]
    other: tuple[str, ...]
    negative: tuple[str, ...]


def negated(template: str) -> str:
    """The one rule by which sets of templates are negated: "not " before it."""
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
