"""What came of a prior: probabilities and thresholds, and in words what was chosen.

Letters: N images, C classes.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from promptmlr.calibration import Calibration, calibration_of
from promptmlr.labels import UNKNOWN
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import SCALING_SAMPLE, BegunRun, sample_images
from promptmlr.prior.influence import label_influence
from promptmlr.prior.strength import INFINITE
from promptmlr.prior.zero_shot import assumed_share, level_shift
from promptmlr.prior_record import PriorRecord
from promptmlr.regions import RegionSource, SelectedRegions

__all__ = ["calibrated_by_prior", "described_prior"]


def calibrated_by_prior(
    begun: BegunRun, source: RegionSource, share: float | Sequence[float] | None, seed: int
) -> Calibration:
    """Of a trained run with a prior: its own scaling, and thresholds by what it says of labels that it did not see.

    Args:
        begun: the run, trained.
        source: regions of its N images.
        share: how often classes are present, for all or of each, where a person knows it.
        seed: of the images that are looked at where there are many.
    """
    run, record = begun.run, begun.record
    assert record is not None
    assert run.recognizer.scaling is not None
    chosen = sample_images(run.labels, SCALING_SAMPLE, seed, ticks=any(record.ticked))
    kept, odds = predict_margins(run.recognizer.fold(), SelectedRegions(source, chosen))
    images = chosen[kept]
    labels = run.labels[images]
    scale, shift = (part.cpu().double().numpy() for part in run.recognizer.scaling.line())
    held = np.full(labels.shape, np.nan) if begun.odds is None else begun.odds[images]
    if share is not None:
        added = level_shift(odds, np.asarray(share, dtype=np.float64))
        odds, held, shift = odds + added, held + added, shift + added
    unseen = (labels == UNKNOWN) | ~np.isnan(held)
    losses = record.costs if record.unknown == "ignore" else {}  # else they hold what unknown labels cost
    return calibration_of(
        scale,
        shift,
        expit(np.where(np.isnan(held), odds, held)),
        labels,
        unseen,
        spread=0.0,
        log_loss_before=losses.get("infinite"),
        log_loss_after=losses.get(_name(record)),
        basis="out of fold" if record.costs else "prior",
    )


def described_prior(begun: BegunRun, source: RegionSource, class_names: Sequence[str]) -> list[str]:
    """What was chosen and what it means, in one line, and how probable classes are if labels do not say it."""
    record = begun.record
    assert record is not None
    costs, lines = record.costs, []
    loss = "log loss" if record.unknown == "ignore" else "cost"
    if record.lambda_ < INFINITE:
        influence = label_influence(begun.run, source)
        order = [place for place in np.argsort(influence).tolist() if influence[place] > 0]
        said = [
            f"{_times(influence[place])}{'' if number else ' as much as CLIP'} for {class_names[place]!r}"
            for number, place in enumerate(dict.fromkeys(order[-1:] + order[:1]))
        ]
        tried = f" of {len(costs)} tried" if costs else ""
        gained = f"; {loss} out of fold {costs[_name(record)]:.3f}, zero-shot {costs['infinite']:.3f}" if costs else ""
        lines.append(
            f"prior of strength {record.strength:g}{tried}{gained}: labels count {', '.join(said) or 'nothing'}"
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
            "nobody said how often classes are present: the tower's own probabilities do, from its logit scale and "
            "bias; --share says better"
        )
    if record.level == "share":
        lines.append("how often classes are present comes from --share")
    return lines


def _name(record: PriorRecord) -> str:
    return record.strength if isinstance(record.strength, str) else f"{record.strength:g}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times" if ratio >= 0.95 else f"{ratio:.2f} times"
