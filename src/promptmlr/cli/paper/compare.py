"""`promptmlr compare`: methods × observed labels × seeds, trained side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from promptmlr.cli.lists import observations, words
from promptmlr.cli.options import Cache, Data, NewTower, PositiveInt, Reading, Recipe, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions, RecipeOptions

if TYPE_CHECKING:
    from promptmlr.paper.design.outputs import DesignOutputs
    from promptmlr.paper.grid.outputs import GridOutputs

__all__ = ["compare"]

OBSERVED = "0.1,0.5,0.9"


def compare(
    data: Data,
    /,
    *,
    out: Path,
    methods: str | None = None,
    observed: str | None = None,
    labels: str | None = None,
    seeds: PositiveInt = 3,
    folds: Annotated[int | None, Parameter(validator=Number(gte=2))] = None,
    unseen: str | None = None,
    select: Literal["last", "val"] = "last",
    reference: str | None = None,
    report: Report = None,
    design: bool = False,
    jobs: PositiveInt | None = None,
    most_epochs: PositiveInt | None = None,
    tower: NewTower = NewTowerOptions(),
    recipe: Recipe = RecipeOptions(),
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Train methods with several numbers of labels and several seeds, and print a table of their scores.

    If a comparison was interrupted, the same command continues it after the last finished epoch.

    Args:
        out: Folder for cells.csv and table.md.
        methods: Names from `promptmlr methods`, separated by commas; zeroshot is always included. (default: all)
        observed: Fractions of the known labels to keep, between commas. Also single-positive (one present label an
            image), positive-only:P, federated, report, salient:P, annotators:P, candidates:P. (default: 0.1,0.5,0.9)
        labels: Numbers of labels to keep instead, between commas.
        seeds: How many seeds; each hides other labels and starts from other initial values.
        folds: Cross-validation: train every cell this many times, each time without a part of the training images, and
            score it on that part. The test split is not used. (default: the data's own folds, if no test split)
        unseen: Hide all labels of these classes, and score seen and unseen ones separately: a share drawn at random,
            names separated by commas, a file of names, or coco48-17.
        select: Epoch to score: the last, or (val) the best on a fifth of the training images, held out with all labels.
        reference: Method that the others are compared with, in addition to zero-shot. (default: the first)
        design: Instead of methods, train all pairs of a presence and an absence side, each to its plateau: 25 pairs at
            every fraction, with learning rates searched at --epochs (20) and 3 seeds. Takes hours.
        jobs: Processes for the cells of --design. (default: 1)
        most_epochs: Largest number of epochs of --design, whether or not the plateau is reached. (default: 160)
    """
    from promptmlr.paper.comparing import Comparison, compare_methods, compare_sides

    not_of_design = {"--methods": methods, "--reference": reference, "--start": recipe.start, "--folds": folds}
    not_of_design |= {"--unseen": unseen, "--shared-context": recipe.shared_context or None}
    not_of_design |= {"--unknown": recipe.unknown, "--select": None if select == "last" else select}
    if design and (given := _given(not_of_design)):
        raise UserError(f"--design crosses all sides and starts on one split of the data; leave out {given[0]}")
    if not design and (given := _given({"--jobs": jobs, "--most-epochs": most_epochs})):
        raise UserError(f"{given[0]} is for a --design; leave it out")
    asked = Comparison(
        data,
        observations(observed, labels, OBSERVED),
        seeds,
        None if methods is None else words(methods),
        reference,
        folds,
        unseen,
        select,
        recipe,
        tower,
        reading,
        regions,
    )
    outputs: DesignOutputs | GridOutputs
    with kept_in(out, report):
        if design:
            outputs = compare_sides(asked, out, Terminal(), jobs=jobs or 1, most_epochs=most_epochs)
        else:
            outputs = compare_methods(asked, out, Terminal())
    publish(outputs, out, report)


def _given(options: Mapping[str, object]) -> list[str]:
    """Those that were given."""
    return [option for option, value in options.items() if value is not None]
