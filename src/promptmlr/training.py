"""The training loop, `fit`.

Regions come from a `RegionSource`, labels are (N, C) int8 with −1 for unknown; the recognizer's learned tensors are
changed in place. All randomness follows from seeds and the epoch, so a run that was interrupted between two epochs
continues to the same weights. Several processes (`promptmlr.processes`) share out the images of every batch: logits are
gathered, so that all have the same loss, and the gradients of each one's images are summed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.errors import UserError
from promptmlr.exact import exact_dtype
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.losses import LOSSES
from promptmlr.processes import gathered_rows, processes, sum_gradients
from promptmlr.profiling import each, part
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer, Vectors, joint_logits, joint_vectors
from promptmlr.regions import RegionSource, SelectedRegions, shards_of, shared_batches
from promptmlr.sampling import epoch_order
from promptmlr.threads import threads_for
from promptmlr.unknown import unknown_cost

__all__ = ["EpochReport", "Prior", "TrainingRun", "TrainingState", "epoch_order", "fit", "fit_runs", "rate_factor"]

MAPS_IN_CACHE = 2**22
"""Largest size of a map (B, columns, R), in bytes, for which runs are trained side by side on a CPU."""


@dataclass(frozen=True)
class EpochReport:
    """The metrics of an epoch: one line of `metrics.jsonl`."""

    epoch: int  # from 1
    epochs: int
    loss: float  # weighted, per image
    seconds: float  # of all runs that were trained together
    score: float | None = None  # of the selection, in 0..1
    rates: Mapping[str, float] = field(default_factory=dict)  # of the epoch, by learned tensor


@dataclass
class TrainingState:
    """Everything that a later `fit` needs to continue as if it had not been interrupted."""

    epoch: int = 0  # finished epochs
    learned: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)  # "<tensor>/<quantity>"
    best_epoch: int = 0
    best_score: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)  # learned tensors of the best epoch, under a selection


@dataclass(frozen=True)
class Prior:
    """A Gaussian prior around the start of class vectors; its weight falls as the number of labels grows.

    The penalty of a class is λ/2 · exp(2 · log_scale) · Σ over both sides of ‖v − v₀‖² / ‖v₀‖²: L2-SP (Li, Grandvalet
    and Davoine, 2018) on a vector's contribution to the log odds, so that λ does not depend on the scale of margins.
    It is added to the *sum* of the costs of all labels, so the minimum is the maximum a posteriori estimate.

    Attributes:
        start: (C, V) class vectors of the presence and of the absence side.
        strength: λ, (C,) or a number for all classes; infinity keeps the start.
    """

    start: Vectors
    strength: float | Tensor

    @property
    def infinite(self) -> bool:
        """Whether all vectors are fixed."""
        return not isinstance(self.strength, Tensor) and math.isinf(self.strength)

    @classmethod
    def of(cls, recognizer: Recognizer, strength: float | Tensor) -> "Prior":
        """A prior around the current vectors of a recognizer."""
        presence, absence = joint_vectors([recognizer])
        return cls((presence.detach().clone(), absence.detach().clone()), strength)


@dataclass
class TrainingRun:
    """One recognizer in training; it may share its region batches with others.

    Attributes:
        recognizer: changed in place; at the end it holds the tensors of the last epoch, or of the best under selection.
        labels: (N, C) int8.
        recipe: rates, epochs, batch size, loss weight.
        state: training state of an interrupted run.
        prior: of its class vectors; None is no prior.
        costly: (C,) bool, the classes whose unknown labels have the recipe's cost; None means all.
    """

    recognizer: Recognizer
    labels: Labels
    recipe: Recipe
    state: TrainingState = field(default_factory=TrainingState)
    prior: Prior | None = None
    costly: NDArray[np.bool_] | None = None


def fit(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    *,
    order_seed: int = 0,
    score: Callable[[Recognizer], float] | None = None,
    state: TrainingState | None = None,
    prior: Prior | None = None,
    costly: NDArray[np.bool_] | None = None,
    on_epoch: Callable[[EpochReport, TrainingState], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainingState:
    """Train the learned tensors of one recognizer on the known labels: `fit_runs` with a single run.

    Args:
        recognizer: see `TrainingRun`; so are `labels`, `recipe` and `state`.
        source: regions of N images.
        labels: see `recognizer`.
        recipe: see `recognizer`.
        order_seed: of the order of images in each epoch.
        score: called with the folded recognizer after every epoch, higher is better; None keeps the last epoch.
        state: see `recognizer`.
        prior: see `recognizer`.
        costly: see `recognizer`.
        on_epoch: called after every epoch with its report and the state to save.
        on_step: called with finished and planned steps of the epoch.

    Returns:
        The state after the last epoch.
    """
    run = TrainingRun(recognizer, labels, recipe, state or TrainingState(), prior, costly)
    scores = None if score is None else lambda folded: [score(folded[0])]

    def after(reports: Sequence[EpochReport]) -> None:
        if on_epoch is not None:
            on_epoch(reports[0], run.state)

    fit_runs([run], source, order_seed=order_seed, score=scores, on_epoch=after, on_step=on_step)
    return run.state


def fit_runs(
    runs: Sequence[TrainingRun],
    source: RegionSource,
    *,
    order_seed: int = 0,
    score: Callable[[Sequence[Recognizer]], Sequence[float]] | None = None,
    on_epoch: Callable[[Sequence[EpochReport]], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train several runs of one method over the same batches of regions, with the same result as one by one.

    Classes are independent, so T runs over C classes are T·C columns of one product. Labels, starts, rates and loss
    weights may differ between runs. All runs share the order of images and their views, so the spread over seeds does
    not include the effect of the order.

    Args:
        runs: of recognizers with the same kinds of sides, and recipes of one batch size and number of epochs.
        source: regions of N images.
        order_seed: of the order of images in each epoch.
        score: called with all folded recognizers after every epoch, higher is better; each run keeps its own best
            epoch. None keeps the last.
        on_epoch: called after every epoch with one report per run; the states to save are in the runs.
        on_step: called with finished and planned steps of the epoch.

    Raises:
        ValueError: the runs cannot be trained together.
        UserError: the loss is no longer a finite number.
    """
    recipe = _common_recipe(runs)
    if all(run.prior is not None and run.prior.infinite for run in runs):
        return
    runs, source = _informative_images(runs, source)
    informative = _informative(runs)
    members = [_Member(run) for run in runs]
    stacks: list[_Stack] = []
    with ExitStack() as threads:
        for epoch in range(runs[0].state.epoch, recipe.epochs):
            begin = time.perf_counter()
            for member in members:
                member.set_rates(epoch)
            plan = epoch_order(len(source), recipe.batch_size, order_seed, epoch, shards_of(source, epoch))
            batches = shared_batches(source, [batch[informative[batch]] for batch in plan], epoch)
            for step, (indices, counts, regions) in enumerate(each("waiting for regions", batches), 1):
                if not stacks:
                    stacks = _stacks(members, regions, len(indices))
                    threads.enter_context(threads_for(2 * regions.numel() * max(sum(stack.sizes) for stack in stacks)))
                rows = torch.from_numpy(indices).to(regions.device, non_blocking=True)
                for stack in stacks:
                    stack.step(regions, counts, rows, len(indices) / len(source), epoch / recipe.epochs)
                if on_step is not None:
                    on_step(step, len(plan))
            losses = [loss / len(source) for stack in stacks for loss in stack.take_losses()]
            if not all(map(math.isfinite, losses)):
                raise UserError(
                    f"training diverged in epoch {epoch + 1} (its loss is not finite); lower the recipe's rates"
                )
            with part("selection"):
                scores = [None] * len(runs) if score is None else score([run.recognizer.fold() for run in runs])
                for member, value in zip(members, scores, strict=True):
                    member.finish_epoch(epoch + 1, value)
            seconds = time.perf_counter() - begin
            if on_epoch is not None:
                on_epoch(
                    [
                        EpochReport(epoch + 1, recipe.epochs, loss, seconds, score, member.rates())
                        for member, loss, score in zip(members, losses, scores, strict=True)
                    ]
                )
    for member in members:
        member.load_best()


