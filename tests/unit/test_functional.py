"""The equations against a naive loop over numbers, and against algebra."""

import math

import numpy as np
import pytest
import torch

from promptmlr.functional import (
    aggregate,
    asymmetric_loss,
    cosine_map,
    cross_entropy_cost,
    linear_map,
    presence_probability,
    region_weights,
)

LABELS = torch.tensor([[1, 0, -1, 1], [0, 0, 1, -1]])


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_loss(logits, labels, gamma_present=1.0, gamma_absent=2.0, margin=0.05, clamp=1e-6) -> float:
    total = 0.0
    for pair, label in zip(
        np.moveaxis(np.asarray(logits), 1, -1).reshape(-1, 2), np.asarray(labels).reshape(-1), strict=True
    ):
        present = 1 / (1 + math.exp(pair[0] - pair[1]))
        if label == 1:
            total -= (1 - present) ** gamma_present * math.log(max(present, clamp))
        elif label == 0:
            absent = min(1 - present + margin, 1)
            total -= (1 - absent) ** gamma_absent * math.log(max(absent, clamp))
    return total


def test_cosine_map_is_twenty_times_the_cosine_of_each_pair() -> None:
    regions, vectors = draw(2, 5, 3, scale=7), draw(4, 3, seed=1, scale=0.1)
    similarity = cosine_map(regions, vectors)
    assert similarity.shape == (2, 4, 5)
    for b, c, r in np.ndindex(2, 4, 5):
        x, y = regions[b, r].numpy(), vectors[c].numpy()
        assert similarity[b, c, r].item() == pytest.approx(20 * x @ y / np.sqrt((x @ x) * (y @ y)))


def test_linear_map_is_neither_normalised_nor_scaled() -> None:
    regions, weight, bias = draw(2, 5, 3), draw(4, 3, seed=1), draw(4, seed=2)
    similarity = linear_map(regions, weight, bias)
    for b, c, r in np.ndindex(2, 4, 5):
        assert similarity[b, c, r].item() == pytest.approx(float(regions[b, r] @ weight[c] + bias[c]))


def test_aggregation_is_five_times_the_weighted_sum() -> None:
    presence, absence = draw(2, 4, 5, scale=3), draw(2, 4, 5, seed=1)
    logits = aggregate(absence, region_weights(presence))
    for b, c in np.ndindex(2, 4):
        raw = [math.exp(value) for value in presence[b, c].tolist()]
        expected = 5 * sum(w / sum(raw) * s for w, s in zip(raw, absence[b, c].tolist(), strict=True))
        assert logits[b, c].item() == pytest.approx(expected)


def test_presence_probability_is_the_softmax_of_the_pair() -> None:
    logits = draw(2, 2, 4, scale=3)
    expected = 1 / (1 + (logits[:, 0] - logits[:, 1]).exp())
    torch.testing.assert_close(presence_probability(logits), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gamma_present": 0.0, "gamma_absent": 0.0, "margin": 0.0},
        {"gamma_present": 3.0, "gamma_absent": 4.0, "margin": 0.2, "clamp": 1e-2},
    ],
)
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_loss_is_that_of_a_loop_over_labels(settings: dict[str, float], scale: float) -> None:
    logits = draw(2, 2, 4, scale=scale)
    assert asymmetric_loss(logits, LABELS, **settings).item() == pytest.approx(naive_loss(logits, LABELS, **settings))


def test_loss_is_a_sum() -> None:
    logits = draw(2, 2, 4)
    once = asymmetric_loss(logits, LABELS)
    twice = asymmetric_loss(torch.cat([logits, logits]), torch.cat([LABELS, LABELS]))
    torch.testing.assert_close(twice, 2 * once)
    assert asymmetric_loss(logits, torch.full_like(LABELS, -1)).item() == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_logits_of_unknown_labels_change_neither_loss_nor_gradient(value: float) -> None:
    clean = draw(2, 2, 4).requires_grad_()
    loss = asymmetric_loss(clean, LABELS)
    loss.backward()

    dirty = clean.detach().clone()
    dirty[:, 0][LABELS == -1] = value
    dirty.requires_grad_()
    dirty_loss = asymmetric_loss(dirty, LABELS)
    dirty_loss.backward()

    assert torch.equal(dirty_loss, loss)
    assert torch.equal(dirty.grad, clean.grad)
    assert not dirty.grad.movedim(1, -1)[LABELS == -1].any()


