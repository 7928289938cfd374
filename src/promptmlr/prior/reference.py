"""The calibrated zero-shot that a run stands beside: where it began, or where a run without a prior might have."""

from collections.abc import Sequence
from dataclasses import dataclass

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.labels import Labels
from promptmlr.methods import create_recognizer
from promptmlr.prior.calibrated import calibrated_zero_shot
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.ticks import settled
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource

__all__ = ["Reference", "zero_shot_beside"]

METHOD = "anchored"  # whose prior is the zero-shot that others stand beside


@dataclass(frozen=True)
class Reference:
    """The calibrated zero-shot that a run stands beside.

    Attributes:
        recognizer: folded and unscaled.
        record: its scaling.
    """

    recognizer: Recognizer
    record: PriorRecord

    @classmethod
    def of_run(cls, begun: BegunRun) -> "Reference":
        """Of a run with a prior, before it is trained."""
        assert begun.record is not None
        folded = begun.run.recognizer.fold()
        folded.scaling = None
        return cls(folded, begun.record)


def zero_shot_beside(
    recipe: Recipe,
    backbone: Backbone,
    class_names: Sequence[str],
    source: RegionSource,
    labels: Labels,
    *,
    seed: int = 0,
    share: float | Sequence[float] | None = None,
) -> Reference | None:
    """For a run without a prior; None where features came without texts.

    Args:
        recipe: of the run: its templates and texts are taken.
        backbone: the frozen CLIP.
        class_names: C names.
        source: regions of N images.
        labels: (N, C) int8, what the run sees.
        seed: of the images that are looked at where there are many.
        share: how often classes are present, for all or of each, where a person knows it.
    """
    own, ticked = settled(load_recipe("default", METHOD, templates=recipe.templates, texts=recipe.texts), labels)
    try:
        recognizer = create_recognizer(METHOD, backbone, class_names, **own.start_options())
    except UserError:
        return None
    record, _ = calibrated_zero_shot(recognizer, source, labels, own, ticked, seed=seed, share=share)
    return Reference(recognizer.fold(), record)
