"""`promptmlr suggest`: which labels to ask for next."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    BatchSize,
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

__all__ = ["suggest"]


def suggest(
    run: RunFolder,
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Where they go: .csv, or .json as pre-annotated tasks for Label Studio.")
    ] = Path("suggestions.csv"),
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many (image, class) cells to ask for.")] = 200,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it exists.")] = False,
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
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
    """Rank the unknown labels of a data set by what an answer would teach the run, spread over classes and images."""
    from promptmlr.advice.suggestion import suggest as ranked
    from promptmlr.advice.suggestion import write_suggestions, write_tasks
    from promptmlr.data import DataOptions
    from promptmlr.data.label_studio import serving
    from promptmlr.run import load_run

    if out.suffix.lower() not in (".csv", ".json"):
        raise UserError(f"cannot write {out}: the suffix must be .csv, or .json for Label Studio")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")
    loaded = load_run(run)
    labelled = read_data(data, split, "train", format, images, DataOptions(unlisted=unlisted, delimiter=delimiter))
    if out.suffix.lower() == ".json" and labelled.features is not None:
        raise UserError(f"{labelled.source}: Label Studio shows images, and these are features; name a .csv with --out")
    tower_of(loaded, labelled, backbone, pretrained, device)
    found = ranked(
        loaded,
        labelled,
        count,
        cache=region_cache(cache, no_cache, storage, cache_key),
        batch_size=batch_size,
        workers=workers,
        reporter=Terminal(),
    )
    if out.suffix.lower() == ".json":
        write_tasks(out, found, labelled, str(run))
    else:
        write_suggestions(out, found)
    asked = len({one.image_id for one in found})
    note(f"{len(found)} cells of {asked} images to ask for, the most telling first; {out}")
    if out.suffix.lower() == ".json":
        note(
            f"in Label Studio: {serving(out.parent)}; give the project the label_config.xml that "
            "`promptmlr convert --to label-studio` writes for the same labels"
        )
