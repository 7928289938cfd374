"""How a method is trained: a recipe, and what is to be different from it."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from promptmlr.errors import UserError
from promptmlr.options.base import FROM_ZERO, Options

__all__ = ["PromptOptions", "RecipeOptions", "TextOptions"]

NO_CHANGES = ("recipe", "order_seed", "shared_context", "texts")


@dataclass(frozen=True)
class RecipeOptions(Options):
    """A recipe, and changes to it; None keeps the recipe's value.

    Attributes:
        recipe: Learning rates, schedule and loss: default, released (the settings of the released code), or a TOML
            file.
        epochs: How many times training goes through all images. (default: the recipe's)
        batch_size: Images per training step. (default: the recipe's)
        unknown: Cost of an unknown label: ignore (none), absent, weak, hill, entropy or large-loss. auto: hill for
            classes without any label "absent", ignore for the others. (default: the recipe's)
        start: Initial value of learned embeddings: random numbers, a text that names no class (agnostic), or the text
            of the class. (default: the recipe's)
        shared_context: Learn one context for all classes instead of one per class.
        order_seed: Random seed for the order of images and for their augmented views.
    """

    recipe: str = "default"
    epochs: int | None = None
    batch_size: int | None = None
    unknown: str | None = None
    start: Literal["random", "agnostic", "text"] | None = None
    shared_context: bool = False
    order_seed: int = field(default=0, metadata=FROM_ZERO)

    def changes(self) -> dict[str, Any]:
        """What differs from the recipe, as `load_recipe` takes it."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in NO_CHANGES}
        return values | {"class_specific": False if self.shared_context else None}


@dataclass(frozen=True)
class TextOptions(Options):
    """How classes are put into words.

    Attributes:
        templates: Sentences whose mean text feature represents a class: one is 'a photo of a …', simple is open_clip's
            7, imagenet is OpenAI's 80. (default: the recipe's, one)
        texts: CSV with the columns class and text: your own texts for classes, one per line, used as written instead of
            the templates.
    """

    templates: Literal["one", "simple", "imagenet"] | None = None
    texts: str | None = None


@dataclass(frozen=True)
class PromptOptions(TextOptions, RecipeOptions):
    """The same, and everything else that a single run can change.

    Attributes:
        prior_strength: How closely anchored follows CLIP's zero-shot: auto (chosen on the known labels), infinite, or a
            number above 0; larger is closer. (default: the recipe's)
        context_length: Learn this many context tokens, from random initial values. (default: the recipe's)
        context_words: Use these words as initial values of contexts instead of random numbers.
        offset: A learned vector that is added to the text feature of a prompt, as in the released code: none, or one
            that starts at zero or at random values. (default: the recipe's)
        views: How many augmented views of each image to make; an epoch uses one of them. exact: new views in every
            epoch. (default: the recipe's)
    """

    prior_strength: Literal["auto", "infinite"] | float | None = None
    context_length: int | None = None
    context_words: str | None = None
    offset: Literal["none", "zero", "random"] | None = None
    views: Literal["exact"] | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.prior_strength, int | float) and not 0 < self.prior_strength < math.inf:
            raise UserError(f"--prior-strength {self.prior_strength:g}: it is auto, infinite or a number above 0")
        super().__post_init__()
