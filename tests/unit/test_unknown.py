"""Costs of unknown labels, each against its paper's formula written in numpy, and what all of them leave alone."""

import math
import re

import numpy as np
import pytest
import torch

from promptmlr.errors import UserError
from promptmlr.options import RecipeOptions
from promptmlr.recipes import load_recipe
from promptmlr.unknown import UNKNOWN_COSTS, unknown_cost

COSTLY = sorted(set(UNKNOWN_COSTS) - {"ignore"})


def drawn(images: int = 6, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, 2, C) and labels of which a half is unknown."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (images, 2, classes)))
    return logits, torch.from_numpy(rng.choice([-1, -1, 0, 1], (images, classes)))


def expected(kind: str, logits: torch.Tensor, labels: torch.Tensor, progress: float) -> np.ndarray:
    """What the papers say of unknown labels, written with probabilities."""
    absence, presence = logits.numpy().swapaxes(0, 1)
    p = np.exp(presence) / (np.exp(presence) + np.exp(absence))
    as_absent = -np.log(1 - p)
    unknown = labels.numpy() == -1
    if kind == "large-loss":  # the k largest of the unobserved ones are left out: Kim et al., equations 4 and 5
        dropped = math.ceil(p.size * 0.1 * progress)
        largest = np.argsort(np.where(unknown, as_absent, -1).ravel())[::-1][:dropped]
        as_absent.ravel()[largest] = 0
        return np.where(unknown, as_absent, 0)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    cost = {
        "ignore": np.zeros_like(p),
        "absent": as_absent,  # Cole et al., equation 3
        "weak": as_absent / (p.shape[1] - 1),  # Cole et al., equation 4
        "hill": (1.5 - p) * p**2,  # Zhang et al., equation 6, with lambda = 1.5
        "entropy": -0.1 * entropy,  # Zhou et al., equation 3, with alpha = 0.1
    }[kind]
    return np.where(unknown, cost, 0)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", sorted(UNKNOWN_COSTS))
def test_every_cost_is_that_of_its_paper(kind: str, progress: float) -> None:
    logits, labels = drawn()
    found = unknown_cost(logits, labels, kind, progress)
    np.testing.assert_allclose(found.numpy(), expected(kind, logits, labels, progress), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", COSTLY)
def test_known_labels_have_no_part_in_it(kind: str) -> None:
    """Whatever their logits are: neither in the cost of unknown ones, nor in any gradient."""
    logits, labels = drawn()
    known = labels != -1
    clean = logits.clone().requires_grad_()
    cost = unknown_cost(clean, labels, kind, 1.0)
    cost.sum().backward()
    assert not cost[known].any()
    assert not clean.grad.movedim(1, -1)[known].any()
    assert (clean.grad.movedim(1, -1)[~known] != 0).any()

    dirty = logits.clone()
    dirty[:, 1][known] = 500.0
    dirty.requires_grad_()
    again = unknown_cost(dirty, labels, kind, 1.0)
    again.sum().backward()
    assert torch.equal(again, cost)
    assert torch.equal(dirty.grad, clean.grad)


def test_all_but_entropy_push_towards_absence() -> None:
    """Entropy pushes to where nothing is said: from either side to a half."""
    for kind in COSTLY:
        logits = torch.tensor([[[0.0, 0.0], [1.0, -1.0]]], requires_grad=True)  # (1, 2, 2): one more likely than not
        unknown_cost(logits, torch.full((1, 2), -1), kind, 0.0).sum().backward()
        up = logits.grad[0, 1] > 0  # descent then lowers the logit of presence
        assert up.tolist() == ([True, False] if kind == "entropy" else [True, True]), kind


def test_large_losses_are_rejected_as_training_goes_on() -> None:
    logits, labels = torch.zeros(4, 2, 5), torch.full((4, 5), -1)
    logits[:, 1] = torch.arange(20.0).view(4, 5)
    costs = [unknown_cost(logits, labels, "large-loss", progress) for progress in (0.0, 0.5, 1.0)]
    assert [int((cost == 0).sum()) for cost in costs] == [0, 1, 2]
    assert costs[2].flatten()[-2:].tolist() == [0, 0]
    assert costs[2].flatten()[:-2].equal(costs[0].flatten()[:-2])


def test_hill_gives_in_where_presence_is_sure() -> None:
    """The slope along the odds falls again, against 1 for what counts as absent."""
    odds = torch.tensor([[-4.0, 1.0, 8.0]], dtype=torch.float64, requires_grad=True)
    unknown_cost(torch.stack([-odds / 2, odds / 2], dim=1), torch.full((1, 3), -1), "hill").sum().backward()
    low, middle, high = odds.grad[0].tolist()
    assert middle > 10 * max(low, high)


@pytest.mark.parametrize("name", ["auto", *UNKNOWN_COSTS])
def test_a_recipe_takes_every_row_and_the_command_line_names_it(name: str) -> None:
    assert load_recipe("default", "anchored", unknown=name).unknown == name
    said = (RecipeOptions.__doc__ or "").partition("unknown: ")[2].partition("start: ")[0]
    assert re.search(rf"\b{name}\b", said)


def test_another_cost_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(UserError, match=r"unknown: .*no cost 'hil'.*hill"):
        load_recipe("default", "anchored", unknown="hil")


def test_every_row_says_what_it_is_and_whose() -> None:
    assert all(row.summary and row.source for row in UNKNOWN_COSTS.values())
