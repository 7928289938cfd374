"""What the experiment varies, and the comparisons that were stated before it was run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal

from promptmlr.methods import Kind

__all__ = [
    *("COMPARISONS", "PAIRS", "ROWS", "SIDES", "ZERO_SHOT", "Comparison", "Condition", "Pair", "Plan", "Side"),
    *("cell_name", "effect", "mean_over", "pair_name"),
]

Pair = tuple[Kind, Kind]  # presence side, absence side
Side = Literal["presence", "absence"]

PAIRS: Mapping[Pair, str] = MappingProxyType(
    {
        ("embedding", "embedding"): "dualembedding",
        ("prompt", "embedding"): "positivecoop",
        ("embedding", "prompt"): "negativecoop",
        ("prompt", "prompt"): "dualcoop",
    }
)
"""The pairs, with the method of each; here all have the start and the prior of `anchored`."""

ZERO_SHOT = "zero-shot"
"""The start of all pairs."""

SIDES: tuple[Side, ...] = ("presence", "absence")


@dataclass(frozen=True, order=True)
class Condition:
    """A row of the design.

    Attributes:
        tower: a backbone of the package, or "captions-SHARE": the image tower of `scenes`, and a text tower that was
            pretrained on captions of which that share mentions absence.
        world: a drawn world, as `load_data` takes it.
        observed: fraction of the labels that training sees.
    """

    tower: str
    world: str
    observed: float

    @property
    def name(self) -> str:
        """All but the fraction, as cells are named."""
        return f"{self.tower}, {self.world}"


@dataclass(frozen=True)
class Plan:
    """The whole experiment.

    Attributes:
        towers: two backbones of the package.
        caption_share: share of captions that mention absence, for a text tower pretrained for the first of them.
        worlds: two drawn worlds; the harder one, the second, is tried on the first backbone.
        observed: fractions of the labels, ascending.
        seeds: masks per condition.
        train_scenes: how many are trained on.
        test_scenes: how many are scored.
        pilot_world: a world that is in no comparison, on which the power is estimated.
        scenes: how many the text tower is pretrained on.
        steps: of its pretraining.
        context_rate: learning rate of prompts; all else is the recipe of `anchored`.
    """

    towers: tuple[str, str] = ("scenes", "scenes-vit")
    caption_share: float = 0.3
    worlds: tuple[str, str] = ("scenes:usual:11", "scenes:crowded:12")
    observed: Sequence[float] = (0.02, 0.1, 0.5)
    seeds: int = 5
    train_scenes: int = 512
    test_scenes: int = 500
    pilot_world: str = "scenes:usual:13"
    scenes: int = 6_000
    steps: int = 1_500
    context_rate: float = 0.05

    @property
    def captioned(self) -> str:
        """The name of the tower with another text tower."""
        return f"captions-{self.caption_share:g}"

    @property
    def all_towers(self) -> list[str]:
        """Three."""
        return [*self.towers, self.captioned]

    @property
    def crossed(self) -> list[Condition]:
        """Towers × fractions in the first world: what main effects are averaged over."""
        return [Condition(tower, self.worlds[0], seen) for tower, seen in product(self.all_towers, self.observed)]

    @property
    def harder(self) -> list[Condition]:
        """The first tower in the second world, at all fractions."""
        return [Condition(self.towers[0], self.worlds[1], seen) for seen in self.observed]

    @property
    def conditions(self) -> list[Condition]:
        """All of them."""
        return [*self.crossed, *self.harder]

    @property
    def pilot(self) -> Condition:
        """The condition that tells, before the run, how large an effect can be seen."""
        return Condition(self.towers[0], self.pilot_world, self.observed[len(self.observed) // 2])

    def on(self, tower: str) -> list[Condition]:
        """Those of a tower in the first world."""
        return [one for one in self.crossed if one.tower == tower]

    def at(self, observed: float) -> list[Condition]:
        """Those of a fraction in the first world."""
        return [one for one in self.crossed if one.observed == observed]


def mean_over(conditions: Sequence[Condition]) -> dict[Condition, float]:
    """Condition → its weight in a mean."""
    return {one: 1 / len(conditions) for one in conditions}


Group = Callable[[Plan], list[Condition]]


@dataclass(frozen=True)
class Comparison:
    """A question about the effect of a side: its mean over conditions, or the difference of two such means.

    Attributes:
        name: what changes.
        more: the conditions of the mean.
        less: those whose mean is subtracted; None subtracts nothing.
    """

    name: str
    more: Group
    less: Group | None = None

    def weights(self, plan: Plan) -> dict[Condition, float]:
        """Condition → its weight."""
        less = mean_over(self.less(plan) if self.less else [])
        return mean_over(self.more(plan)) | {condition: -weight for condition, weight in less.items()}


COMPARISONS: tuple[Comparison, ...] = (
    Comparison("mean effect", lambda plan: plan.crossed),
    Comparison("many labels − few", lambda plan: plan.at(plan.observed[-1]), lambda plan: plan.at(plan.observed[0])),
    Comparison("transformer − ResNet", lambda plan: plan.on(plan.towers[1]), lambda plan: plan.on(plan.towers[0])),
    Comparison(
        "captions of absence − usual captions",
        lambda plan: plan.on(plan.captioned),
        lambda plan: plan.on(plan.towers[0]),
    ),
    Comparison("crowded world − usual", lambda plan: plan.harder, lambda plan: plan.on(plan.towers[0])),
)
"""Each is asked of both sides; p-values are corrected for all of them together, and for nothing else."""


def pair_name(pair: Pair) -> str:
    """Such as "prompt+embedding": the presence side first."""
    return "+".join(pair)


ROWS: tuple[str, ...] = (ZERO_SHOT, *map(pair_name, PAIRS))
"""What is scored under every condition."""


def cell_name(row: str, condition: Condition) -> str:
    """The name of a cell: pair of sides or zero-shot, and condition without the fraction."""
    return f"{row} on {condition.name}"


def effect(side: Side) -> dict[Pair, float]:
    """Pair → its weight in "prompt − embedding" on a side, the mean over both kinds of the other side."""
    place = SIDES.index(side)
    return {pair: 0.5 if pair[place] == "prompt" else -0.5 for pair in PAIRS}
