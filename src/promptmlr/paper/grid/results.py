"""What a finished grid says: mean scores, and paired differences with Holm's correction over their table.

Letters: M methods, F observed fractions, K seeds, S resamples of the test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from promptmlr.paper.estimates import Corrected, corrected, ends
from promptmlr.paper.grid.observed import Observed
from promptmlr.uncertainty import Alike, Estimate, estimate

__all__ = ["OTHER_METRICS", "Comparison", "EmptyClasses", "GridResults"]

EmptyClasses = Literal["left-out", "zero"]
"""How mAP and CF1 count classes that no test image shows: not at all, or as 0, as the released code does."""

OTHER_METRICS = (
    *("cf1", "of1", "presence_displacement", "absence_displacement", "log_loss", "calibration_error"),
    *("cf1_top3", "of1_top3", "f1_at_3"),
)
"""Fields of a `Cell` besides mAP."""

PERMUTED = 100  # orders of methods, for sums like another
MEANS_OVER_CLASSES = ("cf1", "cf1_top3")
LEAST_DISPLACEMENT = 5e-3  # logits; a smaller displacement is printed as 0.00


@dataclass(frozen=True)
class Comparison(Corrected):
    """A method minus the reference.

    Attributes:
        method: the compared method.
        reference: the method whose score is subtracted.
        observed: which labels training saw; None is the mean over all of `observed`.
    """

    method: str
    reference: str
    observed: Observed | None


@dataclass(frozen=True, eq=False)
class GridResults:
    """All scores of a grid.

    Attributes:
        methods: M names.
        observed: F fractions of labels, or names of other protocols (`grid.observed`).
        scores: (M, F, K) mAP in 0..1.
        resampled: (M, F, K, S) mAP on resamples of the test images, the same ones for every cell.
        learned: (M, F) numbers of learned parameters; recipes may differ by fraction.
        other_metrics: (M, F, K) of each of `OTHER_METRICS`, NaN where unknown; or empty.
        groups: the same scores on seen and on unseen classes, where some classes are unseen in training.
        empty_classes: how mAP and CF1 count classes that no test image shows.
    """

    methods: Sequence[str]
    observed: Sequence[Observed]
    scores: NDArray[np.float64]
    resampled: NDArray[np.float64]
    learned: Sequence[Sequence[int]]
    other_metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    groups: Mapping[str, "GridResults"] = field(default_factory=dict)
    empty_classes: EmptyClasses = "left-out"

    @property
    def score_name(self) -> str:
        """What the scores are, for tables and axes."""
        return "mAP" if self.empty_classes == "left-out" else "mAP with empty classes as 0"

    def with_empty_as_zero(self, shown: float) -> Self:
        """The same scores with 0 for each class that no test image shows.

        A class that only a resample does not show is still left out of that resample.

        Args:
            shown: share of the classes that some test image shows.
        """
        metrics = self.other_metrics
        others = {name: metrics[name] * (shown if name in MEANS_OVER_CLASSES else 1.0) for name in metrics}
        return replace(
            self,
            scores=self.scores * shown,
            resampled=self.resampled * shown,
            other_metrics=others,
            empty_classes="zero",
        )

    @property
    def seeds(self) -> int:
        """K."""
        return int(self.scores.shape[2])

    @property
    def columns(self) -> list[Observed | None]:
        """Columns of tables: `observed`, and None for their mean if there are several."""
        return [*self.observed, *([None] if len(self.observed) > 1 else [])]

    def mean(self, method: str, observed: Observed | None) -> Estimate:
        """A method's mean over seeds at a fraction, or over all fractions; no interval leaves 0..1."""
        found = self._estimate(self._mean_weights(method, observed))
        return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))

    def contrast(self, weights: Mapping[str, float], observed: Observed | None) -> Estimate:
        """A weighted sum of methods at a fraction, or of their means over all fractions; other methods weigh zero."""
        weighted = [weight * self._mean_weights(method, observed) for method, weight in weights.items()]
        return self._estimate(np.sum(weighted, axis=0))

    def other_metrics_of(self, method: str, observed: Observed | None) -> dict[str, float]:
        """Means of `OTHER_METRICS` over seeds, at one fraction or over all of them; NaN where a value is unknown."""
        weights = self._mean_weights(method, observed)
        used = weights > 0
        return {name: float(weights[used] @ values.mean(axis=2)[used]) for name, values in self.other_metrics.items()}

    def record(self, method: str, observed: Observed | None) -> dict[str, Any]:
        """The columns of a mean: its interval, and the other metrics."""
        found = self.mean(method, observed)
        learned = self.learned[list(self.methods).index(method)]
        counts = set(learned if observed is None else [learned[self.observed.index(observed)]])
        return {
            "observed": "mean" if observed is None else observed,
            **ends(found, "mean_ap"),
            "seeds": found.seeds,
            "learned_parameters": counts.pop() if len(counts) == 1 else "",
            **dict.fromkeys(OTHER_METRICS),
            **self.other_metrics_of(method, observed),
        }

    def sides_at_start(self) -> list[tuple[str, str]]:
        """(method, "presence" or "absence") of trained methods with a side that stayed at its start in some run."""
        return [
            (method, side)
            for row, (method, counts) in enumerate(zip(self.methods, self.learned, strict=True))
            for side in ("presence", "absence")
            if self.other_metrics
            and max(counts)
            and (self.other_metrics[f"{side}_displacement"][row] < LEAST_DISPLACEMENT).any()
        ]

    def comparisons(self, reference: str) -> list[Comparison]:
        """Every other method minus the reference, for every one of `columns`."""
        table = [
            (self.contrast({method: 1.0, reference: -1.0}, fraction), method, reference, fraction)
            for method, fraction in product(self.methods, self.columns)
            if method != reference
        ]
        return corrected(Comparison, table)

    def _mean_weights(self, method: str, observed: Observed | None) -> NDArray[np.float64]:
        """(M, F) weights of a mean."""
        chosen = np.array([observed is None or fraction == observed for fraction in self.observed], dtype=np.float64)
        own = np.array([name == method for name in self.methods], dtype=np.float64)
        return np.outer(own, chosen / chosen.sum())

    def _estimate(self, weights: NDArray[np.float64]) -> Estimate:
        """The estimate of a weighted sum of cells; weights are (M, F)."""
        used = weights.reshape(-1).nonzero()[0]
        scores, resampled = (part.reshape(-1, *part.shape[2:])[used] for part in (self.scores, self.resampled))
        return estimate(scores, resampled, weights.reshape(-1)[used], alike=self._alike(weights))

    def _alike(self, weights: NDArray[np.float64]) -> Alike:
        """The same sum of other methods, and where it is of one fraction, of other fractions."""
        methods, fractions = weights.shape
        chance = np.random.default_rng(0)
        orders = [np.arange(methods), *(chance.permutation(methods) for _ in range(PERMUTED))]
        turns = range(fractions if (weights != 0).any(axis=0).sum() == 1 else 1)
        sums = np.unique([np.roll(weights[order], turn, axis=1) for order in orders for turn in turns], axis=0)
        sums = sums[[one[one != 0][:1].sum() > 0 for one in sums]]  # b − a says nothing that a − b does not
        of_differences = bool(np.isclose(weights.sum(), 0))  # of M methods, M − 1 differences are independent
        return Alike(np.einsum("vmf,mfk->vk", sums, self.scores), (methods - of_differences) * len(turns))
