"""Pooling of regions: a table by the names of a recipe's `pooling`.

The logit of a side is 5 · Σ_r w_r S_r (`functional.aggregate`), and a pooling gives the weights w. A new one is a file
beside this one with its function, and a row of `POOLINGS`. Letters: B images, C classes, R regions.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from promptmlr.functional import region_weights

__all__ = ["POOLINGS", "Pooling"]


@dataclass(frozen=True)
class Pooling:
    """One way to weigh regions.

    Attributes:
        summary: what it does, in a few words.
        source: where it was proposed.
        weights: a map (B, C, R) → weights (B, C, R), each row from that row of the map alone, with the sum 1.
    """

    summary: str
    source: str
    weights: Callable[[Tensor], Tensor]


POOLINGS: dict[str, Pooling] = {
    "softmax": Pooling("softmax over the regions of a map", "the paper; Sun et al., 2022 (DualCoOp)", region_weights),
}
