"""`fit`: the training loop, to be read from top to bottom.

Regions come from a `RegionSource`, labels are (N, C) int8 with −1 for unknown; the recognizer's learned tensors are
changed in place. Everything random follows from seeds and the epoch, so a run that was interrupted between two epochs
goes on to the same weights.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from promptmlr.functional import asymmetric_loss
from promptmlr.labels import Labels
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import Indices, RegionSource

__all__ = ["EpochReport", "TrainingState", "epoch_order", "fit", "rate_factor"]


@dataclass(frozen=True)
class EpochReport:
    """What is known after an epoch: one line of `metrics.jsonl`."""

    epoch: int  # from 1
    epochs: int
    loss: float  # weighted, per image
    seconds: float
    score: float | None = None  # of the selection, in 0..1


@dataclass
class TrainingState:
    """All that a later `fit` needs to go on as if it had never stopped."""

    epoch: int = 0  # finished epochs
    learned: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)  # "<tensor>/<quantity>"
    best_epoch: int = 0
    best_score: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)  # learned tensors of the best epoch, under a selection


def fit(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    *,
    order_seed: int = 0,
    score: Callable[[Recognizer], float] | None = None,
    state: TrainingState | None = None,
    on_epoch: Callable[[EpochReport, TrainingState], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainingState:
    """Train the learned tensors of a recognizer on the known labels.

    Args:
        recognizer: changed in place; at the end it holds the last epoch's tensors, or with `score` the best epoch's.
        source: regions of N images.
        labels: (N, C) int8.
        recipe: rates, epochs, batch size, loss weight.
        order_seed: of the order of images in each epoch.
        score: called with the folded recognizer after every epoch, higher is better; None keeps the last epoch.
        state: where an interrupted run stood.
        on_epoch: called after every epoch with its report and the state to save.
        on_step: called with finished and planned steps of the epoch.

    Returns:
        The state after the last epoch.
    """
    parameters = dict(recognizer.named_parameters())
    optimizer = _optimizer(parameters, recipe)
    state = state or TrainingState()
    if state.epoch:
        _restore(parameters, optimizer, state)
    known = torch.from_numpy(labels).to(next(recognizer.parameters()).device)

    for epoch in range(state.epoch, recipe.epochs):
        begin = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, group["base_rate"], epoch)
        plan = epoch_order(len(source), recipe.batch_size, order_seed, epoch)
        total = torch.zeros((), device=known.device, dtype=torch.float64)
        for step, (indices, regions) in enumerate(source.batches(plan, epoch), start=1):
            logits = recognizer(regions)
            loss = recipe.loss_weight * asymmetric_loss(logits, known[torch.from_numpy(indices)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            if on_step is not None:
                on_step(step, len(plan))

        state.epoch = epoch + 1
        state.learned = _copies(parameters)
        state.optimizer = _optimizer_tensors(parameters, optimizer)
        value = None if score is None else score(recognizer.fold())
        if value is not None and value > state.best_score:
            state.best_epoch, state.best_score, state.best = state.epoch, value, state.learned
        if on_epoch is not None:
            seconds = time.perf_counter() - begin
            on_epoch(EpochReport(state.epoch, recipe.epochs, float(total) / len(source), seconds, value), state)

    if state.best:
        _load(parameters, state.best)
    return state


def epoch_order(count: int, batch_size: int, order_seed: int, epoch: int) -> list[Indices]:
    """Batches of a seeded permutation of 0 … count − 1; the last one may be smaller."""
    order = np.random.default_rng([order_seed, epoch]).permutation(count)
    return [order[begin : begin + batch_size] for begin in range(0, count, batch_size)]


def rate_factor(epoch: int, epochs: int, warmup_epochs: int) -> float:
    """Cosine from 1 towards 0 over `epochs`, counted from the end of the warm-up and stepped per epoch.

    As `build_lr_scheduler` of Dassl (dassl/optim/lr_scheduler.py), which the released code uses: the cosine's period
    is all epochs, so after a warm-up it ends a little above zero.
    """
    return (1 + math.cos(math.pi * max(epoch - warmup_epochs, 0) / epochs)) / 2


def _rate(recipe: Recipe, base_rate: float, epoch: int) -> float:
    if epoch < recipe.warmup_epochs:
        return base_rate / 100 if recipe.warmup_rate is None else recipe.warmup_rate
    return base_rate * rate_factor(epoch, recipe.epochs, recipe.warmup_epochs)


def _optimizer(parameters: Mapping[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """One group per tensor, at the rate of its kind: contexts, vectors in the feature space, linear layers."""
    rates = {
        "context": recipe.context_rate,
        "offset": recipe.embedding_rate,
        "embedding": recipe.embedding_rate,
        "projector": recipe.linear_rate,
    }
    groups = [
        {"params": [tensor], "lr": rates[name.split(".")[1]], "base_rate": rates[name.split(".")[1]]}
        for name, tensor in parameters.items()
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(groups, lr=0.0, weight_decay=recipe.weight_decay)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _optimizer_tensors(parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    flat = {
        f"{name}/{quantity}": value
        for name, tensor in parameters.items()
        for quantity, value in optimizer.state[tensor].items()
        if isinstance(value, Tensor)
    }
    return _copies(flat)


def _load(parameters: Mapping[str, Tensor], learned: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(learned[name])


def _restore(parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
    _load(parameters, state.learned)
    for key, value in state.optimizer.items():
        name, quantity = key.rsplit("/", 1)
        tensor = parameters[name]
        device = "cpu" if quantity == "step" else tensor.device
        optimizer.state[tensor][quantity] = value.to(device).clone()
