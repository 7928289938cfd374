"""What came of a prior: probabilities, thresholds, what labels counted for beside CLIP, and the zero-shot itself.

Letters: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from promptmlr.calibration import Calibration, calibration_of
from promptmlr.functional import LOGIT_SCALE, SIMILARITY_SCALE
from promptmlr.labels import UNKNOWN
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import SCALING_SAMPLE, BegunRun, sample_images
from promptmlr.prior.strength import INFINITE
from promptmlr.prior.zero_shot import assumed_share, level_shift
from promptmlr.prior_record import PriorRecord
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, SelectedRegions, held
from promptmlr.training import TrainingRun

__all__ = ["Reference", "calibrated_by_prior", "described_prior", "label_influence"]

INFLUENCE_SAMPLE = 600  # images at most that influence is told on
TINY = 1e-9  # instead of a division by zero


@dataclass(frozen=True)
class Reference:
    """The calibrated zero-shot that a run stands beside.

    Attributes:
        recognizer: folded and unscaled.
        record: its scaling.
    """

    recognizer: Recognizer
    record: PriorRecord

    @classmethod
    def of_run(cls, begun: BegunRun) -> "Reference":
        """Of a run with a prior, before it is trained."""
        assert begun.record is not None
        folded = begun.run.recognizer.fold()
        folded.scaling = None
        return cls(folded, begun.record)


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
    if record.level == "share":
        lines.append("how often classes are present comes from --share")
    return lines


def label_influence(run: TrainingRun, source: RegionSource) -> NDArray[np.float64]:
    """(C,) how much labels count beside CLIP: by how much they narrow what the prior leaves open, on a typical image.

    With r times as much, the variance of a log odd is 1 / (1 + r) of what the prior says (Laplace's approximation
    around the trained vectors, for the mean region of an image less that of all images: what a shift does not explain).

    Args:
        run: trained, with a prior of finite strength.
        source: regions of its images.
    """
    assert run.prior is not None
    known = run.labels != UNKNOWN
    chosen = sample_images(run.labels, INFLUENCE_SAMPLE, 0)
    kept, found = held(SelectedRegions(source, chosen))
    known, regions = known[chosen[kept]], found.regions
    with torch.no_grad():
        logits = run.recognizer.fold()(regions)
        present = torch.sigmoid(logits[:, 1] - logits[:, 0]).cpu().double().numpy()
        pooled = torch.nn.functional.normalize(regions, dim=-1).mean(dim=1).cpu().double().numpy()
    pooled -= pooled.mean(axis=0)
    likeness = pooled @ pooled.T
    # Of what one label says about log odds, in units of the prior's precision: both sides move, 100 per unit of cosine.
    weights = present * (1 - present) * 2 * (SIMILARITY_SCALE * LOGIT_SCALE) ** 2 / np.asarray(run.prior.strength)
    influence = np.zeros(known.shape[1])
    for column in range(known.shape[1]):
        rows = np.flatnonzero(known[:, column])
        if len(rows):
            noise = np.diag(1 / np.maximum(weights[rows, column], TINY))
            across = likeness[rows]
            explained = (across * np.linalg.solve(likeness[np.ix_(rows, rows)] + noise, across)).sum()
            influence[column] = explained / max(np.trace(likeness) - explained, TINY)
    return influence


def _name(record: PriorRecord) -> str:
    return record.strength if isinstance(record.strength, str) else f"{record.strength:g}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times" if ratio >= 0.95 else f"{ratio:.2f} times"
