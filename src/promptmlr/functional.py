"""The paper's equations as pure tensor functions.

Letters: B images, R regions, D feature width, C classes. A *map* is the similarity of every class with every
region, (B, C, R). Sections are those of "Rethinking Prompting Strategies for Multi-Label Recognition with Partial
Annotations" (PositiveCoOp, WACV 2025); `docs/paper-to-code.md` names the released function beside each of ours.
"""

import torch
from torch import Tensor

__all__ = [
    "aggregate",
    "asymmetric_cost",
    "asymmetric_loss",
    "cosine_map",
    "cross_entropy_cost",
    "linear_map",
    "presence_probability",
    "region_weights",
]

SIMILARITY_SCALE = 20.0  # sharpens cosines before the softmax over regions
LOGIT_SCALE = 5.0  # on the aggregated similarity


def cosine_map(regions: Tensor, vectors: Tensor) -> Tensor:
    """Similarity S = 20 · cos of class vectors with regions (prompt and embedding sides; paper, section 3).

    Args:
        regions: (B, R, D) float, any length; normalised here.
        vectors: (C, D) float, any length; normalised here.

    Returns:
        (B, C, R), values in [-20, 20].
    """
    directions = torch.nn.functional.normalize(vectors, dim=-1)
    regions = torch.nn.functional.normalize(regions, dim=-1)
    return SIMILARITY_SCALE * (regions @ directions.T).transpose(1, 2)


def linear_map(regions: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Similarity of the vision-only Baseline: a linear layer on every region, not normalised, not scaled.

    Args:
        regions: (B, R, D) float.
        weight: (C, D) float.
        bias: (C,) float.

    Returns:
        (B, C, R), unbounded.
    """
    return torch.nn.functional.linear(regions, weight, bias).transpose(1, 2)


def region_weights(similarity: Tensor) -> Tensor:
    """Class-specific region weights: softmax over the regions of one map, (B, C, R) → (B, C, R), rows sum to 1."""
    return similarity.softmax(dim=-1)


def aggregate(similarity: Tensor, weights: Tensor) -> Tensor:
    """Class-specific region feature aggregation: logit = 5 · Σ_r w_r S_r.

    Args:
        similarity: (B, C, R), the map of one side.
        weights: (B, C, R), `region_weights` of the presence map (of its own map for the Baseline).

    Returns:
        (B, C) logits of that side.
    """
    return LOGIT_SCALE * (weights * similarity).sum(dim=-1)


def presence_probability(logits: Tensor) -> Tensor:
    """P(present): softmax over the pair (absence, presence), entry 1. (B, 2, C) logits → (B, C) in [0, 1]."""
    return logits.softmax(dim=1)[:, 1]


def asymmetric_loss(logits: Tensor, labels: Tensor, **options: float) -> Tensor:
    """Asymmetric loss: `asymmetric_cost` summed over the known labels, with its arguments.

    Returns:
        Scalar: a sum, not a mean. It grows with the number of known labels.
    """
    return asymmetric_cost(logits, labels, **options).sum()


def asymmetric_cost(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma_present: float = 1.0,
    gamma_absent: float = 2.0,
    margin: float = 0.05,
    clamp: float = 1e-6,
) -> Tensor:
    """Asymmetric loss of every label, on the pair's probabilities.

    With p = P(present) and q = min(1 − p + margin, 1): a known present label costs −(1 − p)^γ₊ · log p, a known
    absent one −(1 − q)^γ₋ · log q. The focusing factor carries no gradient. An unknown label changes neither the
    loss nor any gradient, whatever its logits are.

    Args:
        logits: (B, 2, C) float; 0 absence, 1 presence.
        labels: (B, C), any integer dtype; 1 present, 0 absent, anything else unknown.
        gamma_present: focusing exponent γ₊ of present labels.
        gamma_absent: focusing exponent γ₋ of absent labels.
        margin: probability shift of absent labels.
        clamp: logarithms are taken of max(·, clamp).

    Returns:
        (B, C): zero where the label is unknown.
    """
    present, absent = labels == 1, labels == 0
    known = (present | absent).unsqueeze(1)
    probabilities = torch.where(known, logits, torch.zeros_like(logits)).softmax(dim=1)
    shifted_absence = (probabilities[:, 0] + margin).clamp(max=1.0)
    probability = torch.where(present, probabilities[:, 1], shifted_absence)
    gamma = torch.where(present, gamma_present, gamma_absent).to(probability.dtype)
    focus = (1.0 - probability).detach().pow(gamma)
    cost = -focus * probability.clamp(min=clamp).log()
    return torch.where(known.squeeze(1), cost, torch.zeros_like(cost))


def cross_entropy_cost(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every label: −log P of what it says, so that their sum is a negative log-likelihood.

    Args:
        logits: (B, 2, C) float; 0 absence, 1 presence.
        labels: (B, C), any integer dtype; 1 present, 0 absent, anything else unknown.

    Returns:
        (B, C): zero where the label is unknown, whatever its logits are.
    """
    odds = logits[:, 1] - logits[:, 0]
    known = (labels == 1) | (labels == 0)
    odds = torch.where(known, odds, torch.zeros_like(odds))
    cost = torch.nn.functional.softplus(torch.where(labels == 1, -odds, odds))
    return torch.where(known, cost, torch.zeros_like(cost))
