"""Choice of a method by cross-validation on the observed labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptmlr.advantage import leads
from promptmlr.crossvalidation import Subject, calibrated, folds_of, out_of_fold
from promptmlr.evaluation import Evaluation, PairedDifference, evaluate, log_loss
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.prior.positive_only import assume_negative, positive_only_classes
from promptmlr.recipes import Recipe
from promptmlr.report.tables import percent_interval, signed, table_lines, write_csv
from promptmlr.reporting import Reporter

__all__ = ["Candidate", "choose_method", "described", "taken", "write_candidates"]

PREFERRED = "anchored"  # where it is level with the best: where the labels that compared them erred, it keeps to CLIP

COLUMNS = ("method", "mean_ap", "low", "high", "log_loss", "behind", "behind_low", "behind_high")


@dataclass(frozen=True)
class Candidate:
    """Cross-validated scores of a method.

    Attributes:
        method: its name.
        mean_ap: mAP on the observed labels, each predicted by a recognizer that was not trained on it; unknown labels
            of positive-only classes count as absent (`assume_negative`).
        interval: of `mean_ap`, over images.
        log_loss: of the calibrated probabilities, in nats per label; slightly too low, because calibration uses the
            same labels. NaN if all classes are positive-only, where constant certainty would have no loss.
        behind: lead of the best method over it, without the luck of having been chosen (`leads`); None for the best.
    """

    method: str
    mean_ap: float
    interval: tuple[float, float]
    log_loss: float
    behind: PairedDifference | None


def choose_method(
    subject: Subject,
    recipes: dict[str, Recipe],
    *,
    resamples: int = 1000,
    reporter: Reporter | None = None,
) -> list[Candidate]:
    """Every method cross-validated, the best mAP first.

    Args:
        subject: what is trained on.
        recipes: of each method that is tried.
        resamples: of the images, for intervals.
        reporter: receives progress and messages.

    Raises:
        UserError: fewer labels are present than there are folds.
    """
    reporter = reporter or Reporter()
    folds_of(subject.labels, subject.seed)
    ticks = bool(positive_only_classes(subject.labels).any())
    if ticks:
        reporter.note(
            "to compare methods, what nobody ticked counts as absent in the classes that have ticks alone: mAP is too "
            "low then, for all methods alike"
        )
    found: dict[str, NDArray[np.float64]] = {}
    with reporter.progress("methods tried") as say:
        for done, (method, recipe) in enumerate(recipes.items(), 1):
            found[method] = out_of_fold(subject, method, recipe, everywhere=ticks)
            say(done, len(recipes))
    first = next(iter(found.values()))
    labels = np.where(np.isnan(first), np.int8(UNKNOWN), assume_negative(subject.labels))
    scored = {method: _scored(margins, labels, subject.class_names, resamples) for method, margins in found.items()}
    order = sorted(scored, key=lambda method: scored[method].mean_ap, reverse=True)
    behind = leads([np.nan_to_num(found[method]) for method in order], labels, resamples)
    return [
        Candidate(
            method,
            scored[method].mean_ap,
            scored[method].mean_ap_interval,
            _log_loss(found[method], subject.labels),
            lead,
        )
        for method, lead in zip(order, behind, strict=True)
    ]


def _scored(margins: NDArray[np.float64], labels: Labels, class_names: Sequence[str], resamples: int) -> Evaluation:
    return evaluate(np.nan_to_num(margins), labels, class_names, threshold=0.0, resamples=resamples)


def _log_loss(margins: NDArray[np.float64], labels: Labels) -> float:
    known = (labels != UNKNOWN) & ~np.isnan(margins) & ~positive_only_classes(labels)
    if not known.any():
        return math.nan
    return log_loss(calibrated(margins, labels), np.where(known, labels, np.int8(UNKNOWN)))


def taken(candidates: Sequence[Candidate]) -> Candidate:
    """The best of `choose_method`, or the preferred method if the best is within noise of it.

    Among methods that the labels cannot distinguish, the most regularised is taken, as in the one-standard-error rule
    (Breiman et al., "Classification and Regression Trees", 1984).
    """
    level = (one for one in candidates[1:] if one.behind is not None and one.behind.within_noise)
    return next((one for one in level if one.method == PREFERRED), candidates[0])


def described(candidates: Sequence[Candidate]) -> list[str]:
    """The candidates as a table, and a line on the chosen one."""
    best, *others = candidates
    rows = [
        (
            one.method,
            percent_interval(one.mean_ap, *one.interval),
            "–" if math.isnan(one.log_loss) else f"{one.log_loss:.3f}",
            "" if one.behind is None else _points(one.behind),
        )
        for one in candidates
    ]
    level = [one.method for one in others if one.behind is not None and one.behind.within_noise]
    lines = table_lines(("method", "mAP, % (95 % interval)", "log loss", "behind the best"), rows, 1)
    lines.append("five folds of the observed labels; mAP on those alone, so not to be compared with a test's")
    chosen = taken(candidates).method
    if chosen != best.method:
        return [*lines, f"{chosen} is taken: it is within noise of {best.method}, and holds on to CLIP"]
    if level:
        return [*lines, f"{chosen} is taken; within noise of it: {', '.join(level)}"]
    return [*lines, f"{chosen} is taken; all others are behind by more than noise"]


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """Write the candidates as a CSV, mAP in 0..1."""
    records: list[dict[str, object]] = []
    for one in candidates:
        record = {"method": one.method, "mean_ap": one.mean_ap, "low": one.interval[0], "high": one.interval[1]}
        behind = one.behind
        ends = {} if behind is None else {"behind": behind.mean, "behind_low": behind.low, "behind_high": behind.high}
        log_loss = "" if math.isnan(one.log_loss) else one.log_loss
        records.append({**record, "log_loss": log_loss, **ends})
    write_csv(path, COLUMNS, records)


def _points(behind: PairedDifference) -> str:
    mean, low, high = (signed(-100 * value) for value in (behind.mean, behind.high, behind.low))
    return f"{mean} ({low} to {high})" + (" within noise" if behind.within_noise else "")
