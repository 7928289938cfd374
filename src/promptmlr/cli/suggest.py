"""`promptmlr suggest`: which labels to ask for next."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import Batch, Cache, Data, Overwrite, PositiveInt, Reading, RunFolder, Tower
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, TowerOptions

__all__ = ["suggest"]


def suggest(
    run: RunFolder,
    data: Data,
    /,
    *,
    count: Annotated[PositiveInt, Parameter(alias="-n")] = 200,
    out: Path = Path("suggestions.csv"),
    overwrite: Overwrite = False,
    tower: Tower = TowerOptions(),
    batch_size: Batch = None,
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """List the blank cells whose labels would improve the run most, spread over classes and images.

    Args:
        count: How many cells (an image and a class) to list.
        out: File for the list: .csv, or .json with pre-annotated tasks for Label Studio.
    """
    from promptmlr.advice.suggestion import suggest as ranked
    from promptmlr.advice.suggestion import write_suggestions, write_tasks
    from promptmlr.data.formats.label_studio import serving
    from promptmlr.opening import open_cache, open_data, tower_of
    from promptmlr.run import load_run

    as_tasks = out.suffix.lower() == ".json"
    if not as_tasks and out.suffix.lower() != ".csv":
        raise UserError(f"cannot write {out}: the suffix must be .csv, or .json for Label Studio")
    check_free(out, overwrite)
    loaded = load_run(run)
    labelled = open_data(data, "train", reading, Terminal(), loaded.reading)
    if as_tasks and labelled.features is not None:
        raise UserError(f"{labelled.source}: Label Studio shows images, and these are features; name a .csv with --out")
    tower_of(loaded, labelled, tower)
    found = ranked(
        loaded,
        labelled,
        count,
        cache=open_cache(regions),
        batch_size=batch_size,
        workers=tower.workers,
        reporter=Terminal(),
    )
    if as_tasks:
        write_tasks(out, found, labelled, str(run))
    else:
        write_suggestions(out, found)
    asked = len({one.image_id for one in found})
    note(f"{len(found)} cells of {asked} images to ask for, the most telling first; {out}")
    if as_tasks:
        note(
            f"in Label Studio: {serving(out.parent)}; give the project the label_config.xml that "
            "`promptmlr convert --to label-studio` writes for the same labels"
        )
