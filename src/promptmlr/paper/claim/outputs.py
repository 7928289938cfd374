"""The report of the experiment: what was stated before the run, single towers and conditions, and a figure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import chain

import numpy as np
from matplotlib.figure import Figure

from promptmlr.paper.claim.effects import Detectable, Effect, gain, pre_stated, side_effect
from promptmlr.paper.claim.figure import Line, effects_figure
from promptmlr.paper.claim.plan import (
    PAIRS,
    ROWS,
    SIDES,
    Condition,
    Pair,
    Plan,
    Side,
    cell_name,
    mean_over,
    pair_name,
)
from promptmlr.paper.claim.running import Results
from promptmlr.paper.estimates import ends, points
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.uncertainty import UNDECIDED, Estimate

__all__ = ["SMALL", "ClaimOutputs", "in_words"]

SMALL = 1.0
"""Points of mAP: an effect whose whole interval is smaller, either way, is called so."""

WIDTH = 1500  # of the figure, in pixels
COLUMNS = ("side", "of", "comparison", "points", "low", "high", "p", "p_holm", "verdict")


class ClaimOutputs(Outputs):
    """The report of the experiment."""

    document = "claim.md"
    title = "Is learning through the text tower worth it, with a prior?"

    def __init__(self, results: Results) -> None:
        self.results = results
        self.plan: Plan = results.plan
        plan, stated = self.plan, pre_stated(results.plan, results.folder)
        self.lead = (
            f"Four pairs of sides from one start and under one prior, on {len(plan.all_towers)} towers and "
            f"{len(plan.worlds)} drawn worlds with {plan.seeds} masks each."
        )
        self.stated = {side: [one for one in stated if one.side == side] for side in SIDES}
        self.power = {side: [one for one in results.power if one.side == side] for side in SIDES}
        self.parts = {side: list(self._parts(side)) for side in SIDES}
        self.single = {side: {one: self._mean(side, [one]) for one in plan.conditions} for side in SIDES}

    def findings(self) -> list[Finding]:
        """Pre-stated comparisons, the figure, what could be seen, single conditions, and mAP."""
        plan, both = self.plan, [f"{side} side" for side in SIDES]
        return [
            Heading("Pre-stated comparisons of prompt − embedding"),
            Table(
                "Points of mAP with 95 % intervals over masks and test images; verdicts hold for all of them together "
                "(Holm; effects.csv)",
                ["comparison", *both],
                [[one[0].name, *map(in_words_of, one)] for one in zip(*self.stated.values(), strict=True)],
            ),
            UNDECIDED + ".",
            Picture(
                lambda: figure_png(self.figure(), WIDTH),
                "The effect of a prompt on either side, by tower, labels and world.",
                "Points of mAP with 95 % intervals; the band is a point either way.",
                least=34,
            ),
            Heading("What could be seen"),
            Table(
                f"True effect in points of mAP that {plan.seeds} masks find in 80 % of cases, from the pilot on "
                f"{plan.pilot.name} at {100 * plan.pilot.observed:g} %, if the errors of conditions are independent "
                "(power.csv)",
                ["quantity", *(f"{side}, {level}" for side in SIDES for level in ("alone", "among all"))],
                [
                    [one[0].of, *(f"{least:.2f}" for own in one for least in (own.alone, own.among_all))]
                    for one in zip(*self.power.values(), strict=True)
                ],
            ),
            Heading("Parts"),
            Table(
                "prompt − embedding in points of mAP, with 95 % intervals that are not corrected (effects.csv)",
                ["mean over", *both],
                [
                    [f"{one[0].group}: {one[0].name}", *(points(line.estimate) for line in one)]
                    for one in zip(*self.parts.values(), strict=True)
                ],
            ),
            Heading("Single conditions"),
            Table(
                "prompt − embedding in points of mAP, with 95 % intervals that are not corrected (effects.csv)",
                ["tower, world", "observed", *both],
                [
                    [one.name, f"{100 * one.observed:g} %", *(points(self.single[side][one]) for side in SIDES)]
                    for one in plan.conditions
                ],
            ),
            self._extremes(),
            Heading("Gains over zero-shot"),
            Table(
                "Points of mAP, mean over towers in the first world",
                ["pair (presence+absence)", *(f"{100 * seen:g} %" for seen in plan.observed)],
                [[f"{pair_name(pair)} ({name})", *self._gains(pair)] for pair, name in PAIRS.items()],
            ),
            Heading("mAP"),
            Table(
                "Percent, mean over masks (cells.csv)",
                ["tower, world", "observed", *ROWS],
                [[one.name, f"{100 * one.observed:g} %", *self._scores(one)] for one in plan.conditions],
            ),
        ]

    def files(self) -> dict[str, Records | Drawing]:
        """Effects, power and the figure; the cells are those of the folder."""
        return {
            "effects.csv": Records(COLUMNS, self._records()),
            "power.csv": Records([field.name for field in fields(Detectable)], map(asdict, self.results.power)),
            "claim.png": Drawing(self.figure(), WIDTH),
        }

    def figure(self) -> Figure:
        """Both effects by tower, labels and world."""
        lines = {side: [Line("all", "mean", self.stated[side][0].estimate), *self.parts[side]] for side in SIDES}
        return effects_figure(lines, SMALL)

    def _parts(self, side: Side) -> Iterator[Line]:
        """Means over part of the conditions: by tower and labels in the first world, by world on the first tower."""
        plan = self.plan
        groups = {
            "tower": [(name, plan.on(name)) for name in plan.all_towers],
            "labels": [(f"{100 * seen:g} %", plan.at(seen)) for seen in plan.observed],
            "world": [(plan.worlds[0], plan.on(plan.towers[0])), (plan.worlds[1], plan.harder)],
        }
        for group, members in groups.items():
            for name, conditions in members:
                yield Line(group, name, self._mean(side, conditions))

    def _mean(self, side: Side, conditions: Sequence[Condition]) -> Estimate:
        return side_effect(self.results.folder, self.plan.seeds, side, mean_over(conditions))

    def _extremes(self) -> str:
        """The largest value in a single condition, by side."""
        said = []
        for side, single in self.single.items():
            best, largest = max(single.items(), key=lambda item: item[1].value)
            above, below = sum(one.low > 0 for one in single.values()), sum(one.high < 0 for one in single.values())
            said.append(
                f"{side}: the interval lies above 0 in {above} and below 0 in {below} of {len(single)} "
                f"conditions; the largest effect is {points(largest)} ({best.name} at "
                f"{100 * best.observed:g} %)"
            )
        return " ".join(f"{one[0].upper()}{one[1:]}." for one in said)

    def _gains(self, pair: Pair) -> list[str]:
        folder, seeds = self.results.folder, self.plan.seeds
        return [points(gain(folder, seeds, pair, mean_over(self.plan.at(seen)))) for seen in self.plan.observed]

    def _scores(self, condition: Condition) -> list[str]:
        cells = self.results.folder.cells
        seeds = range(self.plan.seeds)
        means = [
            np.mean([cells[cell_name(row, condition), condition.observed, seed, "all"].mean_ap for seed in seeds])
            for row in ROWS
        ]
        return [f"{100 * mean:.1f}" for mean in means]

    def _records(self) -> Iterator[dict[str, object]]:
        for one in chain.from_iterable(self.stated.values()):
            yield {"side": one.side, "of": "pre-stated", "comparison": one.name, **one.record("points")}
        for side, lines in self.parts.items():
            for line in lines:
                yield {"side": side, "of": line.group, "comparison": line.name, **ends(line.estimate, "points")}
            for condition, found in self.single[side].items():
                name = f"{condition.name} at {condition.observed:g}"
                yield {"side": side, "of": "condition", "comparison": name, **ends(found, "points")}


def in_words_of(effect: Effect) -> str:
    """A pre-stated effect, with its verdict, and how small it is where that is within noise."""
    small = in_words(effect.estimate) if effect.verdict == "within noise" else ""
    return f"{effect} {small}".strip()


def in_words(found: Estimate) -> str:
    """How small an effect is, such as "(no more than 0.4 either way)", if all of its interval is within a point."""
    largest = 100 * max(abs(found.low), abs(found.high))
    return f"(no more than {largest:.1f} either way)" if largest <= SMALL else ""