def _informative_images(
    runs: Sequence[TrainingRun], source: RegionSource
) -> tuple[Sequence[TrainingRun], RegionSource]:
    """For runs with a prior, only images with a known label in some run, so that steps grow with labels."""
    useful = np.flatnonzero(_informative(runs))
    if runs[0].prior is None or len(useful) == len(source):
        return runs, source
    return [replace(run, labels=run.labels[useful]) for run in runs], SelectedRegions(source, useful)


def _informative(runs: Sequence[TrainingRun]) -> NDArray[np.bool_]:
    """(N,) whether an image can change a gradient: without a known label it cannot where unknown ones cost nothing."""
    known = np.any([(run.labels != UNKNOWN).any(axis=1) for run in runs], axis=0)
    costs_nothing = all(run.recipe.unknown in ("auto", "ignore") for run in runs)
    return known if costs_nothing and known.any() else np.ones_like(known)


class _Member:
    """A run, its learned tensors and their optimizer."""

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self.parameters = dict(run.recognizer.named_parameters())
        self.optimizer = _optimizer(run.recognizer, run.recipe, still=run.prior is not None and run.prior.infinite)
        if run.state.epoch:
            _restore(self.parameters, self.optimizer, run.state)

    def set_rates(self, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.run.recipe, group["base_rate"], epoch)

    def rates(self) -> dict[str, float]:
        groups = self.optimizer.param_groups
        return {name: group["lr"] for name, group in zip(self.parameters, groups, strict=True)}

    def finish_epoch(self, epoch: int, score: float | None) -> None:
        """Bring the state up to date."""
        state = self.run.state
        state.epoch = epoch
        state.learned = _copies(self.parameters)
        state.optimizer = _optimizer_tensors(self.parameters, self.optimizer)
        if score is not None and score > state.best_score:
            state.best_epoch, state.best_score, state.best = epoch, score, state.learned

    def load_best(self) -> None:
        if self.run.state.best:
            _load(self.parameters, self.run.state.best)


