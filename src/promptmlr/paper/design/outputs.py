"""The report of a finished design: tables, figures, and notes on how to read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from matplotlib.figure import Figure

from promptmlr.paper.design.cells import CELLS, SATURATED, TOLERATED, VARIANTS, Cell
from promptmlr.paper.design.choices import CellChoice
from promptmlr.paper.design.effects import EFFECTS, Effect, simple_effects
from promptmlr.paper.design.search import STEP, SearchRule
from promptmlr.paper.estimates import Corrected, corrected, ends, percent, spread
from promptmlr.paper.grid.other_metrics import other_metrics_findings
from promptmlr.paper.grid.results import GridResults
from promptmlr.report.figures import COLOURS, figure_png, plain
from promptmlr.report.findings import Finding, Heading, Lines, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.report.tables import signed
from promptmlr.uncertainty import UNDECIDED

__all__ = ["DesignOutputs"]

SIDES = {
    "presence": "Main effects of the presence side",
    "absence": "Main effects of the absence side",
    "interaction": "Interactions",
}


@dataclass(frozen=True)
class _EffectEstimate(Corrected):
    """An effect at an observed fraction, or as a mean over all of them."""

    effect: Effect
    observed: float | None

    more = "gain"
    less = "loss"


class DesignOutputs(Outputs):
    """The report of a design.

    Args:
        results: scores of all cells.
        choices: rates and epochs of each cell at each fraction.
        rule: how they were searched.
        data: what was trained and tested on, in a few words.
        remarks: paragraphs on the limits of these numbers.
    """

    document = "design.md"

    def __init__(
        self,
        results: GridResults,
        choices: Sequence[CellChoice],
        rule: SearchRule,
        data: str,
        remarks: Sequence[str] = (),
    ) -> None:
        self.results = results
        self.choices = {(found.cell, found.observed): found for found in choices}
        self.rule = rule
        self.data = data
        self.remarks = remarks
        self.title = "Kinds of sides, crossed"
        self.lead = f"Five kinds of presence and absence side, crossed: mAP on {data}."
        self.observed = [float(fraction) for fraction in results.observed]
        self.fractions: list[float | None] = [*self.observed, *([None] if len(self.observed) > 1 else [])]
        table = [
            (results.contrast(effect.weights, fraction), effect, fraction)
            for effect, fraction in product(EFFECTS, self.fractions)
        ]
        self.effects = corrected(_EffectEstimate, table)

    def findings(self) -> list[Finding]:
        """Effects, scores and training: tables, figures, and notes on how to read them."""
        effect_header = ["effect", *map(self._at, self.fractions)]
        effects = [
            Table(f"{heading}, points of mAP (effects.csv)", effect_header, self._effect_rows(side))
            for side, heading in SIDES.items()
        ]
        matrix_header = ["presence \\ absence", *(variant.name for variant in VARIANTS)]
        scores = [
            Table(f"{self._at(fraction)}: mAP in percent (table.csv)", matrix_header, self._matrix_rows(fraction))
            for fraction in self.observed
        ]
        header = ("cell", "observed", "rates ×", "epochs", "plateau", "saturated at start")
        return [
            Heading("Effects"),
            Picture(
                lambda: figure_png(self.effects_figure(), 1400),
                alt="Effects of the kinds of side with their 95 % intervals; the tables hold the same numbers.",
                caption="Mean over the observed fractions, with 95 % intervals.",
                least=40,
            ),
            *effects,
            Lines(None, list(dict.fromkeys(f"{effect.name}: {effect.meaning}." for effect in EFFECTS))),
            self._effect_note(),
            Heading("Simple effects, by kind of the other side"),
            "A main effect above is the mean of a row below. If a row is uneven, the effect belongs to some of the "
            "pairs and not to the side. Intervals are not corrected for the number of differences.",
            *self._simple_effect_tables(),
            Heading("Scores"),
            *scores,
            self._score_note(),
            *self.remarks,
            *other_metrics_findings(self.results),
            Heading("Training"),
            *self._training_notes(),
            Picture(
                lambda: figure_png(self.curves_figure(), 1600),
                alt="Held-out mAP of every cell over the number of epochs it was trained for.",
                caption="Held-out mAP over epochs at the chosen rates, a panel per cell, a line per observed fraction.",
                least=52,
            ),
            Table("Chosen rates and epochs (choices.csv)", header, self._choice_rows(), long=True),
        ]

    def files(self) -> dict[str, Records | Drawing]:
        """Scores, main and simple effects, and figures."""
        return {
            "table.csv": Records.of(self._table_records()),
            "effects.csv": Records.of(self._effect_records()),
            "simple-effects.csv": Records.of(self._simple_effect_records()),
            "effects.png": Drawing(self.effects_figure(), 1400),
            "curves.png": Drawing(self.curves_figure(), 1600),
        }

    def effects_figure(self) -> Figure:
        """A line per effect, over all fractions."""
        shown = [found for found in self.effects if found.observed == self.fractions[-1]]
        figure = Figure(figsize=(9, 0.36 * len(shown) + 1.1), layout="constrained")
        axes = figure.subplots()
        colours = dict(zip(SIDES, COLOURS, strict=False))
        for position, found in enumerate(reversed(shown)):
            low, value, high = (100 * getattr(found.estimate, end) for end in ("low", "value", "high"))
            colour = colours[found.effect.side]
            axes.plot([low, high], [position, position], color=colour, linewidth=2)
            axes.plot([value], [position], "o", color=colour)
        axes.axvline(0, color="#566072", linewidth=1)
        names = [f"{found.effect.side}: {found.effect.name}" for found in reversed(shown)]
        axes.set_yticks(range(len(shown)), names)
        axes.set_xlabel("points of mAP")
        plain(axes, "x")
        return figure

    def curves_figure(self) -> Figure:
        """A panel per cell: held-out mAP over epochs at the chosen rates, a line per fraction."""
        figure = Figure(figsize=(12, 11), layout="constrained")
        panels = figure.subplots(len(VARIANTS), len(VARIANTS), sharex=True, sharey=True)
        for (row, presence), (column, absence) in product(enumerate(VARIANTS), enumerate(VARIANTS)):
            axes = panels[row][column]
            for index, fraction in enumerate(self.observed):
                choice = self.choices[Cell(presence, absence).name, fraction].choice
                trials = [trial for trial in choice.trials if trial.factor == choice.factor]
                axes.plot(
                    [trial.epochs for trial in trials],
                    [100 * trial.held_out_map for trial in trials],
                    "o-",
                    color=COLOURS[index % len(COLOURS)],
                    label=self._at(fraction),
                    markersize=4,
                )
            axes.set_xscale("log", base=2)
            axes.set_xticks([self.rule.epochs, self.rule.most_epochs], [self.rule.epochs, self.rule.most_epochs])
            plain(axes)
            if row == 0:
                axes.set_title(absence.name, fontsize=11)
            if column == 0:
                axes.set_ylabel(presence.name, fontsize=11)
        panels[0][-1].legend(frameon=False, fontsize=8)
        figure.supxlabel("epochs (columns: absence side)")
        figure.supylabel("held-out mAP, % (rows: presence side)")
        return figure

    @staticmethod
    def _at(fraction: float | None) -> str:
        return "mean" if fraction is None else f"{100 * fraction:g} % observed"

    def _matrix_rows(self, fraction: float | None) -> list[list[str]]:
        rows = []
        for presence in VARIANTS:
            found = [self.results.mean(Cell(presence, absence).name, fraction) for absence in VARIANTS]
            rows.append([presence.name, *map(percent, found)])
        return rows

    def _effect_rows(self, side: str) -> list[list[str]]:
        return [
            [effect.name, *(str(found) for found in self.effects if found.effect == effect)]
            for effect in EFFECTS
            if effect.side == side
        ]

    def _simple_effect_tables(self) -> list[Table]:
        """A table per side and fraction: its effects at each kind of the other side."""
        records = self._simple_effect_records()
        tables = []
        for side, fraction in product(("presence", "absence"), self.observed):
            rows: dict[str, list[str]] = {}
            for one in records:
                if (one["side"], one["observed"]) == (side, fraction):
                    points, low, high = (signed(float(one[end])) for end in ("points", "low", "high"))
                    rows.setdefault(str(one["effect"]), []).append(f"{points} ({low} to {high})")
            other = "absence" if side == "presence" else "presence"
            header = (f"{side} \\ {other}", *(variant.name for variant in VARIANTS))
            caption = f"{side.capitalize()}, {self._at(fraction)}: points of mAP (simple-effects.csv)"
            tables.append(Table(caption, header, [(name, *cells) for name, cells in rows.items()]))
        return tables

    def _simple_effect_records(self) -> list[dict[str, Any]]:
        found = [
            (effect, fraction, other, self.results.contrast(weights, fraction))
            for effect, fraction in product(EFFECTS, self.observed)
            for other, weights in simple_effects(effect).items()
        ]
        return [
            {
                "side": effect.side,
                "effect": effect.name,
                "observed": fraction,
                "other_side": other,
                **ends(one, "points"),
            }
            for effect, fraction, other, one in found
        ]

    def _choice_rows(self) -> list[list[str]]:
        return [
            [
                found.cell,
                f"{100 * found.observed:g} %",
                f"{found.choice.factor:g}",
                str(found.choice.epochs),
                "yes" if found.choice.plateau else "no",
                f"{100 * found.saturated:.1f} %",
            ]
            for found in self.choices.values()
        ]

    def _score_note(self) -> str:
        return (
            f"mAP in percent on {self.data}, with 95 % intervals over {spread(self.results.seeds)}. Rows are presence "
            "sides, columns absence sides; embedding-text starts from the class's text, embedding-agnostic from the "
            "class-free text, embedding-random from that plus noise."
        )

    def _effect_note(self) -> str:
        return (
            "Effects of a side are averaged over all kinds of the other side. Intervals are paired by seed and test "
            f"image; “gain” and “loss” hold for all {len(self.effects)} effects together (Holm, 5 %). {UNDECIDED}."
        )

    def _training_notes(self) -> list[str]:
        rule = self.rule
        search = (
            f"Every cell was trained by one rule. Rates: the recipe's times 1/{STEP:g}, 1 and {STEP:g}, whichever has "
            f"the best mAP on {100 * rule.held_out:g} % of the observed labels that were held out (mean over "
            f"{rule.seeds} seeds, {rule.epochs} epochs), and one step further while the best is the last, at most "
            f"{rule.extensions} times. Epochs: doubled until that gains less than {100 * rule.gain:g} points there. "
            f"Then 1/{STEP:g} and {STEP:g} times the rates once more, at that many epochs: if one gains as much, it is "
            "chosen and the doubling of epochs continues. Test labels are not used."
        )
        trainings = len(self.choices)
        short = [found for found in self.choices.values() if not found.choice.plateau]
        names = ", ".join(f"{found.cell} ({self._at(found.observed)})" for found in short)
        if rule.most_epochs < 2 * rule.epochs:
            plateau = f"Epochs were left at {rule.epochs}, so it is unknown which cells reached their plateau."
        elif short:
            plateau = f"{len(short)} of {trainings} were still gaining at {rule.most_epochs} epochs: {names}."
        else:
            plateau = f"All {trainings} trainings reached that plateau."
        worst = max(self.choices.values(), key=lambda found: found.saturated)
        verdict = "so no cell began saturated" if worst.saturated <= TOLERATED else "so that one began saturated"
        start = (
            f"At the start at most {100 * worst.saturated:.1f} % of margins exceeded {SATURATED:g} ({worst.cell}), "
            f"{verdict} ({100 * TOLERATED:g} % are tolerated)."
        )
        return [search, plateau, start]

    def _table_records(self) -> list[dict[str, object]]:
        return [
            {"presence": cell.presence.name, "absence": cell.absence.name, **self.results.record(cell.name, fraction)}
            for cell, fraction in product(CELLS, self.fractions)
        ]

    def _effect_records(self) -> list[dict[str, object]]:
        return [
            {
                "side": found.effect.side,
                "effect": found.effect.name,
                "observed": "mean" if found.observed is None else found.observed,
                **found.record("points"),
                "meaning": found.effect.meaning,
            }
            for found in self.effects
        ]
