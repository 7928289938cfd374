"""Tags from class names alone, without labels and without training."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from promptmlr.backbone import Backbone, Templates
from promptmlr.data import LabelledImages
from promptmlr.data.formats.features import has_features
from promptmlr.data.images import ImageFile, find_images, spread
from promptmlr.data.shares import shares_of
from promptmlr.data.texts import texts_of
from promptmlr.errors import UserError
from promptmlr.hub import hub_name
from promptmlr.labels import UNKNOWN
from promptmlr.opening import open_tower
from promptmlr.options import TextOptions, TowerOptions
from promptmlr.pipeline import TrainingJob, passing_run
from promptmlr.prior.zero_shot import assumed_share
from promptmlr.recipes import load_recipe
from promptmlr.reporting import ProgressAlone, Reporter
from promptmlr.run import Run
from promptmlr.run.folder import CONFIG

__all__ = ["MOST_IMAGES", "refuse_runs", "run_of_classes", "zero_shot_run"]

METHOD = "anchored"
MOST_IMAGES = 1_000  # images on which margins of each class are measured


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
    """The run that `promptmlr train` makes of images without any known label; its folder is temporary.

    Args:
        backbone: the frozen CLIP.
        images: files, of which at most `MOST_IMAGES` are used.
        class_names: C names.
        share: known prevalence, for all classes or for each; None if unknown.
        templates: as of `create_recognizer`.
        texts: the same.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: receives progress and messages.

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
    return passing_run(job, backbone, skip_unreadable=skip_unreadable, workers=workers, reporter=reporter)


def refuse_runs(images: Sequence[str]) -> None:
    """Refuse a run among images whose classes are named.

    Raises:
        UserError: as above.
    """
    for name in images:
        if hub_name(name) is not None or Path(name, CONFIG).is_file():
            raise UserError(f"{name} is a run, and knows its classes; leave out either the run or --classes")


def run_of_classes(
    images: Sequence[str],
    class_names: Sequence[str],
    tower: TowerOptions,
    *,
    share: str | None = None,
    texts: TextOptions | None = None,
    skip_unreadable: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """`zero_shot_run` of files, folders and class names, with a note on the limits of its probabilities.

    Args:
        images: files, folders and globs.
        class_names: C names.
        tower: the frozen CLIP.
        share: how often classes are present: a number, or a CSV (`shares_of`).
        texts: how classes are put into words.
        skip_unreadable: leave unreadable images out instead of refusing them.
        reporter: receives progress and messages.

    Raises:
        UserError: as `zero_shot_run`, or something else than images was named.
    """
    reporter, texts = reporter or Reporter(), texts or TextOptions()
    refuse_runs(images)
    for name in images:
        if has_features(Path(name)):
            raise UserError(
                f"{name} holds features, and no tower reads --classes for them: give it class_names and text, and "
                "`promptmlr train` makes a run of it, without labels too"
            )
    shares = None if share is None else shares_of(share, class_names)
    found = find_images(images)
    run = zero_shot_run(
        open_tower("images", tower, reporter),
        found,
        class_names,
        share=shares,
        templates=texts.templates or "one",
        texts=None if texts.texts is None else texts_of(texts.texts, class_names),
        skip_unreadable=skip_unreadable,
        workers=tower.workers,
        reporter=ProgressAlone(reporter),
    )
    if share is not None:
        level = "how often classes are present is what --share says"
    elif run.prior is not None and run.prior.level == "tower":
        level = "how often classes are present is what the tower's own scale and bias say, which --share corrects"
    else:
        assumed = 100 * assumed_share(len(class_names))
        level = f"a class is assumed to be in {assumed:.3g} % of the images on average, which --share corrects"
    reporter.note(
        f"this is CLIP's zero-shot, its probabilities and thresholds are unchecked: {level}; a few labels, and "
        "`promptmlr train`, would settle it"
    )
    return run
