"""`promptmlr learning-curve`: the score against labels observed, and what more would buy."""

from dataclasses import replace
from pathlib import Path

from promptmlr.cli.lists import observations
from promptmlr.cli.options import Cache, Data, NewTower, PositiveInt, Reading, Recipe, Report
from promptmlr.cli.outcome import check_page, publish
from promptmlr.cli.progress import Terminal
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions, RecipeOptions

__all__ = ["learning_curve"]

SHARES = "0.0625,0.125,0.25,0.5,0.75,1"


def learning_curve(
    data: Data,
    /,
    *,
    method: str = "anchored",
    shares: str | None = None,
    labels: str | None = None,
    seeds: PositiveInt = 3,
    out: Path | None = None,
    report: Report = None,
    tower: NewTower = NewTowerOptions(),
    recipe: Recipe = RecipeOptions(),
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Train on parts of the observed labels, draw mAP against their number, and predict the gain from more.

    Scores are on the test split or, if there is none, on a quarter of the images, which is then never trained on.

    Args:
        method: A name from `promptmlr methods`.
        shares: Shares of the observed labels to train on, separated by commas. (default: 0.0625,0.125,0.25,0.5,0.75,1)
        labels: Numbers of observed labels instead of --shares, separated by commas.
        seeds: How many random choices of labels to train on for each share.
        out: Folder for curve.csv, ahead.csv and curve.png.
    """
    from promptmlr.advice.curve_report import CurveOutputs
    from promptmlr.advice.learning_curve import check_parts, with_test_part
    from promptmlr.advice.learning_curve import learning_curve as measured
    from promptmlr.crossvalidation import Subject
    from promptmlr.labels import UNKNOWN
    from promptmlr.opening import job_settings, open_data, open_images, open_tower
    from promptmlr.recipes import load_recipe

    terminal = Terminal()
    check_page(out, report)
    parts = observations(shares, labels, SHARES, "--shares")
    check_parts(parts)
    load_recipe(recipe.recipe, method, **recipe.changes())  # before anything is read
    train = open_data(data, "train", reading, terminal)
    test = train if train.without_splits else open_data(data, "test", replace(reading, split=None), terminal)
    train, test = with_test_part(train, test, terminal)
    backbone = open_tower(data, tower, terminal, train)
    settings = job_settings(regions, reading, tower, terminal)
    (train, shown), (tested, scored) = (open_images(part, backbone, **settings) for part in (train, test))
    known = float((train.labels != UNKNOWN).mean())
    curve = measured(
        Subject(backbone, train.class_names, shown, train.labels, order_seed=recipe.order_seed),
        (scored, tested.labels),
        method,
        load_recipe(recipe.recipe, method, observed=known, **recipe.changes()),
        parts=parts,
        seeds=seeds,
        reporter=terminal,
    )
    outputs = CurveOutputs(curve, method, f"{len(test.images):,} images of {test.source}")
    publish(outputs, out, report)
