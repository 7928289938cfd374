"""Tags from class names alone: nobody labelled anything, and nothing is trained."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from promptmlr.backbone import Backbone, Templates
from promptmlr.data import LabelledImages
from promptmlr.data.images import ImageFile, spread
from promptmlr.labels import UNKNOWN
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.reporting import Reporter
from promptmlr.run import Run, load_run

__all__ = ["MOST_IMAGES", "zero_shot_run"]

METHOD = "anchored"
MOST_IMAGES = 1_000  # that are looked at beforehand, to see how CLIP words each class


def zero_shot_run(
    backbone: Backbone,
    images: Iterable[Path],
    class_names: Sequence[str],
    *,
    share: float | tuple[float, ...] | None = None,
    templates: Templates = "one",
    texts: Mapping[str, Sequence[str]] | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> Run:
    """The run that `promptmlr train` makes of images without any known label; its folder is gone again.

    Args:
        backbone: the frozen CLIP.
        images: files; at most `MOST_IMAGES` of them are looked at.
        class_names: C names.
        share: how often classes are present, for all or of each, where a person knows it.
        templates: as of `create_recognizer`.
        texts: the same.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.

    Raises:
        UserError: there is no image, or one cannot be read; class names that cannot be used.
    """
    files = [ImageFile(path) for path in dict.fromkeys(spread(images, MOST_IMAGES))]
    labels = np.full((len(files), len(class_names)), UNKNOWN, dtype=np.int8)
    names = [f"{number:04d}" for number in range(len(files))]
    labelled = LabelledImages.from_rows(names, files, labels, class_names, "images that nobody labelled")
    keep = np.ones(labels.shape, dtype=np.bool_)
    recipe = load_recipe("default", METHOD, templates=templates, texts=texts)
    job = TrainingJob(METHOD, recipe, labelled, keep, share=share)
    with tempfile.TemporaryDirectory(prefix="promptmlr-") as folder:
        path = train_run(
            job,
            backbone,
            Path(folder) / "run",
            skip_unreadable=skip_unreadable,
            workers=workers,
            reporter=reporter,
        )
        run = load_run(path)
    run.adopt(backbone)
    return run
