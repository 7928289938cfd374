"""The cells of the design: pairs of sides, each with a start that is not saturated.

A side is a prompt; an embedding that starts at random, from a class-free text or from the class's text; or a linear
layer. The five times five pairs include the paper's four methods and the 2×2 cell that it leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from promptmlr.backbone import Backbone
from promptmlr.functional import LOGIT_SCALE
from promptmlr.methods import CLASS_FREE_TEMPLATE, Kind, Method, Start, create_recognizer
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.sides import EmbeddingSide, LinearSide

__all__ = ["CELLS", "SATURATED", "TOLERATED", "VARIANTS", "Cell", "Variant", "build", "saturated_share"]

SATURATED = 10.0
"""A margin beyond which a pair of logits counts as saturated: the smaller probability is below 5e-5."""

TOLERATED = 0.05
"""The largest accepted share of saturated margins at the start."""

HALVINGS = 6


@dataclass(frozen=True)
class Variant:
    """A level of the design's factors: a kind of side and its start.

    Attributes:
        kind: the kind of side.
        start: the start of an embedding; None for the other kinds.
    """

    kind: Kind
    start: Start | None = None

    @property
    def name(self) -> str:
        """Such as "prompt" and "embedding-text"."""
        return self.kind if self.start is None else f"{self.kind}-{self.start}"


VARIANTS: tuple[Variant, ...] = (
    Variant("prompt"),
    Variant("embedding", "text"),
    Variant("embedding", "agnostic"),
    Variant("embedding", "random"),
    Variant("linear"),
)


@dataclass(frozen=True)
class Cell:
    """A presence side paired with an absence side."""

    presence: Variant
    absence: Variant

    @property
    def name(self) -> str:
        """Such as "prompt+embedding-text": the presence side first."""
        return f"{self.presence.name}+{self.absence.name}"

    @property
    def method(self) -> Method:
        """The pair as a method; two linear layers are weighted as in the paper's Baseline."""
        both_linear = self.presence.kind == self.absence.kind == "linear"
        return Method(
            self.presence.kind,
            self.absence.kind,
            self.name,
            weighting="own" if both_linear else "presence",
            presence_start=self.presence.start,
            absence_start=self.absence.start,
        )


CELLS: tuple[Cell, ...] = tuple(Cell(presence, absence) for presence in VARIANTS for absence in VARIANTS)


def build(
    cell: Cell, backbone: Backbone, class_names: Sequence[str], regions: Tensor, recipe: Recipe, seed: int
) -> Recognizer:
    """A recognizer of a cell that does not start saturated.

    Two starts would be saturated: a linear layer at zero paired with 100 · cos, and a random embedding paired with a
    side among CLIP's text features, which lie in a narrow cone. The linear layer's bias therefore starts at the mean of
    the other side's logits. A random embedding is added to the class-free text feature, and halved until no more than
    5 % of the margins exceed `SATURATED`.

    Args:
        cell: the pair of sides.
        backbone: the frozen CLIP.
        class_names: C names.
        regions: (B, R, D) of some training images, on which saturation is measured; labels are not used.
        recipe: all other settings of starts.
        seed: of every random start.
    """
    options = recipe.start_options() | {"linear_start": "zero"}
    recognizer = create_recognizer(cell.method, backbone, class_names, seed=seed, **options)
    _match_bias(recognizer, regions)
    drawn = [
        side
        for side, variant in ((recognizer.presence, cell.presence), (recognizer.absence, cell.absence))
        if variant.start == "random" and isinstance(side, EmbeddingSide)
    ]
    if drawn:
        features = backbone.encode_text([CLASS_FREE_TEMPLATE])
        common = EmbeddingSide.from_features(features).embedding.detach()
        noise = [side.embedding.detach().clone() for side in drawn]
        for halving in range(HALVINGS):
            with torch.no_grad():
                for side, own in zip(drawn, noise, strict=True):
                    side.embedding.copy_(common + own / 2**halving)
            _match_bias(recognizer, regions)
            if saturated_share(recognizer, regions) <= TOLERATED:
                break
    return recognizer


@torch.no_grad()
def saturated_share(recognizer: Recognizer, regions: Tensor) -> float:
    """The share of (image, class) pairs whose two logits differ by more than `SATURATED`, from 0 to 1.

    Args:
        recognizer: over C classes.
        regions: (B, R, D).
    """
    absence, presence = recognizer(regions).unbind(dim=1)
    return float(((presence - absence).abs() > SATURATED).float().mean())


@torch.no_grad()
def _match_bias(recognizer: Recognizer, regions: Tensor) -> None:
    """If exactly one side is linear, set its bias so that both sides have the same mean logit per class."""
    sides = recognizer.presence, recognizer.absence
    linear = [isinstance(side, LinearSide) for side in sides]
    if sum(linear) != 1:
        return
    absence, presence = recognizer(regions).mean(dim=0)
    difference = (absence - presence) / LOGIT_SCALE
    if isinstance(recognizer.presence, LinearSide):
        recognizer.presence.projector.bias.add_(difference)
    elif isinstance(recognizer.absence, LinearSide):
        recognizer.absence.projector.bias.sub_(difference)