class _Stack:
    """Members that are trained as one product: their labels (N, ΣC) and loss weights (ΣC,) side by side."""

    def __init__(self, members: Sequence[_Member], device: torch.device) -> None:
        runs = [member.run for member in members]
        self.members = members
        self.recognizers = [run.recognizer for run in runs]
        self.sizes = [run.labels.shape[1] for run in runs]
        self.labels = torch.from_numpy(np.concatenate([run.labels for run in runs], axis=1)).to(device)
        weights = np.repeat([run.recipe.loss_weight for run in runs], self.sizes)
        self.weights = torch.from_numpy(weights).to(device, next(runs[0].recognizer.parameters()).dtype)
        self.total = torch.zeros(sum(self.sizes), device=device, dtype=exact_dtype(device))
        self.cost_of_known = LOSSES[runs[0].recipe.loss].cost
        self.unknown = "ignore" if runs[0].recipe.unknown == "auto" else runs[0].recipe.unknown
        costly = [np.ones(run.labels.shape[1]) if run.costly is None else run.costly for run in runs]
        self.costly = torch.from_numpy(np.concatenate(costly)).to(self.weights)
        self.prior = _joint_prior(runs)
        self.has_priors = self.prior is not None or runs[0].recognizer.scaling is not None
        if self.prior is not None:
            squares = [start.square().sum(dim=1) for start in self.prior.start]
            self.sizes_of_starts = [torch.where(size > 0, size, torch.ones_like(size)) for size in squares]

    def step(self, regions: Tensor, counts: Sequence[int], rows: Tensor, share: float, progress: float) -> None:
        """One step of every member.

        Args:
            regions: (B', R, D) of this process's part of a batch; in one process, that is all of it.
            counts: B' of every process; their sum is B.
            rows: (B,) indices of all its images.
            share: of all images in the batch, by which the priors are weighted.
            progress: of training, 0 to 1.
        """
        with part("maps and loss, forward"):
            vectors = joint_vectors(self.recognizers)
            logits = gathered_rows(joint_logits(self.recognizers, regions, vectors), counts)
            cost = self._cost(logits, self.labels[rows], progress).sum(0) * self.weights
            loss = cost.sum()
            if self.has_priors:
                loss = loss + share / processes() * self._priors(vectors)
        for member in self.members:
            member.optimizer.zero_grad(set_to_none=True)
        with part("maps and loss, backward"):
            loss.backward()
            sum_gradients([tensor for member in self.members for tensor in member.parameters.values()])
        with part("optimizer"):
            for member in self.members:
                member.optimizer.step()
        self.total += cost.detach()

    def _cost(self, logits: Tensor, labels: Tensor, progress: float) -> Tensor:
        """(B, ΣC) costs of known labels, and of unknown ones if they have a cost."""
        cost = self.cost_of_known(logits, labels)
        if self.unknown == "ignore":
            return cost
        parts = zip(logits.split(self.sizes, dim=2), labels.split(self.sizes, dim=1), strict=True)
        unknown = torch.cat([unknown_cost(*own, self.unknown, progress) for own in parts], dim=1)
        return cost + unknown * self.costly

    def _priors(self, vectors: Vectors) -> Tensor:
        """−log of all members' priors, up to a constant."""
        scalings = [recognizer.scaling for recognizer in self.recognizers if recognizer.scaling is not None]
        total = sum((scaling.penalty() for scaling in scalings), torch.zeros((), device=self.weights.device))
        if self.prior is None:
            return total
        moved = torch.zeros_like(self.weights)
        for side, start, size in zip(vectors, self.prior.start, self.sizes_of_starts, strict=True):
            moved = moved + (side - start).square().sum(dim=1) / size
        if scalings:
            moved = moved * (2 * torch.cat([scaling.log_scale for scaling in scalings])).exp()
        return total + (self.prior.strength * moved).sum() / 2

    def take_losses(self) -> list[float]:
        """Each member's loss, summed since the last call."""
        losses = [float(part.sum()) for part in self.total.cpu().split(self.sizes)]
        self.total.zero_()
        return losses


