"""`promptmlr evaluate`: the honest score of a run."""

from pathlib import Path

from promptmlr.cli.options import Batch, Cache, Data, NonNegativeInt, Precision, Reading, Report, RunFolder, Tower
from promptmlr.cli.outcome import check_page
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import CacheOptions, DataOptions, TowerOptions

__all__ = ["evaluate"]


def evaluate(
    run: RunFolder,
    data: Data,
    /,
    *,
    precision: Precision = None,
    out: Path | None = None,
    report: Report = None,
    resamples: NonNegativeInt = 1000,
    tower: Tower = TowerOptions(),
    batch_size: Batch = None,
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Score a run on labelled images: mAP with an interval, scores per class, CF1 and OF1.

    Data in the same format as the run's training data are read with the same settings, unless options change them.

    Args:
        out: JSON file for the scores. (default: evaluation.json in RUN, or in the current folder for a run on the Hub)
        resamples: How many bootstrap resamples of the images to draw.
    """
    from promptmlr.hub import hub_name
    from promptmlr.opening import job_settings, open_data, tower_of
    from promptmlr.run import check_evaluation, load_run
    from promptmlr.scoring import score_run
    from promptmlr.thresholds import check_precision

    out = out or (run if hub_name(run) is None else Path()) / "evaluation.json"
    check_evaluation(out)
    check_page(out, report)
    if precision is not None:
        check_precision(precision)
    loaded, say = load_run(run), Terminal()
    labelled = open_data(data, "test", reading, say, loaded.reading)
    tower_of(loaded, labelled, tower)
    score = score_run(
        loaded,
        labelled,
        precision=precision,
        resamples=resamples,
        batch_size=batch_size,
        **job_settings(regions, reading, tower, say),
    )
    print("\n".join(score.lines()))
    score.write(out)
    if report is not None:
        score.write_page(report, str(run))
    note(f"written to {out}" + ("" if report is None else f", as a page to {report}"))
