"""The cost of training per method, as released and as here: the paper's Table 2, split into its parts.

Letters: B images of a batch, C classes, M context tokens, W text width, D feature width, N images of a data set.
Costs do not depend on values, so weights, images and labels may be random.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from promptmlr.backbone import Backbone, bare_backbone, bare_model, tower_dtypes
from promptmlr.functional import asymmetric_loss
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.cost import released
from promptmlr.paper.cost.counting import count_flops, peak_bytes, seconds_now
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.reporting import Reporter
from promptmlr.sides import PromptSide
from promptmlr.training import fit

__all__ = ["RELEASED_METHODS", "Cost", "CostSetting", "Way", "image_flops", "measure_costs"]

Way = Literal["as released", "as here"]

RELEASED_METHODS = ("baseline", "dualcoop", "negativecoop", "positivecoop")
RUNS = 3  # timed steps, after one for warm-up
ENOUGH_SECONDS = 30.0  # after which a step is not timed again


@dataclass(frozen=True)
class CostSetting:
    """The setting of a measurement.

    Attributes:
        backbone: a name as for `load_backbone`; weights of open_clip's models are random.
        class_names: C names.
        batch_size: B.
        context_length: M.
        images: N of the data set for which total time is projected.
        image_size: S in pixels; None is the size the backbone was trained at.
        device: where.
    """

    backbone: str
    class_names: tuple[str, ...]
    batch_size: int
    context_length: int
    images: int
    image_size: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Cost:
    """The cost of one method trained in one way; FLOPs are of one step on a batch, forward and backward.

    Attributes:
        method: a name of `METHODS`.
        way: "as released": the images go through the image tower in every step, texts at all 77 positions. "as here":
            regions are extracted once, texts share their prefix and are cut at the longest one.
        learned: number of learned parameters.
        image_flops: of the image tower.
        text_flops: of the text tower.
        head_flops: of maps, aggregation and loss, for matrix products and convolutions alone.
        step_seconds: median of `RUNS` steps, or of fewer once they have taken `ENOUGH_SECONDS`.
        least_seconds: the shortest of them.
        most_seconds: the longest.
        memory_bytes: peak of a step without weights, images and labels (`peak_bytes`).
        epochs: of the recipe, `released` or `default`.
        encoding_seconds: of encoding N images once before training; 0 as released, where every step encodes.
        encoding_flops: the same in FLOPs.
        total_seconds: projected seconds of encoding and of all steps of all epochs.
    """

    method: str
    way: Way
    learned: int
    image_flops: int
    text_flops: int
    head_flops: int
    step_seconds: float
    least_seconds: float
    most_seconds: float
    memory_bytes: int
    epochs: int
    encoding_seconds: float
    encoding_flops: int
    total_seconds: float

    @property
    def step_flops(self) -> int:
        """FLOPs of the whole step."""
        return self.image_flops + self.text_flops + self.head_flops


@dataclass(frozen=True)
class _Measured:
    """Measurements of one method trained in one way, before projection to a data set."""

    learned: int
    flops: tuple[int, int, int]  # image, text, head
    seconds: list[float]
    memory: int


def measure_costs(setting: CostSetting, reporter: Reporter | None = None) -> tuple[list[Cost], Backbone]:
    """Measure every trained method, as released (where its code exists and takes the backbone) and as here.

    Returns:
        The costs, and the backbone that "as here" was measured on.

    Raises:
        UserError: a backbone, size, device or context that cannot be used.
    """
    reporter = reporter or Reporter()
    dtype, text_dtype = tower_dtypes("auto", setting.device)
    backbone = bare_backbone(setting.backbone, setting.image_size, setting.device, dtype=dtype, text_dtype=text_dtype)
    batch = _Batch(setting, backbone)
    clip = bare_model(setting.backbone).to(backbone.device)
    ways: list[Way] = ["as here"]
    if released.has_released_tower(clip):
        ways.insert(0, "as released")
        released.open_text_tower(clip)
    else:
        reporter.note("the released code supports ResNets only, so nothing is measured as released with this backbone")
    methods = [name for name, row in METHOD_TABLE.items() if row.trained]
    pairs = [(m, way) for m in methods for way in ways if way == "as here" or m in RELEASED_METHODS]
    encoding = batch.encoding(backbone)
    costs = []
    with reporter.progress("measuring") as say:
        for done, (method, way) in enumerate(pairs):
            say(done, len(pairs))
            recipe = _recipe(method, way, setting)
            if way == "as here":
                measured = _measure_here(method, recipe, backbone, batch)
            else:
                measured = _measure_released(method, recipe, backbone, clip, batch)
            costs.append(_projected(method, way, measured, encoding, recipe, setting))
        say(len(pairs), len(pairs))
    return costs, backbone


class _Batch:
    """Random images (B, 3, S, S), labels (B, C), and regions (B, R, D)."""

    def __init__(self, setting: CostSetting, backbone: Backbone) -> None:
        generator = torch.Generator().manual_seed(0)
        size, shape = backbone.image_size, (setting.batch_size, len(setting.class_names))
        self.class_names = setting.class_names
        self.images = torch.randn(setting.batch_size, 3, size, size, generator=generator).to(backbone.device)
        self.labels = torch.randint(-1, 2, shape, dtype=torch.int8, generator=generator)
        regions = torch.randn(setting.batch_size, backbone.regions, backbone.feature_width, generator=generator)
        self.regions = regions.to(backbone.device)

    def encoding(self, backbone: Backbone) -> tuple[int, float]:
        """FLOPs and seconds of this package's image tower for one image."""
        flops = image_flops(backbone)
        seconds = _timed(lambda: backbone.encode_image(self.images), backbone.device)
        return flops, statistics.median(seconds) / len(self.images)


