"""What the experiment varies, and the comparisons that were stated before it was run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal

from promptmlr.methods import Kind

__all__ = [
    *("CHECKS", "COMPARISONS", "PAIRS", "ROWS", "SIDES", "ZERO_SHOT", "Check", "Comparison", "Condition", "Pair"),
    *("Plan", "Side", "cell_name", "effect", "pair_name"),
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

Check = Literal["", "own strength", "twice the epochs"]
CHECKS: tuple[Check, ...] = ("own strength", "twice the epochs")
"""The pilot again: with a strength of the prior that every pair chooses for itself, and with longer training."""

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
        classes: the first so many classes of the world.
        observed: fraction of the labels that training sees.
    """

    tower: str
    world: str
    classes: int
    observed: float

    @property
    def name(self) -> str:
        """All but the fraction, as cells are named."""
        return f"{self.tower}, {self.world}, {self.classes} classes"


@dataclass(frozen=True)
class Plan:
    """The whole experiment.

    Attributes:
        towers: backbones of the package.
        caption_shares: two shares of captions that mention absence; a text tower is pretrained with each.
        worlds: two drawn worlds, the harder one second.
        observed: fractions of the labels, ascending; captions and classes are varied at the middle one in the first world.
        classes: two numbers of classes, the smaller one first; the main effects are of the larger one.
        seeds: masks per condition.
        train_scenes: how many are trained on.
        test_scenes: how many are scored.
        pilot_world: a world that is in no comparison, on which the power is estimated.
        scenes: how many the text towers are pretrained on.
        steps: of each of these pretrainings.
        context_rate: learning rate of prompts; all else is the recipe of `anchored`.
    """

    towers: Sequence[str] = ("scenes", "scenes-vit")
    caption_shares: tuple[float, float] = (0.0, 0.3)
    worlds: tuple[str, str] = ("scenes:usual:11", "scenes:crowded:12")
    observed: Sequence[float] = (0.02, 0.1, 0.5)
    classes: tuple[int, int] = (8, 20)
    seeds: int = 5
    train_scenes: int = 512
    test_scenes: int = 500
    pilot_world: str = "scenes:usual:13"
    scenes: int = 6_000
    steps: int = 1_500
    context_rate: float = 0.05

    @property
    def captioned(self) -> list[str]:
        """The names of the towers that differ in their captions only."""
        return [f"captions-{share:g}" for share in self.caption_shares]

    @property
    def middle(self) -> float:
        """The fraction at which captions and the number of classes are varied."""
        return self.observed[len(self.observed) // 2]

    @property
    def crossed(self) -> list[Condition]:
        """Backbones × worlds × fractions with all classes: what main effects are averaged over."""
        return [
            Condition(tower, world, self.classes[1], seen)
            for tower, world, seen in product(self.towers, self.worlds, self.observed)
        ]

    @property
    def fewer_classes(self) -> list[Condition]:
        """A condition per backbone with fewer classes."""
        return [Condition(tower, self.worlds[0], self.classes[0], self.middle) for tower in self.towers]

    @property
    def by_captions(self) -> list[Condition]:
        """A condition per text tower that was pretrained here."""
        return [Condition(tower, self.worlds[0], self.classes[1], self.middle) for tower in self.captioned]

    @property
    def conditions(self) -> list[Condition]:
        """All of them."""
        return [*self.crossed, *self.fewer_classes, *self.by_captions]

    @property
    def pilot(self) -> Condition:
        """The condition that tells, before the run, how large an effect can be seen."""
        return Condition(self.towers[0], self.pilot_world, self.classes[1], self.middle)


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
        more, less = self.more(plan), self.less(plan) if self.less else []
        weights = {condition: 1 / len(more) for condition in more}
        return weights | {condition: -1 / len(less) for condition in less}


COMPARISONS: tuple[Comparison, ...] = (
    Comparison("mean effect", lambda plan: plan.crossed),
    Comparison(
        "many labels − few",
        lambda plan: [one for one in plan.crossed if one.observed == plan.observed[-1]],
        lambda plan: [one for one in plan.crossed if one.observed == plan.observed[0]],
    ),
    Comparison(
        "transformer − ResNet",
        lambda plan: [one for one in plan.crossed if one.tower == plan.towers[1]],
        lambda plan: [one for one in plan.crossed if one.tower == plan.towers[0]],
    ),
    Comparison(
        "captions of absence − none",
        lambda plan: plan.by_captions[1:],
        lambda plan: plan.by_captions[:1],
    ),
    Comparison(
        "crowded world − usual",
        lambda plan: [one for one in plan.crossed if one.world == plan.worlds[1]],
        lambda plan: [one for one in plan.crossed if one.world == plan.worlds[0]],
    ),
    Comparison(
        "fewer classes − all",
        lambda plan: plan.fewer_classes,
        lambda plan: [one for one in plan.crossed if one.world == plan.worlds[0] and one.observed == plan.middle],
    ),
)
"""Each is asked of both sides; p-values are corrected for all of them together, and for nothing else."""


def pair_name(pair: Pair) -> str:
    """Such as "prompt+embedding": the presence side first."""
    return "+".join(pair)


ROWS: tuple[str, ...] = (ZERO_SHOT, *map(pair_name, PAIRS))
"""What is scored under every condition."""


def cell_name(row: str, condition: Condition, check: Check = "") -> str:
    """The name of a cell: pair of sides or zero-shot, condition without the fraction, and what is checked."""
    return f"{row} on {condition.name}{check and f', {check}'}"


def effect(side: Side) -> dict[Pair, float]:
    """Pair → its weight in "prompt − embedding" on a side, the mean over both kinds of the other side."""
    place = SIDES.index(side)
    return {pair: 0.5 if pair[place] == "prompt" else -0.5 for pair in PAIRS}
