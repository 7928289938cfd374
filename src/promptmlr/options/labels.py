"""Which of the known labels training sees."""

from dataclasses import dataclass, field
from pathlib import Path

from promptmlr.errors import UserError
from promptmlr.options.base import FROM_ZERO, MAY_BE_EMPTY, Options

__all__ = ["HidingOptions", "MaskOptions"]


@dataclass(frozen=True)
class HidingOptions(Options):
    """Hide known labels, to see what fewer would do.

    Attributes:
        observed: Keep each known label with this probability and hide the others; 1 hides nothing. Or single-positive:
            of each image one present label, at random; or positive-only:P: each present label with probability P.
            (default: 1)
        labels: Instead of --observed: keep this many of the known labels, chosen at random.
        seed: Seed of what is drawn: which labels are hidden, and where training starts.
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
    """The same, or a mask that was drawn elsewhere.

    Attributes:
        mask: Which labels are kept, from a file instead of --observed: the released code's .pt, a .npy or a .csv.
        unknown_code: How a --mask CSV of labels writes 'unknown'; '' where such cells are blank.
    """

    mask: Path | None = None
    unknown_code: str | None = field(default=None, metadata=MAY_BE_EMPTY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask is None and self.unknown_code is not None:
            raise UserError("--unknown-code is about a --mask, and there is none")
