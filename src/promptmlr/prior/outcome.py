"""The result of training with a prior: calibrated probabilities and thresholds, and a description of the choices.

Letters: N images, C classes.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from promptmlr.calibration import Calibration, calibration_of
from promptmlr.labels import UNKNOWN
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.influence import label_influence
from promptmlr.prior.sample import sampled_margins
from promptmlr.prior.strength import INFINITE, strength_name
from promptmlr.prior.zero_shot import assumed_share, level_shift
from promptmlr.regions import RegionSource

__all__ = ["calibrated_by_prior", "describe_prior"]


def calibrated_by_prior(
    begun: BegunRun, source: RegionSource, share: float | Sequence[float] | None, seed: int
) -> Calibration:
    """The calibration of a trained run with a prior: its learned scaling, and thresholds from unseen labels.

    Args:
        begun: the trained run.
        source: regions of its N images.
        share: known prevalence, for all classes or for each; None if unknown.
        seed: of the sample of images if there are many.
    """
    run, record = begun.run, begun.record
    assert record is not None
    assert run.recognizer.scaling is not None
    images, odds = sampled_margins(run.recognizer.fold(), source, run.labels, seed, uniform=any(record.costly))
    labels = run.labels[images]
    scale, shift = (part.cpu().double().numpy() for part in run.recognizer.scaling.line())
    held = np.full(labels.shape, np.nan) if begun.odds is None else begun.odds[images]
    if share is not None:
        added = level_shift(odds, np.asarray(share, dtype=np.float64))
        odds, held, shift = odds + added, held + added, shift + added
    unseen = (labels == UNKNOWN) | ~np.isnan(held)
    losses = record.costs if record.unknown == "ignore" else {}  # else they include the cost of unknown labels
    return calibration_of(
        scale,
        shift,
        expit(np.where(np.isnan(held), odds, held)),
        labels,
        unseen,
        spread=0.0,
        log_loss_before=losses.get("infinite"),
        log_loss_after=losses.get(strength_name(record.lambda_)),
        basis="out of fold" if record.costs else "prior",
    )


def describe_prior(begun: BegunRun, source: RegionSource, class_names: Sequence[str]) -> list[str]:
    """Lines on the chosen strength and its effect, and on where the prevalence comes from if not from labels."""
    record = begun.record
    assert record is not None
    costs, lines = record.costs, []
    loss = "log loss" if record.unknown == "ignore" else "cost"
    if record.lambda_ < INFINITE:
        influence = label_influence(begun.run, source)
        order = [index for index in np.argsort(influence).tolist() if influence[index] > 0]
        ratios = [
            f"{_times(influence[index])}{'' if number else ' as much as CLIP'} for {class_names[index]!r}"
            for number, index in enumerate(dict.fromkeys(order[-1:] + order[:1]))
        ]
        tried = f" of {len(costs)} tried" if costs else ""
        gained = (
            f"; {loss} out of fold {costs[strength_name(record.lambda_)]:.3f}, zero-shot {costs['infinite']:.3f}"
            if costs
            else ""
        )
        lines.append(
            f"prior of strength {record.strength:g}{tried}{gained}: labels count {', '.join(ratios) or 'nothing'}"
        )
    elif costs:
        lines.append(
            f"prior of infinite strength: no weaker one did better on labels out of fold (zero-shot's {loss} "
            f"{costs['infinite']:.3f}), so this is CLIP's zero-shot, calibrated on the labels"
        )
    if record.level == "assumed":
        assumed = 100 * assumed_share(len(class_names))
        lines.append(
            f"nobody said how often classes are present: in {assumed:.2g} % of the images on average, it is assumed; "
            "--share says better"
        )
    if record.level == "tower":
        lines.append(
            "nobody said how often classes are present: the tower's own probabilities, from its logit scale and bias, "
            "set the level; --share says better"
        )
    if record.level == "share":
        lines.append("how often classes are present comes from --share")
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times" if ratio >= 0.95 else f"{ratio:.2f} times"