def _joint_prior(runs: Sequence[TrainingRun]) -> Prior | None:
    """The priors of all runs as one over their classes side by side."""
    priors = [run.prior for run in runs if run.prior is not None]
    if not priors:
        return None
    presence, absence = (torch.cat([prior.start[side] for prior in priors]) for side in (0, 1))
    # Fixed vectors have no penalty, because infinity times zero is NaN.
    numbers = [0.0 if prior.infinite else prior.strength for prior in priors]
    strengths = [
        torch.as_tensor(number).to(presence).expand(len(prior.start[0]))
        for number, prior in zip(numbers, priors, strict=True)
    ]
    return Prior((presence, absence), torch.cat(strengths))


def _stacks(members: Sequence[_Member], regions: Tensor, images: int) -> list[_Stack]:
    """Members grouped so that the maps of a group, of so many images, fit the cache; on a GPU, one group."""
    if regions.device.type != "cpu":
        return [_Stack(members, regions.device)]
    per_column = images * regions.shape[1] * regions.element_size()
    stacks: list[list[_Member]] = [[]]
    room = MAPS_IN_CACHE
    for member in members:
        size = member.run.labels.shape[1] * per_column
        if stacks[-1] and size > room:
            stacks.append([])
            room = MAPS_IN_CACHE
        stacks[-1].append(member)
        room -= size
    return [_Stack(stack, regions.device) for stack in stacks]


def _common_recipe(runs: Sequence[TrainingRun]) -> Recipe:
    """The first recipe, after a check that all runs can share batches, epochs and products."""

    def shape(run: TrainingRun) -> tuple[object, ...]:
        recognizer, recipe = run.recognizer, run.recipe
        kinds = type(recognizer.presence), type(recognizer.absence), recognizer.weighting, recognizer.pooling
        costs = recipe.loss, recipe.unknown, recognizer.scaling is None, run.prior is None
        return (*kinds, *costs, recipe.batch_size, recipe.epochs, run.state.epoch, len(run.labels))

    if len({shape(run) for run in runs}) != 1:
        raise ValueError(
            "runs that are trained together need one method, loss, batch size, number of epochs and of images"
        )
    return runs[0].recipe


def rate_factor(epoch: int, epochs: int, warmup_epochs: int) -> float:
    """Cosine from 1 towards 0 over `epochs`, counted from the end of the warm-up and stepped per epoch.

    As `build_lr_scheduler` of Dassl (dassl/optim/lr_scheduler.py), which the released code uses: the cosine's period
    is all epochs, so after a warm-up it ends a little above zero.
    """
    return (1 + math.cos(math.pi * max(epoch - warmup_epochs, 0) / epochs)) / 2


def _rate(recipe: Recipe, base_rate: float, epoch: int) -> float:
    if not base_rate:
        return 0.0
    if epoch < recipe.warmup_epochs:
        return base_rate / 100 if recipe.warmup_rate is None else recipe.warmup_rate
    return base_rate * rate_factor(epoch, recipe.epochs, recipe.warmup_epochs)


def _optimizer(recognizer: Recognizer, recipe: Recipe, still: bool = False) -> torch.optim.Optimizer:
    """One parameter group per tensor, with the rate that its side or scaling names."""

    def base_rate(name: str) -> float:
        owner, tensor = name.split(".")[:2]
        rate: float = getattr(recipe, getattr(recognizer, owner).rates[tensor])
        return 0.0 if still else rate

    groups = [
        {"params": [tensor], "lr": 0.0, "base_rate": base_rate(name)} for name, tensor in recognizer.named_parameters()
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
