"""The report of a learning curve: table, figure, and notes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from promptmlr.advice.learning_curve import RATES, Curve, Extrapolation, Point
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.report.tables import percent_interval

__all__ = ["CurveOutputs"]

COLUMNS = ("what", "share", "labels", "mean_ap", "low", "high")


class CurveOutputs(Outputs):
    """The report of a learning curve.

    Args:
        curve: the measured curve.
        method: the trained method.
        data: the scored images, in a few words.
    """

    def __init__(self, curve: Curve, method: str, data: str) -> None:
        self.curve = curve
        self.method = method
        self.title = "What more labels would buy"
        self.lead = f"mAP of {method} on {data}, against the number of labels that training saw."

    def findings(self) -> list[Finding]:
        """The points, the extrapolation, and its back-test."""
        points = [
            (f"{point.labels:,}", percent_interval(point.mean_ap, point.low, point.high), f"{100 * point.share:g} %")
            for point in self.curve.points
        ]
        last = self.curve.points[-1]
        ahead = [
            (f"{one.labels / last.labels:.0f} × ({one.labels:,})", percent_interval(one.mean_ap, one.low, one.high))
            for one in self.curve.ahead
        ]
        return [
            Table("mAP in percent (curve.csv)", ("labels", "mAP", "of those observed"), points),
            f"Mean over {self.curve.seeds} choices of what to leave out, with 95 % intervals over them and the test "
            f"images, scored on {self.curve.test_labels:,} labels of images that no training saw.",
            Table("What the curve says ahead (curve.csv)", ("labels", "mAP"), ahead),
            "1 − mAP = floor + gain · n^−rate through the points, with floor ≥ 0 and rate in "
            f"{RATES[0]:g} to {RATES[1]:g}, fitted anew to each of the resamples. Nobody measured there: it holds as "
            "far as new labels are like the old ones and the curve goes on as it began. " + self._backtest(),
            Picture(
                lambda: figure_png(self.figure(), 1200),
                alt="mAP against the number of labels, with what the curve says ahead; the tables hold the same.",
                caption="Points are measured, with 95 % intervals; what is dashed is extrapolated.",
                least=34,
            ),
        ]

    def files(self) -> dict[str, Records | Drawing]:
        """Every point, measured or extrapolated, and the figure."""
        points = [
            {"what": "measured", "share": one.share, "labels": one.labels} | _ends(one) for one in self.curve.points
        ]
        ahead = [{"what": "extrapolated", "labels": one.labels} | _ends(one) for one in self.curve.ahead]
        back = self.curve.backtest
        tested = [] if back is None else [{"what": "back-test", "labels": back.labels} | _ends(back)]
        return {
            "curve.csv": Records(COLUMNS, [*points, *ahead, *tested]),
            "curve.png": Drawing(self.figure(), 1200),
        }

    def figure(self) -> Figure:
        """Points with intervals, and the extrapolation."""
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        axes = figure.subplots()
        lines: list[tuple[Sequence[Point | Extrapolation], str, str]] = [
            (self.curve.points, "o-", "measured"),
            ([self.curve.points[-1], *self.curve.ahead], "o--", "extrapolated"),
        ]
        for places, style, name in lines:
            x = [one.labels for one in places]
            colour = "#1a5fb4" if name == "measured" else "#7a4b00"
            axes.plot(x, [100 * one.mean_ap for one in places], style, color=colour, label=name, markersize=5)
            low, high = ([100 * getattr(one, end) for one in places] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("labels that training saw")
        axes.set_ylabel("mAP, %")
        axes.grid(color="#e3e7ed")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return figure

    def _backtest(self) -> str:
        back, points = self.curve.backtest, self.curve.points
        if back is None:
            return "With six points or more it would be tested on the last one."
        last = points[-1]
        times = last.labels / points[-4].labels
        hit = "inside" if back.low <= last.mean_ap <= back.high else "outside"
        return (
            f"Tested on what is known: from the points up to {points[-4].labels:,} labels it says "
            f"{percent_interval(back.mean_ap, back.low, back.high)} at {last.labels:,}, {times:.0f} times as many, and "
            f"measured is {100 * last.mean_ap:.1f}: {hit} that interval of {100 * (back.high - back.low):.0f} points."
        )


def _ends(one: Extrapolation | Point) -> dict[str, float]:
    return {"mean_ap": one.mean_ap, "low": one.low, "high": one.high}
