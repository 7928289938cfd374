"""The subject of an explanation: the two sides of a run, or two sentences per class through a bare backbone.

Letters: B images, Q sentences, C classes, R regions, D feature width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError, nearest
from promptmlr.functional import cosine_map, presence_probability
from promptmlr.maps.sentences import TEMPLATES, Templates, text_directions
from promptmlr.recognizer import Recognizer
from promptmlr.run import Run
from promptmlr.sides import EmbeddingSide, Side

__all__ = ["SENTENCES", "Subject", "subject_of_backbone", "subject_of_run"]

SENTENCES: Mapping[str, Templates] = MappingProxyType(
    {
        "single": Templates(("a photo of a {}.",), (), ("not a photo of a {}.",)),  # the paper's Figure 1
        "imagenet": TEMPLATES["imagenet"],
    }
)
"""Positive templates give the presence map, negative ones the absence map; features of several are averaged."""

COSINE = "S = 20 · cosine with the region"


@dataclass(frozen=True, eq=False)
class Subject:
    """A pair of maps for every class.

    Attributes:
        name: in titles.
        backbone: the frozen CLIP; its image tower makes the regions, its text tower reads captions.
        recognizer: C classes on the same device; untrained for a bare backbone.
        sides: titles of the presence and the absence map of a class, with {} for its name.
        classifier: regions → logits, calibrated if the run is; None for a bare backbone, which has no probabilities.
    """

    name: str
    backbone: Backbone
    recognizer: Recognizer
    sides: tuple[str, str]
    classifier: nn.Module | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """C names."""
        return self.recognizer.class_names

    @property
    def tiles(self) -> int:
        """How many of the R regions, the last ones, are of tiles and not of the grid."""
        return self.backbone.tiles

    @property
    def scales(self) -> tuple[str, str]:
        """The quantity of the presence and of the absence map, in words."""
        return _scale(self.recognizer.presence), _scale(self.recognizer.absence)

    def columns(self, class_names: Sequence[str]) -> list[int]:
        """Indices of these classes among the C.

        Raises:
            UserError: there is no such class.
        """
        for name in class_names:
            if name not in self.class_names:
                raise UserError(f"--classes: {self.name} has no class {name!r}; {nearest(name, self.class_names)}")
        return [self.class_names.index(name) for name in class_names]

    @torch.no_grad()
    def maps(self, regions: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Presence and absence map, each (B, C, R), of (B, R, D) regions."""
        presence, absence = self.recognizer.maps(regions)
        return presence.cpu().numpy(), absence.cpu().numpy()

    @torch.no_grad()
    def probabilities(self, regions: Tensor) -> NDArray[np.float32] | None:
        """P(present), (B, C), of (B, R, D) regions; None for a bare backbone."""
        if self.classifier is None:
            return None
        probabilities: NDArray[np.float32] = presence_probability(self.classifier(regions)).cpu().numpy()
        return probabilities

    @torch.no_grad()
    def text_maps(self, regions: Tensor, sentences: Sequence[str]) -> NDArray[np.float32]:
        """S = 20 · cos of (B, R, D) regions with the text features of Q sentences, (B, Q, R).

        Raises:
            UserError: a sentence that does not fit the context.
        """
        vectors = self.backbone.encode_text(sentences).float()
        maps: NDArray[np.float32] = cosine_map(regions.float(), vectors).cpu().numpy()
        return maps


def subject_of_run(run: Run) -> Subject:
    """The maps of a run."""
    backbone = run.backbone
    name = f"{run.path} ({run.config.method})"
    return Subject(name, backbone, run.recognizer, ("presence", "absence"), run.calibrated)


def subject_of_backbone(
    backbone: Backbone, class_names: Sequence[str], templates: Literal["single", "imagenet"] = "single"
) -> Subject:
    """The maps of a backbone for sentences that state the presence and the absence of C classes.

    Raises:
        UserError: a sentence that does not fit the context.
    """
    chosen = SENTENCES[templates]
    presence, absence = (
        EmbeddingSide(_vectors(backbone, class_names, group)) for group in (chosen.positive, chosen.negative)
    )
    recognizer = Recognizer(presence, absence, class_names).to(backbone.device).requires_grad_(False)
    titles = (f"“{chosen.positive[0]}”", f"“{chosen.negative[0]}”")
    if len(chosen.positive) > 1:
        titles = (f"{len(chosen.positive)} sentences of “{{}}”", f"{len(chosen.negative)} with “not”")
    name = " ".join(part for part in (backbone.name, backbone.pretrained) if part)
    return Subject(name, backbone, recognizer, titles, None)


def _vectors(backbone: Backbone, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """(C, D) mean text features; C may be 0."""
    if not class_names:
        return torch.empty(0, backbone.feature_width)
    return text_directions(backbone, class_names, templates).mean(dim=0).float()


def _scale(side: Side) -> str:
    return COSINE if isinstance(side, EmbeddingSide) else "score of a linear side (no cosine)"
