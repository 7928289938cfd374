"""Which of the known labels training sees."""

from dataclasses import dataclass, field
from pathlib import Path

from promptmlr.errors import UserError
from promptmlr.options.base import FROM_ZERO, MAY_BE_EMPTY, Options

__all__ = ["HidingOptions", "MaskOptions"]


@dataclass(frozen=True)
class HidingOptions(Options):
    """Hides known labels, to measure what fewer labels achieve.

    Attributes:
        observed: Keep each known label with this probability and hide the others; 1 hides nothing. Or single-positive:
            one present label per image, chosen at random. Or positive-only:P: each present label with probability P. Or
            as people label: federated, report, salient:P, annotators:P or candidates:P, where P is the share of the
            known labels that is kept. (default: 1)
        labels: Keep this many of the known labels, chosen at random, instead of --observed.
        seed: Random seed for which labels are hidden and for initial values.
    """

    observed: str | None = None
    labels: int | None = None
    seed: int = field(default=0, metadata=FROM_ZERO)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.observed is not None and self.labels is not None:
            raise UserError("--observed and --labels both say which labels are hidden; give one of them")

    @property
    def given(self) -> str | None:
        """The option that hides labels."""
        return "--observed" if self.observed is not None else None if self.labels is None else "--labels"


@dataclass(frozen=True)
class MaskOptions(HidingOptions):
    """The same, or a mask from a file.

    Attributes:
        mask: File that says which labels are kept, instead of --observed: the released code's .pt, a .npy or a .csv.
        unknown_code: How 'unknown' is written in the labels of a --mask CSV; '' if such cells are blank.
    """

    mask: Path | None = None
    unknown_code: str | None = field(default=None, metadata=MAY_BE_EMPTY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask is None and self.unknown_code is not None:
            raise UserError("--unknown-code is about a --mask, and there is none")
