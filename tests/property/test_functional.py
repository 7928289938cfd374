"""Algebra of the equations, on whatever hypothesis comes up with."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptmlr.functional import (
    aggregate,
    asymmetric_loss,
    cosine_map,
    linear_map,
    presence_probability,
    region_weights,
)

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def draw(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape) * 10 ** rng.uniform(-2, 2))


@given(sizes, sizes, sizes, sizes, seeds)
def test_cosine_maps_forget_lengths_and_stay_within_twenty(b: int, r: int, c: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions, vectors = draw(rng, b, r, d), draw(rng, c, d)
    similarity = cosine_map(regions, vectors)
    assert similarity.shape == (b, c, r)
    assert similarity.abs().max() <= 20 + 1e-9
    longer = cosine_map(regions * rng.uniform(0.1, 10), vectors * torch.from_numpy(rng.uniform(0.1, 10, size=(c, 1))))
    torch.testing.assert_close(longer, similarity)


@given(sizes, sizes, sizes, sizes, seeds)
def test_the_order_of_regions_changes_nothing_but_rounding(b: int, r: int, c: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions, weight, bias = draw(rng, b, r, d), draw(rng, c, d), draw(rng, c)
    shuffled = regions[:, torch.from_numpy(rng.permutation(r))]
    for before, after in (
        (cosine_map(regions, weight), cosine_map(shuffled, weight)),
        (linear_map(regions, weight, bias), linear_map(shuffled, weight, bias)),
    ):
        torch.testing.assert_close(aggregate(after, region_weights(after)), aggregate(before, region_weights(before)))


@given(sizes, sizes, seeds)
def test_a_logit_lies_between_five_times_the_smallest_and_the_largest_similarity(c: int, r: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, other = draw(rng, 1, c, r), draw(rng, 1, c, r)
    weights = region_weights(other)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, c, dtype=torch.float64))
    logits = aggregate(similarity, weights)
    assert (logits <= 5 * similarity.amax(-1) + 1e-6).all()
    assert (logits >= 5 * similarity.amin(-1) - 1e-6).all()


@given(sizes, sizes, seeds)
def test_the_loss_adds_up_over_classes_and_forgets_what_pairs_have_in_common(b: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = draw(rng, b, 2, c), torch.from_numpy(rng.integers(-1, 2, size=(b, c)))
    loss = asymmetric_loss(logits, labels)
    assert loss >= 0
    alone = sum(asymmetric_loss(logits[..., i : i + 1], labels[:, i : i + 1]) for i in range(c))
    torch.testing.assert_close(alone, loss)
    shifted = logits + torch.from_numpy(rng.normal(size=(b, 1, c)))
    torch.testing.assert_close(asymmetric_loss(shifted, labels), loss, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        presence_probability(logits) + presence_probability(logits.flip(1)), torch.ones(b, c).double()
    )
