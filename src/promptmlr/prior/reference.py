"""The calibrated zero-shot that a run is compared with: its own start, or for a run without a prior a separate one."""

from collections.abc import Sequence
from dataclasses import dataclass

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.labels import Labels
from promptmlr.methods import create_recognizer
from promptmlr.prior.calibrated import calibrated_zero_shot
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.positive_only import resolve_unknown
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource

__all__ = ["Reference", "reference_zero_shot"]

METHOD = "anchored"  # its prior is the zero-shot that other methods are compared with


@dataclass(frozen=True)
class Reference:
    """The calibrated zero-shot that a run is compared with.

    Attributes:
        recognizer: folded and unscaled.
        record: its scaling.
    """

    recognizer: Recognizer
    record: PriorRecord

    @classmethod
    def of_run(cls, begun: BegunRun) -> "Reference":
        """The start of a run with a prior, before it is trained."""
        assert begun.record is not None
        folded = begun.run.recognizer.fold()
        folded.scaling = None
        return cls(folded, begun.record)


def reference_zero_shot(
    recipe: Recipe,
    backbone: Backbone,
    class_names: Sequence[str],
    source: RegionSource,
    labels: Labels,
    *,
    seed: int = 0,
    share: float | Sequence[float] | None = None,
) -> Reference | None:
    """The calibrated zero-shot for a run without a prior; None for features without text features.

    Args:
        recipe: of the run; its templates and texts are used.
        backbone: the frozen CLIP.
        class_names: C names.
        source: regions of N images.
        labels: (N, C) int8, as the run sees them.
        seed: of the sample of images if there are many.
        share: known prevalence, for all classes or for each; None if unknown.
    """
    own = load_recipe("default", METHOD, templates=recipe.templates, texts=recipe.texts)
    own, costly = resolve_unknown(own, labels)
    try:
        recognizer = create_recognizer(METHOD, backbone, class_names, **own.start_options())
    except UserError:
        return None
    record, _ = calibrated_zero_shot(recognizer, source, labels, own, costly, seed=seed, share=share)
    return Reference(recognizer.fold(), record)
