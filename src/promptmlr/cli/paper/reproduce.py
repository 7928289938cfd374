"""`promptmlr reproduce`: the paper's Table 1 on VOC2007 or COCO 2014, in its own setting."""

from pathlib import Path
from typing import Literal

from promptmlr.cli.lists import fractions, words
from promptmlr.cli.options import Benchmark, Cache, NewTower, NonNegativeInt, PositiveInt, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

__all__ = ["reproduce"]

METHODS = "dualcoop,baseline,negativecoop,positivecoop"
FRACTIONS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"


def reproduce(
    benchmark: Literal["voc2007", "coco2014"],
    /,
    *,
    root: Path,
    out: Path,
    report: Report = None,
    methods: str = METHODS,
    observed: str = FRACTIONS,
    seeds: PositiveInt = 1,
    order_seed: NonNegativeInt = 0,
    recipe: str = "released",
    epochs: PositiveInt | None = None,
    reference: str | None = None,
    select: Literal["test", "last"] = "test",
    offset: Literal["none", "zero", "random"] | None = None,
    start: Literal["random", "agnostic", "text"] | None = None,
    augmentation: Literal["none", "cutout+randaugment"] | None = None,
    views: Literal["exact"] | PositiveInt | None = None,
    tower: NewTower = NewTowerOptions(),
    reading: Benchmark = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """The paper's methods at its fractions of observed labels, trained as released, with its numbers beside.

    RN101 at 448 px. What the released code does and the paper does not say is on, an option turns each off, and all is
    said at the start: so is which settings were published and which were not. Interrupted, it goes on when repeated.

    Args:
        benchmark: Which of the paper's data sets.
        root: The folder of VOC's devkit, or of COCO.
        out: The folder of cells.csv and table.md.
        methods: Names of `promptmlr methods`, by commas.
        observed: Fractions of labels to keep, by commas.
        seeds: How many seeds; the paper's numbers are one run each.
        order_seed: Seed of the order of images, and of their augmented views.
        recipe: released, default, or a TOML file.
        epochs: How often training sees each image. (default: the recipe's)
        reference: The method that the others are compared with. (default: the first)
        select: Score the epoch that is best on the test images (as released), or the last.
        offset: Of prompts, which the paper does not show. (default: random, as released)
        start: Where embeddings start. (default: random, as released)
        augmentation: Of training images. (default: cutout+randaugment, as released)
        views: Views of each image, one drawn per epoch; exact: new ones in every epoch, as released (the default).
    """
    from promptmlr.paper.grid.plan import Grid
    from promptmlr.paper.reproducing import reproduce_table

    grid = Grid(
        methods=words(methods),
        observed=fractions(observed),
        seeds=seeds,
        order_seed=order_seed,
        recipe=recipe,
        changes={"epochs": epochs, "offset": offset, "start": start, "augmentation": augmentation, "views": views},
        benchmark=benchmark,
        select=select,
    )
    with kept_in(out, report):
        outputs = reproduce_table(
            grid,
            root,
            out,
            reference=reference,
            tower=tower,
            reading=reading,
            regions=regions,
            reporter=Terminal(),
        )
    publish(outputs, out, report)
