"""`prior.json` of a run folder: the zero-shot that a run began at, and how strongly that held."""

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from promptmlr.platt import PlattScaling

__all__ = ["COLUMNS", "Level", "PriorRecord"]

Level = Literal["labels", "loss", "share", "assumed", "tower"]
"""What says how probable classes are on the whole: labels of both kinds; the cost of unknown ones; a person; or,
without any label, the share that is assumed, or that a tower trained with a sigmoid loss gives."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
COLUMNS = ("log_scale", "shift", "centre", "prior_log_scale", "prior_shift")


class PriorRecord(BaseModel):
    """`prior.json` of a run folder: the zero-shot it begins at, and how strongly that holds.

    Attributes:
        strength: λ (`promptmlr.training.Prior`); "infinite" leaves the calibrated zero-shot as it is.
        costs: mean cost of a known label out of fold, in nats, by strength; empty where none was chosen.
        log_scale: C, of the zero-shot's margin (`PlattScaling`).
        shift: C, log odds at `centre`.
        centre: C, mean margin of unlabelled images.
        prior_log_scale: C, what classes like these have before their own labels are seen.
        prior_shift: C, the same.
        common: what all classes share; lines of classes to come follow from it (`CommonScaling`).
        unknown: what unknown labels cost, in `ticked` classes.
        ticked: C.
        level: where it comes from how probable classes are on the whole.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strength: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["infinite"]
    costs: dict[str, Finite]
    log_scale: tuple[Finite, ...]
    shift: tuple[Finite, ...]
    centre: tuple[Finite, ...]
    prior_log_scale: tuple[Finite, ...]
    prior_shift: tuple[Finite, ...]
    common: dict[str, Finite]
    unknown: str
    ticked: tuple[bool, ...]
    level: Level

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({len(getattr(self, name)) for name in (*COLUMNS, "ticked")}) != 1:
            raise ValueError("its columns have different numbers of classes")
        return self

    @property
    def lambda_(self) -> float:
        """The strength as a number."""
        return math.inf if self.strength == "infinite" else self.strength

    @property
    def line(self) -> tuple[float, float]:
        """Log scale and shift of a margin that all classes have in common."""
        log_scale = self.common["log_scale"]
        return log_scale, self.common["shift"] - math.exp(log_scale) * self.common["mean"]

    def scaling(self) -> PlattScaling:
        """Of the zero-shot."""
        return PlattScaling(*(torch.tensor(getattr(self, name)) for name in COLUMNS))
