"""`promptmlr audit`: which observed labels may be wrong."""

from pathlib import Path

from promptmlr.cli.options import Cache, Data, NonNegativeInt, Overwrite, Reading, RunFolder, Tower
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import CacheOptions, DataOptions, TowerOptions

__all__ = ["audit"]

SHOWN = 20


def audit(
    run: RunFolder,
    data: Data,
    /,
    *,
    out: Path = Path("label-quality.csv"),
    overwrite: Overwrite = False,
    seed: NonNegativeInt = 0,
    tower: Tower = TowerOptions(),
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Rank known labels by how likely they are wrong, and mark label errors as cleanlab does.

    RUN gives the settings (method, recipe, backbone). The method is trained again five times, each time without a fifth
    of the labels, because a recognizer agrees too readily with the labels that it was trained on.

    Args:
        out: File for all known labels, the most doubtful first.
        seed: Random seed for folds and initial values.
    """
    from promptmlr.advice.audit import audit_run, require_cleanlab, write_label_qualities
    from promptmlr.opening import open_cache, open_data, tower_of
    from promptmlr.run import load_run

    require_cleanlab()
    check_free(out, overwrite)
    loaded = load_run(run)
    labelled = open_data(data, "train", reading, Terminal(), loaded.reading)
    tower_of(loaded, labelled, tower)
    cache = open_cache(regions)
    found = audit_run(loaded, labelled, seed=seed, cache=cache, workers=tower.workers, reporter=Terminal())
    write_label_qualities(out, found)
    issues = [one for one in found if one.issue]
    width = max((len(one.image_id) for one in issues[:SHOWN]), default=0)
    for one in issues[:SHOWN]:
        said = "present" if one.label else "absent"
        print(f"{one.image_id.ljust(width)}  {one.class_name}: {said}?  {100 * one.quality:.1f} % speak for it")
    note(f"{len(issues)} of {len(found)} observed labels may be wrong; all of them, the lowest quality first: {out}")
