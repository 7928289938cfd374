"""Prompt ensembles: several sentences about a class as one text feature.

The mean of the normalised features, normalised again: Radford et al., "Learning Transferable Visual Models From Natural
Language Supervision", 2021, section 3.1.4.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES
from torch import Tensor
from torch.nn.functional import normalize

from promptmlr.backbone.base import Backbone
from promptmlr.errors import UserError, nearest

__all__ = ["PRESENCE_TEMPLATE", "Templates", "class_sentences", "ensemble_features"]

Templates = Literal["one", "simple", "imagenet"]

PRESENCE_TEMPLATE = "a photo of a {}."
TEMPLATES = {
    "one": (PRESENCE_TEMPLATE.format,),
    "simple": SIMPLE_IMAGENET_TEMPLATES,
    "imagenet": OPENAI_IMAGENET_TEMPLATES,
}


def class_sentences(
    class_names: Sequence[str], templates: Templates = "one", texts: Mapping[str, Sequence[str]] | None = None
) -> tuple[tuple[str, ...], ...]:
    """The sentences of each class: its own texts verbatim if it has any, else the templates with its name.

    Args:
        class_names: C names, with spaces for underscores.
        templates: "one", "simple" (open_clip's 7) or "imagenet" (OpenAI's 80).
        texts: class → its texts; underscores of a class count as spaces.

    Raises:
        UserError: texts of an unknown class.
    """
    written = {name.replace("_", " ").strip(): tuple(given) for name, given in (texts or {}).items()}
    for name in written:
        if name not in class_names:
            raise UserError(f"texts are given of {name!r}, which is no class here; {nearest(name, class_names)}")
    return tuple(
        written.get(name) or tuple(template(name) for template in TEMPLATES[templates]) for name in class_names
    )


def ensemble_features(
    backbone: Backbone,
    class_names: Sequence[str],
    templates: Templates = "one",
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Tensor:
    """(C, D) text features of classes, each the mean over its sentences; a single template is not normalised.

    Args and errors as `class_sentences`; also `UserError` for several templates or texts without a text tower.
    """
    if templates == "one" and not texts:
        return backbone.class_features(class_names, PRESENCE_TEMPLATE)
    if not backbone.has_text_tower:
        raise UserError(
            "templates and texts are read by a text tower, and features come without one: give the means that you "
            "want as `text`, and leave templates and texts out"
        )
    return _encoded(backbone, class_sentences(class_names, templates, texts))


@lru_cache(maxsize=1)  # folds of a cross-validation and both sides of a recognizer need the same
def _encoded(backbone: Backbone, sentences: tuple[tuple[str, ...], ...]) -> Tensor:
    means = [normalize(backbone.encode_text(own).float(), dim=-1).mean(0) for own in sentences]
    return normalize(torch.stack(means), dim=-1)
