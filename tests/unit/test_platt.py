"""Platt scaling beside the sides: log odds, their prior, the line that is left of them, and folding."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from promptmlr.platt import PlattScaling
from promptmlr.recognizer import Recognizer, joint_logits, joint_vectors
from promptmlr.sides import EmbeddingSide

SPREADS = {"log_scale": (0.5, 0.7), "shift": (1.0, 2.0)}  # of single classes around all, and of all


def scaling(classes: int = 4, seed: int = 0) -> PlattScaling:
    """Somewhere away from the mean of its prior."""
    rng = np.random.default_rng(seed)
    return PlattScaling(*(torch.from_numpy(rng.normal(size=classes)) for _ in range(5)))


def test_log_odds_are_a_line_through_the_centre() -> None:
    one = scaling()
    margins = np.random.default_rng(1).normal(0, 10, (6, 4))
    with torch.no_grad():
        found = one(torch.from_numpy(margins)).numpy()
    scale, shift, centre = (getattr(one, name).detach().numpy() for name in ("log_scale", "shift", "centre"))
    np.testing.assert_allclose(found, np.exp(scale) * (margins - centre) + shift)
    np.testing.assert_allclose(one(one.centre[None]).detach().numpy()[0], shift)


def test_several_side_by_side_are_each_alone() -> None:
    scalings = [scaling(classes, seed) for seed, classes in enumerate((3, 1, 2))]
    margins = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 6)))
    alone = [one(part) for one, part in zip(scalings, margins.split([3, 1, 2], dim=1), strict=True)]
    assert torch.equal(PlattScaling.joint(scalings, margins), torch.cat(alone, dim=1))


def test_the_penalty_is_the_prior_of_classes_around_what_they_share() -> None:
    """-log of normal densities, up to a constant: differences of penalties are differences of it."""

    def expected(one: PlattScaling) -> float:
        total = 0.0
        for name, (own, common) in SPREADS.items():
            away = (getattr(one, name) - getattr(one, f"prior_{name}")).detach().numpy()
            total -= norm.logpdf(away, away.mean(), own).sum() + norm.logpdf(away.mean(), 0, common)
        return total

    first, second = scaling(seed=0), scaling(seed=1)
    assert first.penalty().item() - second.penalty().item() == pytest.approx(expected(first) - expected(second))
    start = PlattScaling(first.log_scale, first.shift, first.centre)
    assert start.penalty().item() == 0
    assert first.penalty().item() > 0


def test_a_class_that_goes_with_the_others_pays_less_than_one_that_goes_alone() -> None:
    zero = torch.zeros(10)
    alone = zero.clone()
    alone[0] = 1.0
    all_pay, one_pays = (PlattScaling.penalty_of(zero, away).item() for away in (torch.full((10,), 0.5), alone))
    assert all_pay < one_pays  # though five times as far in sum


def test_the_line_is_of_the_margin_as_it_is() -> None:
    one = scaling()
    margins = torch.from_numpy(np.random.default_rng(1).normal(0, 10, (6, 4)))
    scale, shift = one.line()
    torch.testing.assert_close(scale * margins + shift, one(margins).detach())
    assert not scale.requires_grad
    assert not shift.requires_grad


def test_a_fold_is_a_copy_that_does_not_learn_with_it() -> None:
    one = scaling()
    folded = one.fold()
    before = {name: value.clone() for name, value in folded.state_dict().items()}
    assert {name: value.tolist() for name, value in before.items()} == {
        name: value.tolist() for name, value in one.state_dict().items()
    }
    with torch.no_grad():
        for value in one.state_dict().values():
            value.add_(1.0)
    assert all(torch.equal(before[name], value) for name, value in folded.state_dict().items())
    assert {name for name, _ in one.named_parameters()} == {"log_scale", "shift"}


def test_a_scaled_recognizer_gives_log_odds_and_keeps_them_when_folded() -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [EmbeddingSide(torch.randn(4, 8, generator=generator).double()) for _ in range(2)]
    regions = torch.randn(5, 3, 8, generator=generator, dtype=torch.float64)
    plain = Recognizer(*sides, ["a", "b", "c", "d"])
    scaled = Recognizer(*sides, ["a", "b", "c", "d"], scaling=scaling())
    raw = plain(regions)
    logits = scaled(regions)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], scaled.scaling(raw[:, 1] - raw[:, 0]))
    torch.testing.assert_close(logits.sum(dim=1), torch.zeros(5, 4, dtype=torch.float64))
    assert torch.equal(scaled.fold()(regions), logits)
    assert scaled.learned_parameters() == plain.learned_parameters() + 8
    both = joint_logits([scaled, scaled], regions, joint_vectors([scaled, scaled]))
    torch.testing.assert_close(both, torch.cat([logits, logits], dim=2))
