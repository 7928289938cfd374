"""From the options of `promptmlr predict` to rows: a run or class names alone, and what makes a class a label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptmlr.archives import Job, LabelTable, Manifest, Predictor, Summary, find_shards, process, share
from promptmlr.data.classes import classes_of
from promptmlr.data.formats.features import has_features
from promptmlr.errors import UserError
from promptmlr.more_classes import with_classes
from promptmlr.names import first_names
from promptmlr.options import ArchiveOptions, TextOptions, TowerOptions
from promptmlr.prediction import PredictionSummary, check_wanted, predict_to_file
from promptmlr.reporting import Reporter
from promptmlr.run import Run, load_run
from promptmlr.scoring import threshold_of
from promptmlr.tagging import refuse_runs, run_of_classes
from promptmlr.thresholds import check_precision

__all__ = ["PredictionRequest", "predict", "predict_archive"]


@dataclass(frozen=True)
class PredictionRequest:
    """What is predicted, as a person says it.

    Attributes:
        run: a run folder, or `hf://owner/name`; None tags with `classes`.
        images: files, folders and globs; for a run that was trained on features, files of features.
        classes: without a run: names between commas, or a file with one a line.
        also: classes that a run is given by name, as `classes`.
        threshold: a class is a label above it; None leaves that to the run, or to `precision`.
        precision: which share of labels should be right.
        top: at most this many labels per image.
        share: of `classes`, how often they are present: a number, or a CSV (`shares_of`).
        strict: refuse unreadable images instead of leaving them out.
        batch_size: images through the tower at once; None chooses.
        tower: the frozen CLIP.
        texts: how `classes` are put into words.
    """

    run: str | None
    images: Sequence[str]
    classes: str | None = None
    also: str | None = None
    threshold: float | None = None
    precision: float | None = None
    top: int | None = None
    share: str | None = None
    strict: bool = False
    batch_size: int | None = None
    tower: TowerOptions = TowerOptions()
    texts: TextOptions = TextOptions()


def predict(asked: PredictionRequest, out: Path, reporter: Reporter) -> PredictionSummary:
    """Write a row of probabilities and labels per image, as `predict_to_file` does.

    Raises:
        UserError: the options contradict each other, the run or the images.
    """
    names = () if asked.classes is None else classes_of(asked.classes)
    check_wanted(out, asked.threshold, asked.top, names)
    _check(asked)
    if asked.run is not None:
        run = _loaded(asked, asked.run, reporter)
    else:
        run = run_of_classes(
            asked.images,
            names,
            asked.tower,
            share=asked.share,
            texts=asked.texts,
            skip_unreadable=not asked.strict,
            reporter=reporter,
        )
    return predict_to_file(
        run,
        asked.images,
        out,
        threshold=asked.threshold if asked.precision is None else threshold_of(run, asked.precision, reporter),
        top=asked.top,
        strict=asked.strict,
        batch_size=asked.batch_size,
        workers=asked.tower.workers,
        device=asked.tower.device,
        reporter=reporter,
    )


def predict_archive(
    asked: PredictionRequest, out: str, archive: ArchiveOptions, overwrite: bool, reporter: Reporter
) -> Summary:
    """Write a file of rows per shard into a folder, which may lie anywhere; shards that are finished stay.

    Raises:
        UserError: as `predict` and `promptmlr.archives.process`; or classes are given by name alone.
        EnvironmentFault: as `promptmlr.archives.process`.
    """
    check_wanted(Path(f"rows.{archive.to}"), asked.threshold, asked.top)
    _check(asked)
    if asked.run is None or asked.also is not None:
        refuse_runs(asked.images if asked.run is None else ())
        raise UserError(
            "--classes and --also look at a sample of the images, and an archive is read once; make a run of a few of "
            "them in a folder (`promptmlr train` takes a table without labels, too), and predict with that"
        )
    if Path(out).is_file():
        raise UserError(f"{out} is a file, and an archive's rows are files in a folder; name another with --out")
    tower, run = asked.tower, load_run(asked.run)
    predictor = Predictor(
        run,
        threshold=asked.threshold if asked.precision is None else threshold_of(run, asked.precision, reporter),
        top=asked.top,
        backbone=tower.backbone,
        pretrained=tower.pretrained,
        device=tower.device,
        batch_size=asked.batch_size,
        workers=tower.workers,
        table=None if archive.labels is None else LabelTable(archive.labels, run.class_names),
        strict=asked.strict,
    )
    job = Job(predictor, Manifest(out, predictor.identity(), archive.to), archive.image_column)
    shards = share(find_shards(asked.images), archive.shard)
    return process(job, shards, archive, device=tower.device, overwrite=overwrite, reporter=reporter)


def _check(asked: PredictionRequest) -> None:
    """Refuse what contradicts itself, and say what was probably meant."""
    if asked.precision is not None:
        check_precision(asked.precision)
        if asked.threshold is not None:
            raise UserError("--precision and --threshold both say where a label begins; give one of them")
    if asked.classes is not None and asked.also is not None:
        raise UserError("--also adds classes to a run, and --classes stands for one; name all of them in --classes")
    if asked.run is None:
        return
    if not asked.images:
        raise UserError(
            f"{asked.run} alone: predict takes a run and images, as in `promptmlr predict RUN photos`; without a run "
            "it takes images and --classes"
        )
    about_classes = {"--share": asked.share, "--templates": asked.texts.templates, "--texts": asked.texts.texts}
    for option, value in about_classes.items():
        if value is not None:
            raise UserError(f"{option} is about --classes; for a run it is an option of `promptmlr train`")


def _loaded(asked: PredictionRequest, path: str, reporter: Reporter) -> Run:
    """The run, with its backbone where it is to see images, and with the classes that were named."""
    run, tower, also = load_run(path), asked.tower, asked.also
    if not any(has_features(Path(name)) for name in asked.images):
        run.use_backbone(tower.backbone, tower.pretrained, tower.device)
    elif tower.backbone is not None or tower.pretrained is not None:
        raise UserError("features were computed before, so leave out --backbone and --pretrained")
    elif also is not None:
        raise UserError("--also needs texts of the new classes from the run's tower, and features come without one")
    if also is None:
        return run
    names = classes_of(also, "--also")
    more = with_classes(run, names, asked.images, workers=tower.workers)
    reporter.note(
        f"added by name, with the calibration that the run's classes share, and unchecked: {first_names(names)}; a "
        "few labels of them, and `promptmlr train`, would settle it"
    )
    return more
