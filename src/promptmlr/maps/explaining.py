"""From the options of `promptmlr explain` to what it found: a run or a bare backbone, on one image or a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from promptmlr.backbone import MINIATURES, SCHEMES
from promptmlr.data import ImageFile, LabelledImages, is_scenes
from promptmlr.errors import UserError, nearest
from promptmlr.hub import hub_name
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.maps.dataset import ExplainedData, explain_data
from promptmlr.maps.image import ExplainedImage, explain_image
from promptmlr.maps.subject import Subject, subject_of_backbone, subject_of_run
from promptmlr.names import checked_path
from promptmlr.opening import common_classes, job_settings, open_data, open_images, open_tower
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions
from promptmlr.reporting import Reporter
from promptmlr.run import Run, load_run, partial_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """What is explained, as a person says it.

    Attributes:
        subject: a run, or the name of a backbone.
        target: an image file, or a data set, as `load_data` takes it.
        class_names: which classes; None are a run's most probable ones on an image, and all of a data set.
        captions: sentences whose maps are shown over an image as well.
        templates: what a bare backbone is asked, a name of `maps.subject.SENTENCES`.
        share: of the regions, those where a map is highest, whose overlap is measured.
        resamples: of a data set's images, for intervals.
        tower: where a run finds its backbone, or how a bare one is built.
        reading: how data are read.
        regions: where regions are stored.

    Raises:
        UserError: captions for a data set, or a share outside (0, 1).
    """

    subject: str
    target: str
    class_names: Sequence[str] | None = None
    captions: Sequence[str] = ()
    templates: Literal["single", "imagenet"] = "single"
    share: float = 0.2
    resamples: int = 1000
    tower: NewTowerOptions = NewTowerOptions()
    reading: DataOptions = DataOptions()
    regions: CacheOptions = CacheOptions()

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"--top-share is {self.share}; give a fraction between 0 and 1, such as 0.2")
        if self.of_data and self.captions:
            raise UserError("--captions are drawn over one IMAGE, and this is DATA")

    @cached_property
    def of_data(self) -> bool:
        """Whether the target is a data set."""
        known = self.reading.format is not None or is_scenes(self.target) or self.target.lower().endswith(".csv")
        return known or checked_path(self.target).is_dir()


def explain(asked: Explanation, reporter: Reporter) -> ExplainedData | ExplainedImage:
    """Where presence and absence are seen, and how far the two maps agree.

    Raises:
        UserError: the options contradict each other, the subject or the target.
        UnreadableImage: an image cannot be read.
    """
    run = _run(asked.subject)
    _check_tower(asked, run)
    if asked.of_data:
        return _on_data(asked, run, reporter)
    if run is None and asked.class_names is None and not asked.captions:
        raise UserError("a bare backbone has no classes of its own; name some, such as --classes dog,cat")
    subject = _subject(asked, run, asked.class_names or (), reporter)
    return explain_image(subject, ImageFile(Path(asked.target)), asked.class_names, asked.captions, asked.share)


def _run(subject: str) -> Run | None:
    """The run of that folder; None for the name of a backbone."""
    if hub_name(subject) is not None:
        return load_run(subject)
    path = checked_path(subject)
    if subject in MINIATURES or subject.startswith(SCHEMES) or path.is_file():
        return None
    if path.is_dir() or partial_of(path).is_dir():
        return load_run(path)
    if path.name != subject:
        raise UserError(f"{subject}: no such run folder or checkpoint file")
    return None


def _check_tower(asked: Explanation, run: Run | None) -> None:
    """Refuse options that are about the other kind of subject."""
    tower = asked.tower
    if run is None:
        if tower.backbone is not None:
            raise UserError(f"--backbone says where a RUN finds its weights, and {asked.subject} is a backbone itself")
    elif any((tower.image_size, tower.dtype, tower.regions, tower.crops)) or asked.templates != "single":
        raise UserError(
            f"run {run.path} has its own image size, dtype, regions and sides; leave out the options for them"
        )


def _subject(asked: Explanation, run: Run | None, class_names: Sequence[str], reporter: Reporter) -> Subject:
    """With its backbone loaded."""
    tower = asked.tower
    if run is None:
        named = replace(tower, backbone=asked.subject, dtype=tower.dtype or "float32")
        return subject_of_backbone(open_tower(asked.target, named, reporter), class_names, asked.templates)
    run.use_backbone(tower.backbone, tower.pretrained, tower.device)
    return subject_of_run(run)


def _on_data(asked: Explanation, run: Run | None, reporter: Reporter) -> ExplainedData:
    like = None if run is None else run.reading
    labelled = open_data(asked.target, "test", asked.reading, reporter, like)
    common, labels = _labels_of(run, labelled, reporter)
    for name in asked.class_names or ():
        if name not in common:
            raise UserError(f"--classes: there are no labels for {name!r}; {nearest(name, common)}")
    subject = _subject(asked, run, labelled.class_names, reporter)
    shown = replace(labelled, labels=labels, class_names=subject.class_names)
    settings = job_settings(asked.regions, asked.reading, asked.tower, reporter)
    kept, source = open_images(shown, subject.backbone, **settings)
    return explain_data(
        subject,
        source,
        kept.images,
        kept.labels,
        asked.class_names or common,
        labelled.source,
        share=asked.share,
        resamples=asked.resamples,
        reporter=reporter,
    )


def _labels_of(run: Run | None, labelled: LabelledImages, reporter: Reporter) -> tuple[tuple[str, ...], Labels]:
    """Classes with labels, and (N, C) labels for the C classes that have maps; unknown where the data has none."""
    if run is None:
        return labelled.class_names, labelled.labels
    rows, columns = common_classes(run.class_names, labelled.class_names, reporter)
    labels = np.full((len(labelled.labels), len(run.class_names)), UNKNOWN, dtype=np.int8)
    labels[:, rows] = labelled.labels[:, columns]
    return tuple(run.class_names[row] for row in rows), labels
