"""`promptmlr evaluate`: the honest score of a run."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptmlr.cli.options import (
    BackboneName,
    BatchSize,
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    NoCache,
    Pretrained,
    RunFolder,
    SkipUnreadable,
    Split,
    StorageFormat,
    Unlisted,
    Workers,
    common_classes,
    data_options,
    read_data,
    region_cache,
    tower_of,
)
from promptmlr.cli.outcome import check_page
from promptmlr.cli.progress import Terminal, note
from promptmlr.names import first_names

if TYPE_CHECKING:
    from promptmlr.evaluation import Evaluation
    from promptmlr.reliability import Compared, Reliability

__all__ = ["evaluate"]

FEW_IMAGES = 500


def evaluate(
    run: RunFolder,
    data: Data,
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "annotated",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Label only where this share of labels should be right, as `predict --precision` does.",
            metavar="SHARE",
            show_default=False,
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples of the images.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the numbers go, as JSON. (default: evaluation.json in RUN, or here for a run on the Hub)",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write the scores as a page as well, with a reliability plot.", show_default=False),
    ] = None,
    skip_unreadable: SkipUnreadable = False,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    batch_size: BatchSize = None,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
    workers: Workers = 2,
) -> None:
    """Score a run on labelled images: mAP with an interval, per class, CF1 and OF1."""
    from promptmlr.cli.thresholds import threshold_of
    from promptmlr.evaluation import evaluate as score
    from promptmlr.features import open_regions
    from promptmlr.files import write_text
    from promptmlr.hub import hub_name
    from promptmlr.prediction import predict_together
    from promptmlr.regions import FreshRegions
    from promptmlr.reliability import COMPARED, compared, reliability
    from promptmlr.report.tables import table_lines
    from promptmlr.run import images_sha256, load_run
    from promptmlr.thresholds import check_precision

    out = out or (run if hub_name(run) is None else Path()) / "evaluation.json"
    check_page(out, report)
    if precision is not None:
        check_precision(precision)
    loaded = load_run(run)
    asked = None if precision is None else threshold_of(loaded, precision, None)
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    labelled = read_data(data, split, "test", format, images, options)
    trained_on = images_sha256(labelled.image_ids) == loaded.config.data.images_sha256
    rows, columns = common_classes(loaded.class_names, labelled.class_names)

    tower = tower_of(loaded, labelled, backbone, pretrained, device)
    fresh = FreshRegions(tower, labelled.images, workers=workers, skip_unreadable=skip_unreadable)
    stored = region_cache(cache, no_cache, storage, cache_key)
    readable, source = open_regions(fresh, stored, batch_size=batch_size, reporter=Terminal())
    with Terminal().progress("predicting") as say:
        models = {"calibrated": loaded.calibrated, "as trained": loaded.recognizer, "zero-shot": loaded.zero_shot}
        seen = {name: model for name, model in models.items() if model is not None}
        if loaded.calibration is None:
            del seen["calibrated"]
        found, rows_of = predict_together(list(seen.values()), source, progress=say)
    kept = readable[found]
    for error in fresh.unreadable.values():
        note(f"unreadable, left out: {error}")
    labels = labelled.labels[kept][:, columns]
    given = {name: found_rows[:, rows] for name, found_rows in zip(seen, rows_of, strict=True)}
    probabilities = next(iter(given.values()))
    if loaded.config.recipe.has_prior:  # its logits are not meant to be probabilities before they are scaled
        given.pop("as trained")
    curves = {name: reliability(one, labels) for name, one in given.items()}
    beside = compared(given, labels, curves)
    own: Any = loaded.thresholds[rows] if loaded.calibration else loaded.config.threshold
    result = score(
        probabilities,
        labels,
        [loaded.class_names[row] for row in rows],
        threshold=own if asked is None else asked,
        resamples=resamples,
    )
    lines = _table(result, loaded.config.select)
    if trained_on:
        lines.append("the run was trained on images of these names: its score on new ones will be lower")
    for line in [*lines, "", *table_lines(COMPARED, [one.cells() for one in beside], words=1)]:
        typer.echo(line)
    record = {
        "data": labelled.source + (", the images it was trained on" if trained_on else ""),
        "select": loaded.config.select,
        "trained_on": trained_on,
        **result.as_dict(),
    }
    record["reliability"] = {name: asdict(curve) for name, curve in curves.items()}
    record["compared"] = [asdict(one) for one in beside]
    write_text(out, json.dumps(record, indent=2) + "\n")
    if report is not None:
        _write_page(report, str(run), record["data"], result, lines, curves, beside)
    note(f"written to {out}" + ("" if report is None else f", as a page to {report}"))


def _write_page(
    path: Path,
    run: str,
    data: str,
    result: "Evaluation",
    lines: list[str],
    curves: "dict[str, Reliability]",
    compared: "list[Compared]",
) -> None:
    """Scores per class, means as in `lines`, and the reliability plot; all numbers are those of evaluation.json."""
    from promptmlr.reliability import COMPARED, reliability_figure
    from promptmlr.report import Report, figure_png

    page = Report(f"How good {run} is", f"On {result.images:,} images: {data}.")
    page.bullets(_sentences(lines[lines.index("") + 1 :]))
    page.table(COMPARED, [one.cells() for one in compared], caption="Beside CLIP as it is (evaluation.json)", words=1)
    page.section("Do probabilities say how often?")
    page.figure(
        figure_png(reliability_figure(curves), 1000),
        alt="Share of labels present against their probability; the table below holds the same.",
        caption="Known labels in bins of their probability, with 95 % intervals; dotted: they say how often.",
        least=20,
    )
    page.table(
        ("logits", "probability, %", "present, %", "95 % interval", "labels"),
        [
            (
                name,
                f"{100 * one.probability:.1f}",
                f"{100 * one.present:.1f}",
                f"{100 * one.low:.1f} to {100 * one.high:.1f}",
                f"{one.labels:,}",
            )
            for name, curve in curves.items()
            for one in curve.bins
        ],
        caption="Bins (evaluation.json, reliability)",
        words=1,
    )
    page.section("Classes")
    page.table(
        ("class", "AP, %", "share present, %"),
        [
            (name, _percent(ap).strip(), _percent(result.prevalence[name]).strip())
            for name, ap in result.per_class_ap.items()
        ],
        caption="Average precision (evaluation.json)",
        words=1,
    )
    page.write(path)


def _sentences(lines: list[str]) -> list[str]:
    """The lines below the table, those that are set in joined to the one above them, mAP first."""
    found: list[str] = []
    for line in lines:
        if line.startswith(" "):
            found[-1] += (" " if found[-1].endswith(":") else "; ") + line.strip()
        else:
            found.append(line)
    return sorted(found, key=lambda sentence: not sentence.startswith("mAP"))


def _table(result: "Evaluation", select: str) -> list[str]:
    width = max(map(len, ("class", *result.per_class_ap)))
    lines = [f"{'class'.ljust(width)}     AP  share present"]
    for name, ap in result.per_class_ap.items():
        lines.append(f"{name.ljust(width)}  {_percent(ap)}  {_percent(result.prevalence[name])}")
    lines.append("")
    if result.without_positive:
        lines.append(f"left out of the means, no positive label: {first_names(result.without_positive)}")
    low, high = result.mean_ap_interval
    interval = "" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f}, 95 % bootstrap interval)"
    scored = [share for name, share in result.prevalence.items() if name not in result.without_positive]
    guessing = 100 * sum(scored) / len(scored)
    bound = "its class's threshold" if isinstance(result.threshold, dict) else f"{result.threshold:.3g}"
    lines.append(f"labels at a probability above {bound}, against {result.labels_used:,} known ones:")
    lines.append(
        f"  means over classes: precision CP {100 * result.cp:.1f}, recall CR {100 * result.cr:.1f}, "
        f"CF1 {100 * result.cf1:.1f} (harmonic mean of CP and CR: {100 * result.cf1_harmonic:.1f})"
    )
    lines.append(
        f"  all labels pooled: precision OP {100 * result.op:.1f}, recall OR {100 * result.or_:.1f}, "
        f"OF1 {100 * result.of1:.1f}"
    )
    lines.append(
        f"mAP {100 * result.mean_ap:.1f}{interval} on {result.images:,} images; "
        f"guessing gives {guessing:.1f}, the mean share present"
    )
    if interval and result.images < FEW_IMAGES:
        lines.append(f"fewer than {FEW_IMAGES} images: the interval is narrower than it should be")
    if select == "test":
        lines.append("epoch selected on test data: only for comparison with papers that do the same")
    return lines


def _percent(fraction: float) -> str:
    return "    -" if math.isnan(fraction) else f"{100 * fraction:5.1f}"
