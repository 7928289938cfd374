"""A grid as a figure: scores by observed labels, a line per method with its interval as a band."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from promptmlr.paper.grid.observed import Observed, amounts, column, kind_of
from promptmlr.paper.grid.results import GridResults
from promptmlr.report.figures import COLOURS, plain

__all__ = ["ALONG", "scores_figure"]

ALONG = {"fraction": "share of observed labels", "number": "number of labels", "protocol": "protocol that hid labels"}
"""Label of the horizontal axis, by `kind_of`."""


def scores_figure(results: GridResults, published: Mapping[tuple[str, Observed], float]) -> Figure:
    """MAP of every method; published scores are dashed.

    Fractions are drawn in percent, numbers of labels on a logarithmic axis, other protocols side by side without lines.

    Args:
        results: the scores.
        published: (method, observed) → the paper's mAP in 0..1, where it has one.
    """
    figure = Figure(figsize=(9.5, 5), layout="constrained")
    axes = figure.subplots()
    kind = kind_of(results.observed)
    positions = _horizontal(axes, kind, results.observed)
    style = "o" if kind == "protocol" else "o-"
    for number, (method, colour) in enumerate(zip(results.methods, cycle(COLOURS), strict=False)):
        found = [results.mean(method, seen) for seen in results.observed]
        low, value, high = (np.array([100 * getattr(one, end) for one in found]) for end in ("low", "value", "high"))
        if kind == "protocol":
            shifted = positions + (number - (len(results.methods) - 1) / 2) * 0.4 / len(results.methods)
            axes.errorbar(shifted, value, [value - low, high - value], fmt=style, color=colour, label=method, capsize=2)
            continue
        axes.fill_between(positions, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(positions, value, style, color=colour, label=method)
        printed = [100 * published.get((method, seen), np.nan) for seen in results.observed]
        if not np.isnan(printed).all():
            axes.plot(positions, printed, "--", color=colour, linewidth=1, label=f"{method}, paper")
    axes.set_ylabel(f"{results.score_name}, %")
    plain(axes)
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def _horizontal(axes: Axes, kind: str, observed: Sequence[Observed]) -> np.ndarray:
    """Horizontal positions of `observed`; labels the axis."""
    if kind == "fraction":
        axes.set_xlabel("observed labels, %")
        return 100 * np.array(amounts(observed))
    if kind == "number":
        axes.set_xscale("log")
        axes.set_xlabel("labels that training saw")
        axes.set_xticks(amounts(observed), [f"{amount:,}" for amount in amounts(observed)])
        axes.xaxis.set_minor_locator(NullLocator())
        return np.array(amounts(observed), dtype=np.float64)
    axes.set_xticks(range(len(observed)), [column(seen) for seen in observed])
    return np.arange(len(observed), dtype=np.float64)
