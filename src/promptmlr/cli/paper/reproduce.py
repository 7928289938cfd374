"""`promptmlr reproduce`: the paper's Table 1 on VOC2007, COCO 2014 and other data sets, in its own setting."""

from pathlib import Path
from typing import Annotated, Literal

from promptmlr.cli.lists import fractions, words
from promptmlr.cli.options import TRAINING, Benchmark, Cache, NewTower, NonNegativeInt, PositiveInt, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

__all__ = ["reproduce"]

METHODS = "dualcoop,baseline,negativecoop,positivecoop"
FRACTIONS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"


def reproduce(
    benchmark: Literal["voc2007", "coco2014", "nuswide", "vg500", "vg200"],
    /,
    *,
    root: Path,
    out: Path,
    report: Report = None,
    methods: str = METHODS,
    observed: str = FRACTIONS,
    seeds: PositiveInt = 1,
    order_seed: Annotated[NonNegativeInt, TRAINING] = 0,
    recipe: str = "released",
    epochs: PositiveInt | None = None,
    reference: str | None = None,
    select: Literal["test", "last", "val"] = "test",
    empty_classes: Literal["left-out", "zero"] = "left-out",
    offset: Literal["none", "zero", "random"] | None = None,
    start: Literal["random", "agnostic", "text"] | None = None,
    augmentation: Literal["none", "cutout+randaugment"] | None = None,
    views: Annotated[Literal["exact"] | PositiveInt | None, TRAINING] = None,
    tower: NewTower = NewTowerOptions(),
    reading: Benchmark = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Train the paper's methods as released, and print the paper's scores beside.

    RN101 at 448 px, with the paper's fractions of observed labels. Everything that the released code does and the paper
    does not mention is on by default, and has an option that turns it off. The command first prints which of it is on,
    and which settings were published. Repeat it to continue.

    Args:
        benchmark: voc2007 and coco2014 are the paper's; vg500 and vg200 need the names of their --classes.
        root: Folder of the data set.
        out: Folder for cells.csv and table.md.
        methods: Names from `promptmlr methods`, separated by commas.
        observed: Fractions of the known labels to keep, separated by commas.
        seeds: How many seeds; each number of the paper is from one run.
        order_seed: Random seed for the order of images and for their augmented views.
        recipe: released, default, or a TOML file.
        epochs: How many times training goes through all images. (default: the recipe's)
        reference: Method that the others are compared with. (default: the first)
        select: Score the epoch that is best on the test images (as released), the last, or (val) the best on a fifth of
            the training images, held out with all labels.
        empty_classes: Leave classes that no test image shows out of mAP and CF1, or count them as 0, as released.
        offset: Learned vector added to the text feature of a prompt; the paper does not mention it. (default: random,
            as released)
        start: Initial value of learned embeddings. (default: random, as released)
        augmentation: Augmentation of training images. (default: cutout+randaugment, as released)
        views: How many augmented views of each image to make; an epoch uses one of them. exact: new views in every
            epoch, as released. (default: exact)
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
        empty_classes=empty_classes,
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
