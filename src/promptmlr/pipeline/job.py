"""What to train, on what; and the recognizer that it begins with."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.labels import Keep
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.run import Selection

__all__ = ["TrainingJob", "build"]


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what.

    Attributes:
        method: a name of `METHODS`.
        recipe: how it is built and trained.
        labelled: N images with their labels.
        keep: (N, C) bool, which labels training may see.
        observed: the fraction `keep` was drawn with.
        seed: of mask and starts.
        order_seed: of the order of images.
        select: which epoch is kept.
        calibrate: fit probabilities and thresholds on observed labels out of fold, or where they are many on a tenth of
            them, held out. A run with a prior is calibrated in any case: it is trained to give probabilities.
        selection_data: labelled test images, needed for `select="test"` alone.
        learned: tensors of an earlier training of the same method and classes, to begin with; None begins anew.
        share: how often classes are present, for all or of each, where a person knows it; None leaves that to the
            labels.
        protocol: the name of the `labels.Observation` that drew `keep`, where that was no fraction.
    """

    method: str
    recipe: Recipe
    labelled: LabelledImages
    keep: Keep
    observed: float = 1.0
    seed: int = 0
    order_seed: int = 0
    select: Selection = "last"
    calibrate: bool = True
    selection_data: LabelledImages | None = None
    learned: Mapping[str, Tensor] | None = None
    share: float | tuple[float, ...] | None = None
    protocol: str | None = None

    @property
    def trained(self) -> bool:
        """Whether the method learns anything; zero-shot does not."""
        return METHOD_TABLE[self.method].trained


def build(job: TrainingJob, backbone: Backbone) -> Recognizer:
    """The recognizer of a job, where its recipe starts it."""
    names = job.labelled.class_names
    recognizer = create_recognizer(job.method, backbone, names, seed=job.seed, **job.recipe.start_options())
    if job.learned is not None:
        try:
            sides = {name: part for name, part in job.learned.items() if not name.startswith("scaling.")}
            recognizer.load_state_dict(sides)
        except RuntimeError as error:
            raise UserError("what was learned before has another shape; keep the recipe, or train anew") from error
    return recognizer
