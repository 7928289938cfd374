"""Unfinished trainings, kept in a file beside what they will write."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from promptmlr import files
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["load_unfinished", "save_unfinished"]


def save_unfinished(
    partial: Path,
    student: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    config: "DataclassInstance",
    done: int,
) -> None:
    """Keep a training after `done` steps.

    Raises:
        EnvironmentFault: `partial` cannot be written.
    """
    state = {"pupil": student.state_dict(), "optimizers": [each.state_dict() for each in optimizers]}
    with files.replacing(partial) as file:
        torch.save(state | {"config": asdict(config), "done": done}, file)


def load_unfinished(
    partial: Path | None, student: nn.Module, optimizers: Sequence[torch.optim.Optimizer], config: "DataclassInstance"
) -> int:
    """Steps that are done already, of which student and optimizers get the state.

    Raises:
        UserError: the training was begun with other settings.
    """
    if partial is None or not partial.exists():
        return 0
    state = torch.load(partial, weights_only=True)
    if state["config"] != asdict(config):
        raise UserError(f"{partial} was begun with other settings: delete it, or give those settings again")
    student.load_state_dict(state["pupil"])
    for each, kept in zip(optimizers, state["optimizers"], strict=True):
        each.load_state_dict(kept)
    return int(state["done"])
