"""Does a low-rank change of the image tower's last layers gain anything over `anchored` on a frozen tower?

    python bench/tower_tuning.py --images 300 --seeds 2 --observed 0.1,0.5 --cells cells.csv

Of the miniature ResNet, the value and the output projection of the attention pool change; of the miniature ViT, all
linear layers of the last block (attention and feed-forward network). W becomes W + B A with B A of rank RANK (LoRA: Hu
and others, 2022), from zero. `anchored` is trained first; then its vectors and B A are trained together on the same
known labels, with the prior of the vectors and, for each changed W, the same kind of prior,
pull · strength / 2 · ||B A||^2 / ||W||^2, so that an infinite strength leaves the tower as it is. What lies below the
changed layers is computed once. Nothing is augmented.

A setting is a rate of A and B and a pull; a rate of 0 is the control: as many more epochs on the vectors alone. The
rate 0.003 and the pull 1 were fixed on `scenes` (half the labels of 300 images, one seed) before any other world was
run. The rule, written then too: the change becomes an option of `train` only if it gains more than one point of mAP
over the frozen tower at 10 % of the labels, the mean over towers, worlds and seeds, with a 95 % interval above 0, on
worlds on which nothing was chosen.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import trial
from torch import Tensor, nn
from torch.nn.utils import parametrize

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.backbone.image.fused import plain_trunk
from promptmlr.backbone.image.resnet import resnet_regions
from promptmlr.backbone.image.transformer import first_token
from promptmlr.backbone.image.ways import BeforeLast
from promptmlr.backbone.tower import ImageTower
from promptmlr.data import DataOptions, load_data
from promptmlr.functional import cross_entropy_cost
from promptmlr.labels import Labels, hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_source
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.recognizer import Recognizer, joint_vectors
from promptmlr.regions import InMemoryRegions
from promptmlr.report.tables import markdown_table
from promptmlr.training import Prior, fit_runs, rate_factor

TOWERS = ("scenes", "scenes-vit")
SETTINGS = "0:1,0.003:1"  # rate:pull
RANK = 4
EPOCHS = 15
BATCH = 64
VECTOR_RATE = 0.005


class LowRank(nn.Module):
    """A weight (F, E) plus B A, zero at the start."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5)
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.size = float(weight.detach().square().sum())

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a

    def relative(self) -> Tensor:
        """||B A||^2 / ||W||^2."""
        return (self.b @ self.a).square().sum() / self.size


class Tail(nn.Module):
    """The last layers of an image tower: what lies below → regions (B, R, D)."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.visual, self.way = tower.visual, tower.way

    def below(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) → the input of the last layers."""
        if hasattr(self.visual, "attnpool"):
            return plain_trunk(self.visual, images)
        kept: list[Tensor] = []
        last = self.visual.transformer.resblocks[-1]
        handle = last.ln_1.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0]))
        ImageTower.forward(self, images)
        handle.remove()
        return kept[-1]

    def forward(self, below: Tensor) -> Tensor:
        if hasattr(self.visual, "attnpool"):
            return resnet_regions(self.visual, lambda features: features, below)
        visual, last = self.visual, self.visual.transformer.resblocks[-1]
        side = int((below.shape[1] - 1) ** 0.5)
        pooled = visual.ln_post(first_token(last, below))
        local = visual.ln_post(self.way.patches(BeforeLast(last, below, 1, (side, side))))
        return torch.cat([pooled, local], dim=1) @ visual.proj

    def changed(self, rank: int, seed: int) -> list[LowRank]:
        """Give the last layers their low-rank changes."""
        generator = torch.Generator().manual_seed(seed)
        added = []
        for module, name in self._weights():
            change = LowRank(getattr(module, name), rank, generator)
            parametrize.register_parametrization(module, name, change)
            added.append(change)
        return added

    def _weights(self) -> list[tuple[nn.Module, str]]:
        if hasattr(self.visual, "attnpool"):
            return [(self.visual.attnpool.v_proj, "weight"), (self.visual.attnpool.c_proj, "weight")]
        last = self.visual.transformer.resblocks[-1]
        linear = [last.attn.out_proj, last.mlp.c_fc, last.mlp.c_proj]
        return [(last.attn, "in_proj_weight"), *((module, "weight") for module in linear)]


@dataclass(frozen=True)
class Seen:
    """A world as one tower sees it below its last layers, training images first."""

    backbone: Backbone
    tail: Tail
    below: Tensor


@dataclass(frozen=True)
class World:
    labels: Labels
    class_names: tuple[str, ...]
    seen: dict[str, Seen]


@torch.no_grad()
def load_world(name: str, count: int) -> World:
    options = DataOptions(scenes_train=count, scenes_test=count)
    parts = [load_data(name, purpose, options) for purpose in ("train", "test")]
    images = [image.open() for part in parts for image in part.images]
    seen = {}
    for tower in TOWERS:
        backbone = load_backbone(tower)
        tail = Tail(backbone.image_tower())
        pixels = [backbone.preprocessing.pixels(image) for image in images]
        batches = [backbone.preprocessing.normalise(torch.stack(pixels[i : i + 50])) for i in range(0, len(pixels), 50)]
        seen[tower] = Seen(backbone, tail, torch.cat([tail.below(batch) for batch in batches]))
    return World(np.concatenate([part.labels for part in parts]), parts[0].class_names, seen)


