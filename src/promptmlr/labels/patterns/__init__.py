"""How labels go missing in life, by name: the table `PATTERNS`, a file each."""

from promptmlr.labels.patterns import annotators, candidates, federated, report, salient
from promptmlr.labels.patterns.base import Pattern, Sizes, Truth, propensities

__all__ = ["PATTERNS", "Pattern", "Sizes", "Truth", "propensities"]

_MODULES = (
    federated,
    report,
    salient,
    annotators,
    candidates,
)

PATTERNS: dict[str, Pattern] = {module.PATTERN.name: module.PATTERN for module in _MODULES}
