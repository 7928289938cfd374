"""The losses of known labels: a table by the names of a recipe's `loss`.

A new loss is a file beside this one with its function, and a row of `LOSSES`. Costs of unknown labels are in
`promptmlr.unknown`. Letters: B images, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from promptmlr.functional import asymmetric_cost, cross_entropy_cost

__all__ = ["LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """One way to count known labels.

    Attributes:
        summary: what it does, in a few words.
        source: where it was proposed.
        cost: (B, 2, C) logits (0 absence, 1 presence) and (B, C) labels (1 present, 0 absent, anything else unknown)
            → (B, C) costs, each from its own pair of logits alone, and zero where the label is unknown.
    """

    summary: str
    source: str
    cost: Callable[[Tensor, Tensor], Tensor]


LOSSES: dict[str, Loss] = {
    "asymmetric": Loss(
        "what is nearly right costs less, absent labels most so", "the paper; Ridnik et al., 2021", asymmetric_cost
    ),
    "cross-entropy": Loss("-log P of what a label says: a likelihood", "maximum likelihood", cross_entropy_cost),
}
