"""`promptmlr audit`: which observed labels look wrong."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    CacheFolder,
    CacheKey,
    Data,
    Delimiter,
    Device,
    Format,
    ImageFolder,
    NoCache,
    Pretrained,
    RunFolder,
    Split,
    StorageFormat,
    Unlisted,
    Workers,
    read_data,
    region_cache,
    tower_of,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

__all__ = ["audit"]

SHOWN = 20


def audit(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="Where all observed labels go, the most doubtful first.")] = Path(
        "doubts.csv"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it exists.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and starts.")] = 0,
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
    workers: Workers = 2,
) -> None:
    """Rank observed labels by how likely they are wrong; label issues as cleanlab finds them.

    RUN says how to train (method, recipe, backbone): it is trained anew five times, each time without a fifth of the
    labels, as a recognizer believes the labels that it was trained on.
    """
    import numpy as np

    from promptmlr.advice.audit import doubts, require_cleanlab, write_doubts
    from promptmlr.crossvalidation import FOLDS, Subject, out_of_fold
    from promptmlr.data import DataOptions
    from promptmlr.features import readable_regions
    from promptmlr.labels import UNKNOWN
    from promptmlr.names import first_names
    from promptmlr.prior.ticks import ticked_classes
    from promptmlr.regions import FreshRegions
    from promptmlr.run import load_run

    require_cleanlab()
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")
    loaded = load_run(run)
    labelled = read_data(data, split, "train", format, images, DataOptions(unlisted=unlisted, delimiter=delimiter))
    if not (labelled.labels != UNKNOWN).any():
        raise UserError(f"{data}: no label is known, so there is none to audit")
    ticked = ticked_classes(labelled.labels)
    if not ticked.any():  # else what nobody ticked costs something, too
        labelled = labelled.rows(np.flatnonzero((labelled.labels != UNKNOWN).any(axis=1)))
    tower = tower_of(loaded, labelled, backbone, pretrained, device)
    fresh = FreshRegions(tower, labelled.images, workers=workers, skip_unreadable=True)
    kept, source = readable_regions(fresh, region_cache(cache, no_cache, storage, cache_key), Terminal())
    labelled = labelled.rows(kept)
    subject = Subject(tower, labelled.class_names, source, labelled.labels, seed)
    with Terminal().progress(f"epochs of {FOLDS} trainings side by side") as say:
        margins = out_of_fold(
            subject, loaded.config.method, loaded.config.recipe, lambda report: say(report.epoch, report.epochs)
        )
    found = doubts(labelled, margins)
    write_doubts(out, found)
    if ticked.any():
        which = [name for name, tick in zip(labelled.class_names, ticked, strict=True) if tick]
        note(
            f"no label says where these are absent: {first_names(which)}; issues are found where labels of both kinds "
            "compare, so theirs are ranked and none is called one"
        )
    issues = [one for one in found if one.issue]
    if issues:
        width = max(len(one.image_id) for one in issues[:SHOWN])
        for one in issues[:SHOWN]:
            said = "present" if one.label else "absent"
            typer.echo(
                f"{one.image_id.ljust(width)}  {one.class_name}: {said}?  {100 * one.quality:.1f} % speak for it"
            )
    note(f"{len(issues)} of {len(found)} observed labels look wrong; all of them, the most doubtful first: {out}")
