"""How labels go missing in life, by name: the table `PATTERNS`, a file each."""

from importlib import import_module

from promptmlr.labels.patterns.base import Pattern, Sizes, Truth, propensities

__all__ = ["PATTERNS", "Pattern", "Sizes", "Truth", "propensities"]

_MODULES = (  # the place of each seeds its random numbers: a new one comes last
    "federated",
    "report",
    "salient",
    "annotators",
    "candidates",
)

PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern for pattern in (import_module(f"{__name__}.{module}").PATTERN for module in _MODULES)
}
