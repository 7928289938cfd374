"""What comes of a prior: probabilities are those that were trained, thresholds stand on labels out of fold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from prior_support import NAMES, recipe, world
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.prediction import predict_margins
from promptmlr.prior import strength
from promptmlr.prior.fitting import BegunRun, begin_run
from promptmlr.prior.influence import label_influence
from promptmlr.prior.outcome import calibrated_by_prior, describe_prior
from promptmlr.prior.reference import Reference
from promptmlr.regions import InMemoryRegions
from promptmlr.training import fit_runs


def trained(known: float = 0.5, kind: str = "right", share: float | None = None, seed: int = 0, **changes) -> tuple:
    recognizer, source, labels = world(known=known, labels=kind, seed=seed)
    begun = begin_run(recognizer, source, labels, recipe(**changes), share=share)
    fit_runs([begun.run], source)
    return begun, source, labels


def probabilities(begun: BegunRun, source: InMemoryRegions, calibration) -> np.ndarray:
    """As a run folder gives them: sides without their scaling, calibrated."""
    folded = begun.run.recognizer.fold()
    folded.scaling = None
    return calibration.probabilities(predict_margins(folded, source)[1])


def influence_of(known: float, held_by: float) -> np.ndarray:
    begun, source, _ = trained(known, prior_strength=held_by)
    return label_influence(begun.run, source)


def test_probabilities_are_those_that_were_trained() -> None:
    begun, source, labels = trained()
    found = calibrated_by_prior(begun, source, None, 0)
    odds = predict_margins(begun.run.recognizer.fold(), source)[1]
    assert probabilities(begun, source, found) == pytest.approx(expit(odds), abs=1e-5)
    assert (found.present, found.absent) == tuple(
        tuple((labels == value).sum(axis=0).tolist()) for value in (PRESENT, ABSENT)
    )
    costs = begun.record.costs
    assert (found.log_loss_before, found.log_loss_after) == (costs["infinite"], costs[f"{begun.record.strength:g}"])
    assert found.basis == "out of fold"


def test_what_is_right_is_counted_on_labels_out_of_fold() -> None:
    """Not on what the recognizer says of labels that it was trained on."""
    begun, source, labels = trained(known=0.3)
    known = labels != UNKNOWN
    noise = np.random.default_rng(0).normal(0, 0.1, labels.shape)
    points = [
        calibrated_by_prior(replace(begun, odds=np.where(known, odds + noise, np.nan)), source, None, 0)
        for odds in (np.where(labels == PRESENT, 9.0, -9.0), 9.0)
    ]
    told, guessed = (found.threshold_of(0.9) for found in points)
    assert told.right == (labels[known] == PRESENT).sum() >= 0.9 * told.predicted
    assert guessed.predicted < 10  # three of ten are right, wherever the threshold is


def test_a_share_that_a_person_knows_is_the_mean_probability() -> None:
    begun, source, _ = trained(kind="ticks", share=0.3)
    found = calibrated_by_prior(begun, source, 0.3, 0)
    assert probabilities(begun, source, found).mean() == pytest.approx(0.3, abs=1e-4)
    each = (0.1, 0.2, 0.3, 0.4)
    found = calibrated_by_prior(begun, source, each, 0)
    assert probabilities(begun, source, found).mean(axis=0) == pytest.approx(each, abs=1e-4)


def test_costs_of_ticks_are_no_log_losses() -> None:
    begun, source, _ = trained(kind="ticks")
    found = calibrated_by_prior(begun, source, None, 0)
    assert begun.record.costs
    assert (found.log_loss_before, found.log_loss_after) == (None, None)
    assert all(point.predicted == 0 for point in found.precision)  # of ticks alone, all would be right


def test_what_was_chosen_is_said_in_one_line() -> None:
    begun, source, _ = trained()
    [line] = describe_prior(begun, source, NAMES)
    record = begun.record
    tried = f"prior of strength {record.strength:g} of {len(record.costs)} tried; log loss out of fold "
    assert line.startswith(
        tried + f"{record.costs[f'{record.strength:g}']:.3f}, zero-shot {record.costs['infinite']:.3f}"
    )
    influence = label_influence(begun.run, source)
    most, least = NAMES[influence.argmax()], NAMES[influence.argmin()]
    assert line.index(f"as much as CLIP for {most!r}") < line.index(f"for {least!r}")


@pytest.mark.parametrize(
    ("kind", "known", "changes", "share", "said"),
    [
        ("right", 0.5, {"prior_strength": 700.0}, None, ["prior of strength 700: labels count"]),
        ("right", 0.0, {}, None, ["nobody said how often classes are present: in 20 % of the images on average"]),
        ("right", 0.0, {}, 0.2, ["how often classes are present comes from --share"]),
        ("ticks", 0.5, {}, None, ["; cost out of fold"]),
    ],
)
def test_other_outcomes_are_said(kind: str, known: float, changes: dict, share: float | None, said: list[str]) -> None:
    begun, source, _ = trained(known, kind, share, **changes)
    lines = describe_prior(begun, source, NAMES)
    assert len(lines) == len(said)
    for line, words in zip(lines, said, strict=True):
        assert words in line


def test_that_nothing_moves_is_said(monkeypatch) -> None:
    monkeypatch.setattr(strength, "SPREAD", 1e9)  # or a wide prior on the strength has a say
    begun, source, _ = trained(kind="noise", seed=3)
    [line] = describe_prior(begun, source, NAMES)
    assert line.startswith("prior of infinite strength: no weaker one did better on labels out of fold")


def test_labels_count_more_the_more_there_are_and_the_weaker_the_prior_is() -> None:
    few, many = (influence_of(share, 2000.0) for share in (0.1, 0.8))
    assert (few < many).all()
    assert (influence_of(0.5, 20_000.0) < influence_of(0.5, 200.0)).all()


def test_a_class_without_labels_is_clips_alone() -> None:
    recognizer, source, labels = world()
    labels[:, 2] = UNKNOWN
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=500.0))
    fit_runs([begun.run], source)
    influence = label_influence(begun.run, source)
    assert influence[2] == 0
    assert (np.delete(influence, 2) > 0).all()


def test_the_reference_is_the_run_before_it_is_trained() -> None:
    recognizer, source, labels = world()
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=200.0))
    start = recognizer.presence.embedding.detach().clone()
    reference = Reference.of_run(begun)
    fit_runs([begun.run], source)
    assert reference.record is begun.record
    assert reference.recognizer.scaling is None
    assert torch.equal(reference.recognizer.presence.embedding, start)
    assert not torch.equal(recognizer.presence.embedding, start)
