"""The figure of the experiment: effects of both sides with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from promptmlr.paper.claim.plan import Side
from promptmlr.report.figures import COLOURS, plain
from promptmlr.uncertainty import Estimate

__all__ = ["Line", "effects_figure"]


@dataclass(frozen=True)
class Line:
    """An effect in the figure.

    Attributes:
        group: what is varied.
        name: the level.
        estimate: of prompt − embedding, mAP in 0..1.
    """

    group: str
    name: str
    estimate: Estimate


def effects_figure(lines: Mapping[Side, Sequence[Line]], small: float) -> Figure:
    """A panel per side, a line per level from top to bottom, a colour per group.

    Args:
        lines: side → effects, the same levels for both.
        small: half the width of the band around zero, in points.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    panels = figure.subplots(1, len(lines), sharex=True, sharey=True)
    first = next(iter(lines.values()))
    groups = list(dict.fromkeys(line.group for line in first))
    colours = dict(zip(groups, ("#1b2330", *COLOURS), strict=False))
    places = [-index - 0.6 * groups.index(line.group) for index, line in enumerate(first)]
    for axes, (side, own) in zip(panels, lines.items(), strict=True):
        axes.axvspan(-small, small, color="#1b2330", alpha=0.06, linewidth=0)
        axes.axvline(0, color="#566072", linewidth=1, linestyle="--")
        for place, line in zip(places, own, strict=True):
            low, value, high = (100 * end for end in (line.estimate.low, line.estimate.value, line.estimate.high))
            axes.plot([low, high], [place, place], color=colours[line.group], linewidth=2)
            axes.plot([value], [place], "o", color=colours[line.group], markersize=6)
        axes.set_title(f"prompt − embedding, {side} side", fontsize=12)
        axes.set_xlabel("points of mAP", fontsize=11)
        axes.tick_params(labelsize=10.5)
        plain(axes, "x")
    names = [line.name if line.group in ("all", "tower", "world") else f"{line.name} {line.group}" for line in first]
    panels[0].set_yticks(places, names)
    return figure