@torch.no_grad()
def regions(tail: Tail, below: Tensor) -> Tensor:
    return torch.cat([tail(part) for part in below.split(100)])


def tune(
    tail: Tail, below: Tensor, recognizer: Recognizer, prior: Prior, labels: Labels, rate: float, pull: float, seed: int
) -> None:
    """Train vectors and low-rank changes together, in place."""
    changes = tail.changed(RANK, seed)
    truth, scale = torch.from_numpy(labels), recognizer.scaling.log_scale.detach().mul(2).exp()
    vectors = [recognizer.presence.embedding, recognizer.absence.embedding]
    base = (VECTOR_RATE, rate)
    groups = [{"params": vectors}, {"params": [tensor for change in changes for tensor in change.parameters()]}]
    optimizer = torch.optim.Adam(groups, lr=0.0)
    order = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        for group, one in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = one * rate_factor(epoch, EPOCHS, 0)
        for batch in np.array_split(order.permutation(len(below)), max(len(below) // BATCH, 1)):
            cost = cross_entropy_cost(recognizer(tail(below[batch])), truth[batch]).sum()
            moved = [
                (now - start).square().sum(dim=1) / start.square().sum(dim=1)
                for now, start in zip(joint_vectors([recognizer]), prior.start, strict=True)
            ]
            penalty = (scale * sum(moved)).sum() + pull * sum(change.relative() for change in changes)
            loss = cost + prior.strength / 2 * penalty * len(batch) / len(below)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def cells_of(world: World, share: str, seed: int, settings: Sequence[str]) -> Iterator[dict[str, object]]:
    """mAP of the frozen tower and of every setting, for each tower."""
    half = len(world.labels) // 2
    train, test = slice(0, half), slice(half, None)
    labels = hide(world.labels[train], keep_mask(world.labels[train].shape, float(share), seed))
    recipe = load_recipe("default", "anchored")
    for tower, seen in world.seen.items():

        def score(tail: Tail, recognizer: Recognizer, below: Tensor = seen.below[test]) -> str:
            found = predict_source(recognizer.fold(), InMemoryRegions(regions(tail, below)))[1]
            return f"{trial.mean_ap(found, world.labels[test], world.class_names):.4f}"

        below = seen.below[train]
        source = InMemoryRegions(regions(seen.tail, below))
        start = recipe.start_options()
        recognizer = create_recognizer("anchored", seen.backbone, world.class_names, seed=seed, **start)
        run = begin_run(recognizer, source, labels, recipe, seed=seed).run
        prior = run.prior
        fit_runs([run], source)
        yield {"tower": tower, "setting": "frozen", "mean_ap": score(seen.tail, recognizer)}
        for setting in settings:
            rate, pull = map(float, setting.split(":"))
            tail, tuned = copy.deepcopy(seen.tail), copy.deepcopy(recognizer)
            if not prior.infinite:
                tune(tail, below, tuned, prior, labels, rate, pull, seed)
            yield {"tower": tower, "setting": setting, "mean_ap": score(tail, tuned)}


def gains(rows: list[dict[str, str]], chosen: Callable[[dict[str, str]], bool]) -> list[float]:
    """Points over the frozen tower, of each of the chosen rows."""
    key = ("world", "observed", "seed", "tower")
    frozen = {tuple(row[k] for k in key): float(row["mean_ap"]) for row in rows if row["setting"] == "frozen"}
    return [float(row["mean_ap"]) - frozen[tuple(row[k] for k in key)] for row in rows if chosen(row)]


def table(rows: list[dict[str, str]]) -> str:
    """Points over the frozen tower, by tower, world, fraction and setting."""
    settings = [one for one in dict.fromkeys(row["setting"] for row in rows) if one != "frozen"]
    lines = []
    for tower, world, share in sorted({(row["tower"], row["world"], row["observed"]) for row in rows}):
        place = {"tower": tower, "world": world, "observed": share}
        here = [row for row in rows if place.items() <= row.items()]
        base = np.mean([float(row["mean_ap"]) for row in here if row["setting"] == "frozen"])
        cells = [trial.shown(gains(here, lambda row, one=one: row["setting"] == one)) for one in settings]
        lines.append([tower, world, f"{100 * float(share):g} %", f"{base:.2f}", *cells])
    heading = [f"rate {one.split(':')[0]}, pull {one.split(':')[1]}" for one in settings]
    return markdown_table(["tower", "world", "labels", "frozen", *heading], lines, words=2)


def verdict(rows: list[dict[str, str]], setting: str) -> str:
    """What the rule says of the setting."""
    points = gains(rows, lambda row: (row["setting"], row["observed"]) == (setting, "0.1"))
    passed = np.mean(points) > 1 and trial.interval(points)[0] > 0
    return f"{setting}: {trial.shown(points)} points at 10 %: {'passes' if passed else 'does not pass'}"


def main() -> None:
    asked = trial.parser(__doc__, "scenes:crowded:6,scenes:strangers:7", "0.1,0.5,1", 3)
    asked.add_argument("--settings", default=SETTINGS)
    options = asked.parse_args()
    torch.set_num_threads(1)
    rows = trial.measured(options, load_world, partial(cells_of, settings=options.settings.split(",")))
    print(table(rows) + "\n")
    for setting in dict.fromkeys(row["setting"] for row in rows if row["observed"] == "0.1"):
        if setting != "frozen":
            print(verdict(rows, setting))


if __name__ == "__main__":
    main()
