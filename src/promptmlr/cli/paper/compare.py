"""`promptmlr compare`: methods × observed labels × seeds, trained side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    """Train methods on several shares or numbers of labels and seeds; the table goes to stdout.

    An interrupted comparison goes on after its last finished epoch when it is repeated.

    Args:
        out: The folder of cells.csv and table.md.
        methods: Names of `promptmlr methods`, by commas; zeroshot is always among them. (default: all)
        observed: Fractions of the known labels to keep, by commas; also single-positive (of each image one present
            label, at random) and positive-only:P (each present label with probability P). (default: 0.1,0.5,0.9)
        labels: Instead of --observed: numbers of the known labels, by commas.
        seeds: How many seeds; each hides labels and draws starts anew.
        folds: Train every cell this many times, each time without a part of the training images, and score it on
            those; the test split is not used. (default: where there is no test split, the data's own folds)
        unseen: Hide all labels of these classes from training, and score seen and unseen ones apart: a share of the
            classes at random, a text file or a list by commas of their names, or coco48-17.
        reference: The method that the others are compared with, besides zero-shot. (default: the first)
        design: Instead of methods: all kinds of presence and absence side, crossed, each trained to its plateau. 25
            pairs at every fraction, with rates searched at --epochs (20) and 3 seeds: hours.
        jobs: Processes that train the cells of a --design. (default: 1)
        most_epochs: Where a --design stops to double epochs, plateau or not. (default: 160)
    """
    from promptmlr.paper.comparing import Comparison, compare_methods, compare_sides

    not_of_design = {"--methods": methods, "--reference": reference, "--start": recipe.start, "--folds": folds}
    not_of_design |= {"--unseen": unseen, "--shared-context": recipe.shared_context or None}
    not_of_design |= {"--unknown": recipe.unknown}
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