@pytest.mark.parametrize(
    ("dtype", "unknown"),
    [
        (torch.int8, -1),
        (torch.int8, -128),
        (torch.uint8, 2),
        (torch.uint8, 255),
        (torch.int16, -1),
        (torch.int32, 77),
        (torch.int64, -1),
        (torch.int64, 255),
    ],
)
def test_labels_of_any_integer_dtype(dtype: torch.dtype, unknown: int) -> None:
    """Everything but 0 and 1 is unknown."""
    logits = draw(2, 2, 4)
    labels = torch.where(LABELS == -1, unknown, LABELS).to(dtype)
    assert torch.equal(asymmetric_loss(logits, labels), asymmetric_loss(logits, LABELS))


def test_without_focus_and_margin_it_is_binary_cross_entropy_on_the_difference() -> None:
    logits = draw(2, 2, 4, scale=3).requires_grad_()
    known = LABELS != -1
    difference = (logits[:, 1] - logits[:, 0])[known]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(difference, LABELS[known].double(), reduction="sum")
    loss = asymmetric_loss(logits, LABELS, gamma_present=0.0, gamma_absent=0.0, margin=0.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], torch.autograd.grad(expected, logits)[0])


def test_the_focusing_factor_carries_no_gradient() -> None:
    """The gradient is the finite difference of a loss whose focusing factors are frozen where they stand."""
    logits = draw(2, 2, 4).requires_grad_()
    asymmetric_loss(logits, LABELS).backward()

    def frozen(moved: torch.Tensor) -> float:
        here, there = presence_probability(logits.detach()), presence_probability(moved)
        costs = torch.where(
            LABELS == 1,
            -(1 - here) * there.log(),
            -((here - 0.05).clamp(min=0) ** 2) * (1.05 - there).clamp(max=1).log(),
        )
        return costs[LABELS != -1].sum().item()

    step = 1e-6
    for index in np.ndindex(*logits.shape):
        nudge = torch.zeros_like(logits)
        nudge[index] = step
        slope = (frozen(logits.detach() + nudge) - frozen(logits.detach() - nudge)) / (2 * step)
        assert logits.grad[index].item() == pytest.approx(slope, abs=1e-7)


def test_cross_entropy_is_torchs_on_the_margin_and_unknown_labels_cost_nothing() -> None:
    logits = draw(2, 2, 4, scale=3).requires_grad_()
    margin, known = logits[:, 1] - logits[:, 0], LABELS != -1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(margin, LABELS.double(), reduction="none") * known
    found = cross_entropy_cost(logits, LABELS)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(cost.sum(), logits, retain_graph=True)[0] for cost in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_logits_of_unknown_labels_have_no_part_in_the_cross_entropy(value: float) -> None:
    clean = draw(2, 2, 4).requires_grad_()
    cross_entropy_cost(clean, LABELS).sum().backward()
    dirty = clean.detach().clone()
    dirty[:, 1][LABELS == -1] = value
    dirty.requires_grad_()
    cost = cross_entropy_cost(dirty, LABELS)
    cost.sum().backward()
    assert torch.equal(cost, cross_entropy_cost(clean, LABELS))
    assert torch.equal(dirty.grad, clean.grad)
    assert not cost[LABELS == -1].any()
    assert not dirty.grad.movedim(1, -1)[LABELS == -1].any()


def test_cross_entropy_stays_finite_far_out() -> None:
    """A sum of such costs is a log-likelihood: without the clamp of the asymmetric loss."""
    logits = torch.tensor([[[0.0], [-500.0]], [[0.0], [500.0]]], requires_grad=True)
    cost = cross_entropy_cost(logits, torch.tensor([[1], [0]]))
    cost.sum().backward()
    assert cost.flatten().tolist() == [500.0, 500.0]
    assert logits.grad[:, 1, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_float_dtype_stays_itself(dtype: torch.dtype) -> None:
    regions, vectors = draw(2, 5, 3).to(dtype), draw(4, 3, seed=1).to(dtype)
    similarity = cosine_map(regions, vectors)
    logits = torch.stack([aggregate(similarity, region_weights(similarity))] * 2, dim=1).requires_grad_()
    loss = asymmetric_loss(logits, LABELS)
    loss.backward()
    assert similarity.dtype == logits.dtype == presence_probability(logits).dtype == loss.dtype == dtype
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
