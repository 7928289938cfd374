"""What each kind of side adds: main effects and interactions of the design, as weights over its cells.

A main effect of a side is averaged over all variants of the other side with equal weights, so that effects add up:
prompt − embedding-agnostic is (prompt − embedding-text), the gain from learning through text, plus (embedding-text −
embedding-agnostic), the gain from the start alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptmlr.paper.design.cells import CELLS, VARIANTS

__all__ = ["EFFECTS", "Effect", "simple_effects"]

Weights = Mapping[str, float]  # cell name → weight


@dataclass(frozen=True, eq=False)
class Effect:
    """A weighted sum of cells.

    Attributes:
        name: such as "prompt − embedding-text".
        side: "presence", "absence" or "interaction".
        meaning: in words.
        weights: of the cells, by name; they sum to 0.
        pair: the two variants whose difference a main effect is.
    """

    name: str
    side: str
    meaning: str
    weights: Weights
    pair: tuple[str, str] | None = None


_CONTRASTS = (
    ("prompt", "embedding-random", "text guidance, against an embedding that starts at random"),
    ("prompt", "embedding-agnostic", "text guidance, against an embedding that starts without class knowledge"),
    (
        "embedding-text",
        "embedding-agnostic",
        "the gain from the start alone: the class's text against a class-free text",
    ),
    ("prompt", "embedding-text", "the gain from learning through the text tower; both start from the class's text"),
    ("prompt", "linear", "text guidance, against a linear layer"),
    ("embedding-text", "linear", "a vector that starts from text, against a linear layer"),
)


def simple_effects(effect: Effect) -> Mapping[str, Weights]:
    """Simple effects: a main effect at each variant of the other side, by its name. Their mean is the main effect."""
    if effect.pair is None:
        return {}
    more, less = effect.pair

    def cell(own: str, other: str) -> str:
        return f"{own}+{other}" if effect.side == "presence" else f"{other}+{own}"

    return {one.name: {cell(more, one.name): 1.0, cell(less, one.name): -1.0} for one in VARIANTS}


def _main(side: str, more: str, less: str) -> Weights:
    index = 0 if side == "presence" else 1
    weights = {}
    for cell in CELLS:
        own = (cell.presence.name, cell.absence.name)[index]
        if own in (more, less):
            weights[cell.name] = (1.0 if own == more else -1.0) / len(VARIANTS)
    return weights


def _interaction(other: str) -> Weights:
    return {
        "prompt+prompt": 1.0,
        f"{other}+{other}": 1.0,
        f"prompt+{other}": -1.0,
        f"{other}+prompt": -1.0,
    }


def _effects() -> Sequence[Effect]:
    mains = [
        Effect(f"{more} − {less}", side, meaning, _main(side, more, less), (more, less))
        for side in ("presence", "absence")
        for more, less, meaning in _CONTRASTS
    ]
    interactions = [
        Effect(
            f"prompt × {variant.name}",
            "interaction",
            f"two prompts and two {variant.name} sides, minus the two mixed pairs: > 0 if prompts gain from each other",
            _interaction(variant.name),
        )
        for variant in VARIANTS
        if variant.name != "prompt"
    ]
    return (*mains, *interactions)


EFFECTS: Sequence[Effect] = _effects()
