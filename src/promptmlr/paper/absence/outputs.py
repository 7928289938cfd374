"""The report of the experiment: tables, figures, and a conclusion in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from promptmlr.paper.absence.figures import PROBES, gains_figure, probes_figure, rate_name
from promptmlr.paper.absence.plan import GAINS, METHODS, Gain, Plan
from promptmlr.paper.absence.running import Results, row_name
from promptmlr.paper.estimates import Corrected, corrected, ends, percent, points
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.report.tables import signed
from promptmlr.reporting import counted
from promptmlr.scenes.captions import ABSENCE_RATE
from promptmlr.uncertainty import UNDECIDED, Estimate, estimate

__all__ = ["AbsenceOutputs"]


@dataclass(frozen=True)
class _Change(Corrected):
    """A gain at one rate minus the same gain at LAION's rate."""

    gain: Gain
    rate: float


class AbsenceOutputs(Outputs):
    """The report of the experiment.

    Args:
        results: a finished experiment.
    """

    document = "absence.md"
    title = "Do negative prompts fail because captions rarely state an absence?"
    lead = "Text towers that differ only in their captions, with one frozen image tower, in the drawn world."

    def __init__(self, results: Results) -> None:
        self.results = results
        self.plan: Plan = results.plan
        scores = results.scores
        self.gains = {
            (gain, rate, fraction): scores.contrast(_weights(gain, rate), fraction)
            for gain in GAINS
            for rate in self.plan.rates
            for fraction in (*self.plan.observed, None)
        }
        changes = [
            (scores.contrast(_weights(gain, rate, ABSENCE_RATE), None), gain, rate)
            for gain in GAINS
            for rate in self.plan.rates
            if rate != ABSENCE_RATE
        ]
        self.changes = corrected(_Change, changes)

    def findings(self) -> list[Finding]:
        """The conclusion, all tables and figures, and notes on how to read them."""
        rates = [rate_name(rate) for rate in self.plan.rates]
        return [
            *self.conclusion(),
            Heading("How the text sides encode absence"),
            Picture(
                lambda: figure_png(probes_figure(self.plan, self.results.probes), 1400),
                alt="Cosines and AUCs over the share of captions of absence; the table holds the same numbers.",
                caption="Points are text sides, lines their means.",
                least=40,
            ),
            Table(
                "Means over text sides (probes.csv)",
                ["captions of absence", *rates],
                self._probe_rows(),
            ),
            self._probe_note(),
            Heading("The gain from a negative prompt"),
            Picture(
                lambda: figure_png(gains_figure(self.plan, self.gains), 1400),
                alt="The gain from a negative prompt by the share of captions of absence and of observed labels.",
                caption="Points of mAP; bands are 95 % intervals of the mean over observed fractions.",
                least=40,
            ),
            Table("Points of mAP, mean over the observed fractions (gains.csv)", ["gain", *rates], self._gain_rows()),
            Table(
                f"The same minus the gain at LAION's {rate_name(ABSENCE_RATE)} (changes.csv)",
                ["change", *(rate_name(rate) for rate in self.plan.rates if rate != ABSENCE_RATE)],
                self._change_rows(),
            ),
            Heading("mAP of the methods"),
            Table("Percent, mean over the observed fractions (methods.csv)", ["method", *rates], self._method_rows()),
            *self._notes(),
        ]

    def files(self) -> dict[str, Records | Drawing]:
        """Scores, gains, their changes, and a figure of each."""
        return {
            "methods.csv": Records.of(self._method_records()),
            "gains.csv": Records.of(self._gain_records()),
            "changes.csv": Records.of(self._change_records()),
            "probes.png": Drawing(probes_figure(self.plan, self.results.probes), 1400),
            "gains.png": Drawing(gains_figure(self.plan, self.gains), 1400),
        }

    def conclusion(self) -> list[str]:
        """The result in two sentences: on the text sides, and on the methods."""
        most = max(self.plan.rates)
        probe = self._probe("auc_no", most)
        base = self._probe("auc_no", ABSENCE_RATE)
        speaks = (
            "was tested on one text side only, which allows no general statement"
            if self.plan.tower_seeds == 1
            else "speaks of absence"
            if probe.high < 0.5
            else "still fires on the object"
            if probe.low > 0.5
            else "has no measurable relation to presence with so few text sides"
        )
        cosines = [self._probe("positive_negative", rate).value for rate in (ABSENCE_RATE, most)]
        of_text = (
            f"With {rate_name(most)} captions of absence instead of LAION's {rate_name(ABSENCE_RATE)}, “no X” "
            f"{speaks}: its AUC for the presence of X goes from {base.value:.2f} to {probe.value:.2f}, and the cosine "
            f"of positive and negative prompts from {cosines[0]:.2f} to {cosines[1]:.2f}."
        )
        last = [change for change in self.changes if change.rate == most]
        grown, shrunk = (
            [change.gain.name for change in last if change.verdict == verdict] for verdict in ("higher", "lower")
        )
        if grown:
            methods = (
                f"The gain from a learned negative prompt grows with it in {len(grown)} of {len(last)} comparisons: "
                f"{'; '.join(grown)}."
            )
        else:
            highest = max(change.estimate.high for change in last)
            methods = (
                f"The gain from a learned negative prompt does not measurably grow with it in any of {len(last)} "
                f"comparisons; the highest end of their intervals is {signed(100 * highest)} points."
            )
        if shrunk:
            methods += f" It shrinks in {len(shrunk)}: {'; '.join(shrunk)}."
        return [of_text, methods]

    def _probe(self, field: str, rate: float) -> Estimate:
        """Mean over text sides with Student's interval; images are not resampled."""
        values = np.array([[getattr(probe, field) for probe in self.results.probes if probe.rate == rate]])
        found = estimate(values, np.repeat(values[..., None], 1000, axis=-1), [1.0])
        return replace(found, high=min(found.high, 1.0))  # no cosine and no AUC is larger

    def _probe_rows(self) -> list[list[str]]:
        def cell(field: str, rate: float) -> str:
            found = self._probe(field, rate)
            return _plain(found) if self.plan.tower_seeds > 1 else f"{found.value:.3f}"

        return self._rows(list(PROBES.items()), cell)

    def _method_rows(self) -> list[list[str]]:
        scores = self.results.scores
        rows = self._rows(
            [(method, method) for method in METHODS],
            lambda method, rate: percent(scores.mean(row_name(method, rate), None)),
        )
        return [*rows, ["baseline, without text", *([percent(scores.mean("baseline", None))] * len(self.plan.rates))]]

    def _gain_rows(self) -> list[list[str]]:
        return [[gain.name, *(points(self.gains[gain, rate, None]) for rate in self.plan.rates)] for gain in GAINS]

    def _change_rows(self) -> list[list[str]]:
        return [[gain.name, *(str(change) for change in self.changes if change.gain == gain)] for gain in GAINS]

    def _rows(self, names: Sequence[tuple[str, str]], cell: Callable[[str, float], str]) -> list[list[str]]:
        return [[label, *(cell(name, rate) for rate in self.plan.rates)] for name, label in names]

    def _probe_note(self) -> str:
        sides = self.plan.tower_seeds
        over = (
            f"Means over {sides} text sides per rate with 95 % intervals (Student's, degrees of freedom: {sides - 1})"
            if sides > 1
            else "One text side per rate, so their spread is unknown"
        )
        return (
            f"{over}, on {self.plan.test_scenes:,} test scenes; AUCs are of the largest local cosine. An AUC above ½ "
            "means that the sentence fires on the object."
        )

    def _notes(self) -> list[str]:
        plan = self.plan
        short = [found for found in self.results.choices if not found.choice.plateau]
        several = plan.tower_seeds > 1
        drawn = "text sides (Student's) and test images together" if several else "test images alone"
        doubled = (
            f"epochs were left at {plan.rule.epochs}, so it is unknown which trainings reached their plateau"
            if plan.rule.most_epochs < 2 * plan.rule.epochs
            else f"epochs were doubled up to {plan.rule.most_epochs} while that gained {100 * plan.rule.gain:g} "
            f"points: {len(short)} of {len(self.results.choices)} trainings were still gaining there"
        )
        return [
            f"Every text side was pretrained for {plan.steps:,} steps on the same {plan.scenes:,} scenes beside one "
            "frozen image tower; sides of one seed share initial weights and batches. Methods were trained on "
            f"{plan.train_scenes:,} other scenes at {', '.join(f'{100 * share:g} %' for share in plan.observed)} "
            f"observed labels, {counted(plan.seeds, 'mask')} each, in batches of {plan.batch_size}.",
            f"Intervals are over {drawn}; each text side counts with the mean over its masks, which are the same for "
            "all of them, so the intervals leave out the spread over masks. “higher” and “lower” hold for all "
            f"{len(self.changes)} changes together (Holm, 5 %). {UNDECIDED}.",
            "Rates and epochs were chosen on held-out observed labels of the first text side at "
            f"{rate_name(ABSENCE_RATE)}, and kept for all others; {doubled}.",
        ]

    def _method_records(self) -> list[dict[str, object]]:
        rows = [(method, rate, row_name(method, rate)) for method in METHODS for rate in self.plan.rates]
        scores = self.results.scores
        return [
            {"method": method, "rate": rate, "observed": _seen(fraction), **ends(scores.mean(row, fraction), "mean_ap")}
            for method, rate, row in [*rows, ("baseline", "", "baseline")]
            for fraction in (*self.plan.observed, None)
        ]

    def _gain_records(self) -> list[dict[str, object]]:
        return [
            {"gain": gain.name, "rate": rate, "observed": _seen(fraction), **ends(found, "points")}
            for (gain, rate, fraction), found in self.gains.items()
        ]

    def _change_records(self) -> list[dict[str, object]]:
        return [
            {"gain": change.gain.name, "rate": change.rate, "minus": ABSENCE_RATE, **change.record("points")}
            for change in self.changes
        ]


def _weights(gain: Gain, rate: float, minus: float | None = None) -> dict[str, float]:
    weights = {row_name(gain.more, rate): 1.0, row_name(gain.less, rate): -1.0}
    if minus is not None:
        weights |= {row_name(gain.more, minus): -1.0, row_name(gain.less, minus): 1.0}
    return weights


def _plain(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _seen(fraction: float | None) -> float | str:
    return "mean" if fraction is None else fraction