def image_flops(backbone: Backbone) -> int:
    """FLOPs of the image tower for one image.

    They are counted on the plain modules, because the counter does not see the fused convolutions of a CPU.
    """
    tower = backbone.image_tower()
    weight = next(tower.parameters())
    image = weight.new_zeros(1, 3, backbone.image_size, backbone.image_size)
    return count_flops(lambda: tower(image))


def _measure_here(method: str, recipe: Recipe, backbone: Backbone, batch: _Batch) -> _Measured:
    """Measure a step of `training.fit` on regions in memory."""
    recognizer = create_recognizer(method, backbone, batch.class_names, **recipe.start_options())
    sides = (recognizer.presence, recognizer.absence)
    text = sum(
        count_flops(lambda side=side: side.class_vectors().sum().backward())  # type: ignore[misc]
        for side in sides
        if isinstance(side, PromptSide)
    )
    folded = recognizer.fold()
    labels = batch.labels.to(backbone.device)
    head = count_flops(lambda: asymmetric_loss(folded(batch.regions), labels).backward())
    recognizer.zero_grad(set_to_none=True)

    def steps(count: int, on_step: Callable[[int, int], None] | None = None) -> None:
        source = InMemoryRegions(batch.regions.repeat(count, 1, 1))
        once = recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})
        fit(recognizer, source, np.tile(batch.labels.numpy(), (count, 1)), once, on_step=on_step)

    memory = peak_bytes(lambda: steps(1))
    times: list[float] = []
    steps(RUNS + 1, lambda _done, _planned: times.append(seconds_now(backbone.device)))
    return _Measured(recognizer.learned_parameters(), (0, text, head), list(np.diff(times)), memory)


def _measure_released(method: str, recipe: Recipe, backbone: Backbone, clip: Any, batch: _Batch) -> _Measured:
    """Measure a step of the released algorithm."""
    model = _released_model(method, recipe, backbone, clip, batch.class_names)
    image = count_flops(lambda: released.dense_regions(clip.visual, batch.images[:1])) * len(batch.images)
    text, folded = 0, model
    if isinstance(model, released.ReleasedCosine):
        sides = (model.presence, model.absence)
        text = sum(count_flops(lambda side=side: side().sum().backward()) for side in sides)  # type: ignore[misc]
        vectors = [released.ReleasedEmbedding(side().detach()) for side in sides]
        folded = released.ReleasedCosine(clip, *vectors)
    labels = batch.labels.to(backbone.device)
    head = count_flops(lambda: released.asymmetric_loss(folded.logits(batch.regions), labels).backward())
    model.zero_grad(set_to_none=True)  # also those of the text tower, so that the first step allocates them

    learned = released.learned_tensors(model)
    optimizer = torch.optim.SGD(learned, recipe.context_rate, recipe.momentum, weight_decay=recipe.weight_decay)

    def step() -> Tensor:
        return released.train_step(model, optimizer, batch.images, labels)

    memory = peak_bytes(step)
    seconds = _timed(step, backbone.device, warm_up=False)
    clip.zero_grad(set_to_none=True)
    return _Measured(sum(tensor.numel() for tensor in learned), (image, text, head), seconds, memory)


def _released_model(
    method: str, recipe: Recipe, backbone: Backbone, clip: Any, class_names: Sequence[str]
) -> released.ReleasedCosine | released.ReleasedBaseline:
    """The released counterpart of a method, with the same learned tensors."""
    recognizer = create_recognizer(method, backbone, class_names, **recipe.start_options())
    learned = {name: tensor.detach() for name, tensor in recognizer.named_parameters()}
    if method == "baseline":
        weight, bias = (
            torch.cat([learned[f"{side}.projector.{kind}"] for side in ("absence", "presence")])
            for kind in ("weight", "bias")
        )
        return released.ReleasedBaseline(clip, weight, bias)

    def side(name: str) -> released.ReleasedPrompt | released.ReleasedEmbedding:
        if f"{name}.embedding" in learned:
            return released.ReleasedEmbedding(learned[f"{name}.embedding"])
        context, offset = learned[f"{name}.context"], learned.get(f"{name}.offset")
        return released.ReleasedPrompt(clip, class_names, context, offset)

    return released.ReleasedCosine(clip, side("presence"), side("absence"))


def _projected(
    method: str, way: Way, measured: _Measured, encoding: tuple[int, float], recipe: Recipe, setting: CostSetting
) -> Cost:
    image, text, head = measured.flops
    once_flops, once_seconds = (0, 0.0) if way == "as released" else (each * setting.images for each in encoding)
    step = statistics.median(measured.seconds)
    steps = recipe.epochs * math.ceil(setting.images / setting.batch_size)
    return Cost(
        method=method,
        way=way,
        learned=measured.learned,
        image_flops=image,
        text_flops=text,
        head_flops=head,
        step_seconds=step,
        least_seconds=min(measured.seconds),
        most_seconds=max(measured.seconds),
        memory_bytes=measured.memory,
        epochs=recipe.epochs,
        encoding_seconds=once_seconds,
        encoding_flops=int(once_flops),
        total_seconds=once_seconds + steps * step,
    )


def _recipe(method: str, way: Way, setting: CostSetting) -> Recipe:
    source = "released" if way == "as released" else "default"
    return load_recipe(source, method, context_length=setting.context_length, batch_size=setting.batch_size)


def _timed(work: Callable[[], object], device: torch.device, warm_up: bool = True) -> list[float]:
    """Seconds of each call: `RUNS` of them, or fewer once they have taken `ENOUGH_SECONDS`."""
    if warm_up:
        work()
    times = [seconds_now(device)]
    while len(times) <= RUNS and times[-1] - times[0] < ENOUGH_SECONDS:
        work()
        times.append(seconds_now(device))
    return list(np.diff(times))
