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
    """A recipe, and changes to it; None leaves its value.

    Attributes:
        recipe: Rates, schedule and loss: default, released (as the released code trains), or a TOML file.
        epochs: How often training sees each image. (default: the recipe's)
        batch_size: Images of a training step. (default: the recipe's)
        unknown: What an unknown label costs: ignore (nothing), absent, weak, hill, entropy or large-loss; auto:
            ignore, but hill for classes with no label "absent". (default: the recipe's)
        start: Where learned embeddings start: at random values, at a text that names no class, or at the text of their
            class. (default: the recipe's)
        shared_context: Learn one context for all classes, instead of one for each.
        order_seed: Seed of the order of images, and of their augmented views.
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
        templates: Sentences that a class is put into, of which its text feature is the mean: one is 'a photo of a …',
            simple open_clip's 7, imagenet OpenAI's 80. (default: the recipe's, one)
        texts: Synonyms and descriptions of classes, used as they are written instead of the templates: a CSV with the
            columns class and text, a line for each text.
    """

    templates: Literal["one", "simple", "imagenet"] | None = None
    texts: str | None = None


@dataclass(frozen=True)
class PromptOptions(TextOptions, RecipeOptions):
    """The same with all that can be different in a single run.

    Attributes:
        prior_strength: How strongly anchored holds on to CLIP: auto (chosen on the known labels), infinite, or a number
            above 0. (default: the recipe's)
        context_length: Learn this many context tokens, from random values. (default: the recipe's)
        context_words: Start contexts from these words instead of random values.
        offset: What is learned and added to the text features of prompts, as in the released code: nothing, or a
            vector that starts at zero or at random values. (default: the recipe's)
        views: How many augmented views of each image are made, one drawn per epoch; exact: new ones in every epoch.
            (default: the recipe's)
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
