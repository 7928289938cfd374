"""`prior.json` of a run folder: the zero-shot that a run started from, and the strength of the prior around it."""

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from promptmlr.platt import PlattScaling

__all__ = ["COLUMNS", "Level", "PriorRecord"]

Level = Literal["labels", "loss", "share", "assumed", "tower"]
"""What determines the overall level of probabilities: labels of both kinds; the cost of unknown labels; a prevalence
given by the user; or, without any label, an assumed prevalence or that of a tower trained with a sigmoid loss."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
COLUMNS = ("log_scale", "shift", "centre", "prior_log_scale", "prior_shift")


class PriorRecord(BaseModel):
    """`prior.json` of a run folder: the zero-shot that the run starts from, and the strength of the prior around it.

    Attributes:
        strength: λ (`promptmlr.training.Prior`); "infinite" keeps the calibrated zero-shot.
        costs: strength → mean cost of a known label out of fold, in nats; empty if no strength was chosen.
        log_scale: C log scales of the zero-shot's margin (`PlattScaling`).
        shift: C log odds at `centre`.
        centre: C mean margins of unlabelled images.
        prior_log_scale: C prior means of `log_scale`, before labels of the class are seen.
        prior_shift: C prior means of `shift`.
        common: the scaling that all classes share, for classes added later (`CommonScaling`).
        unknown: the cost of unknown labels in `costly` classes.
        costly: C, whether unknown labels of the class have that cost.
        level: what determines the overall level of probabilities.
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
    costly: Annotated[tuple[bool, ...], Field(validation_alias=AliasChoices("costly", "ticked"))]  # its older name
    level: Level

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({len(getattr(self, name)) for name in (*COLUMNS, "costly")}) != 1:
            raise ValueError("its columns have different numbers of classes")
        return self

    @property
    def lambda_(self) -> float:
        """The strength as a number."""
        return math.inf if self.strength == "infinite" else self.strength

    @property
    def line(self) -> tuple[float, float]:
        """Log scale and shift that all classes share."""
        log_scale = self.common["log_scale"]
        return log_scale, self.common["shift"] - math.exp(log_scale) * self.common["mean"]

    def scaling(self) -> PlattScaling:
        """The scaling of the zero-shot."""
        return PlattScaling(*(torch.tensor(getattr(self, name)) for name in COLUMNS))
