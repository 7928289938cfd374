"""Figures of the experiment: probes and gains by the share of captions that state an absence."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from promptmlr.paper.absence.plan import GAINS, Gain, Plan
from promptmlr.paper.absence.towers import Probe
from promptmlr.report.figures import COLOURS, plain
from promptmlr.uncertainty import Estimate

__all__ = ["PROBES", "gains_figure", "probes_figure", "rate_name"]

PROBES = MappingProxyType(
    {
        "positive_negative": "cosine of “photo of a X” and “Not a photo of a X”",
        "positive_positive": "cosine of “photo of a X” and “picture of a X”",
        "between_classes": "cosine of “photo of a X” and “photo of a Y”",
        "auc_no": "AUC of “no X” for the presence of X",
        "auc_not": "AUC of “not a photo of a X” for it",
        "auc_photo": "AUC of “a photo of a X” for it",
        "zero_shot_map": "zero-shot mAP, in 0..1",
    }
)
"""Field of `Probe` → its description in tables and figures."""


def rate_name(rate: float) -> str:
    """Such as "0.47 %"."""
    return f"{100 * rate:g} %"


def probes_figure(plan: Plan, probes: Sequence[Probe]) -> Figure:
    """Cosines and AUCs by rate, in two panels: a point per text side, a line through their means."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    panels = figure.subplots(1, 2)
    positions = range(len(plan.rates))
    names = list(PROBES.items())
    for axes, shown, label in (
        (panels[0], names[:3], "cosine of text features"),
        (panels[1], names[3:6], "AUC for presence"),
    ):
        for (field, name), colour in zip(shown, COLOURS, strict=False):
            by_rate = [[getattr(probe, field) for probe in probes if probe.rate == rate] for rate in plan.rates]
            axes.plot(positions, [np.mean(values) for values in by_rate], color=colour, label=name)
            for position, values in zip(positions, by_rate, strict=True):
                axes.plot([position] * len(values), values, "o", color=colour, markersize=4, alpha=0.6)
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    panels[1].axhline(0.5, color="#566072", linewidth=1, linestyle="--")
    _over_rates(plan, panels, figure)
    return figure


def gains_figure(plan: Plan, gains: Mapping[tuple[Gain, float, float | None], Estimate]) -> Figure:
    """A panel per gain: a line per observed fraction; the band is the interval of their mean (fraction None)."""
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    panels = figure.subplots(2, 3, sharey=True).reshape(-1)
    positions = list(range(len(plan.rates)))
    for axes, gain in zip(panels, GAINS, strict=True):
        for fraction, colour in zip(plan.observed, COLOURS, strict=False):
            values = [100 * gains[gain, rate, fraction].value for rate in plan.rates]
            axes.plot(positions, values, "o-", color=colour, markersize=3, linewidth=1, label=f"{100 * fraction:g} %")
        means = [gains[gain, rate, None] for rate in plan.rates]
        low, high = ([100 * getattr(one, end) for one in means] for end in ("low", "high"))
        axes.fill_between(positions, low, high, color="#1b2330", alpha=0.12, linewidth=0)
        axes.plot(positions, [100 * one.value for one in means], color="#1b2330", linewidth=2, label="mean")
        axes.axhline(0, color="#566072", linewidth=1, linestyle="--")
        axes.set_title(gain.name.replace(", ", ",\n"), fontsize=9)
    panels[0].legend(frameon=False, fontsize=8, title="observed", title_fontsize=8)
    panels[0].set_ylabel("points of mAP")
    panels[3].set_ylabel("points of mAP")
    _over_rates(plan, panels, figure)
    return figure


def _over_rates(plan: Plan, panels: Iterable[Axes], figure: Figure) -> None:
    for axes in panels:
        axes.set_xticks(range(len(plan.rates)), [rate_name(rate) for rate in plan.rates])
        plain(axes)
    figure.supxlabel("captions of absence")
