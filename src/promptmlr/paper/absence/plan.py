"""What the experiment varies, and what it holds fixed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType

from promptmlr.paper.design.cells import CELLS, Cell
from promptmlr.paper.design.search import SearchRule
from promptmlr.scenes.captions import ABSENCE_RATE

__all__ = ["BASELINE", "GAINS", "METHODS", "Gain", "Plan", "Tower"]

_BY_NAME = {cell.name: cell for cell in CELLS}

METHODS: MappingProxyType[str, Cell] = MappingProxyType(
    {
        "dualcoop": _BY_NAME["prompt+prompt"],
        "positivecoop, text start": _BY_NAME["prompt+embedding-text"],
        "positivecoop, agnostic start": _BY_NAME["prompt+embedding-agnostic"],
        "negativecoop, text start": _BY_NAME["embedding-text+prompt"],
        "negativecoop, agnostic start": _BY_NAME["embedding-agnostic+prompt"],
        "dualembedding, text start": _BY_NAME["embedding-text+embedding-text"],
        "dualembedding, agnostic start": _BY_NAME["embedding-agnostic+embedding-agnostic"],
    }
)
"""The 2×2 of prompts and embeddings, from both starts: the methods that depend on a text tower."""

BASELINE = _BY_NAME["linear+linear"]
"""A method without text: trained once, not per tower."""


@dataclass(frozen=True)
class Gain:
    """A difference between two methods about which the hypothesis makes a prediction."""

    name: str
    more: str
    less: str


GAINS: tuple[Gain, ...] = (
    Gain("a negative prompt beside a prompt, text start", "dualcoop", "positivecoop, text start"),
    Gain("a negative prompt beside a prompt, agnostic start", "dualcoop", "positivecoop, agnostic start"),
    Gain("a negative prompt beside an embedding, text start", "negativecoop, text start", "dualembedding, text start"),
    Gain(
        "a negative prompt beside an embedding, agnostic start",
        "negativecoop, agnostic start",
        "dualembedding, agnostic start",
    ),
    Gain("negativecoop against positivecoop, text start", "negativecoop, text start", "positivecoop, text start"),
    Gain(
        "negativecoop against positivecoop, agnostic start",
        "negativecoop, agnostic start",
        "positivecoop, agnostic start",
    ),
)
"""If the hypothesis holds, each of them grows with the share of captions that state an absence."""


@dataclass(frozen=True, order=True)
class Tower:
    """A text tower: the share of its captions that state an absence, and its seed."""

    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Such as "q0.3-seed1"."""
        return f"q{self.rate:g}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """The whole experiment.

    Attributes:
        rates: shares of captions with a statement of absence; `ABSENCE_RATE`, LAION's, must be among them.
        tower_seeds: text sides per rate.
        observed: fractions of the labels that training sees.
        seeds: masks and starts per fraction.
        scenes: how many the text sides are pretrained on.
        steps: of each pretraining.
        batch_size: images per step when methods are trained.
        train_scenes: how many methods are trained on.
        test_scenes: how many they are scored on.
        rule: how rates and epochs are found, on the first text side at LAION's rate; all others use what it finds.
    """

    rates: Sequence[float] = (0.0, ABSENCE_RATE, 0.05, 0.3, 0.6)
    tower_seeds: int = 3
    observed: Sequence[float] = (0.05, 0.1, 0.3, 0.9)
    seeds: int = 5
    scenes: int = 6_000
    steps: int = 1_500
    batch_size: int = 128
    train_scenes: int = 1_000
    test_scenes: int = 1_000
    rule: SearchRule = field(default_factory=lambda: SearchRule(most_epochs=80))

    @property
    def towers(self) -> list[Tower]:
        """Rates × seeds."""
        return [Tower(rate, seed) for rate, seed in product(self.rates, range(self.tower_seeds))]

    @property
    def reference(self) -> Tower:
        """The text side that rates and epochs are found on."""
        return Tower(ABSENCE_RATE, 0)
