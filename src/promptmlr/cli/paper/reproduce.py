"""`promptmlr reproduce`: the paper's Table 1 on VOC2007 or COCO 2014, in its own setting."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptmlr.cli.lists import fractions, words
from promptmlr.cli.options import Benchmark, Cache, NewTower, NonNegativeInt, PositiveInt, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

if TYPE_CHECKING:
    from promptmlr.paper.grid.plan import Grid

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
    from promptmlr.opening import open_cache, open_tower
    from promptmlr.paper.grid.benchmarks import BENCHMARKS, load_benchmark, what_is_missing
    from promptmlr.paper.grid.compare import compare
    from promptmlr.paper.grid.origins import SettingOrigins
    from promptmlr.paper.grid.outputs import GridOutputs
    from promptmlr.paper.grid.plan import Grid
    from promptmlr.paper.grid.published import published_scores
    from promptmlr.paper.grid.remarks import remarks_on

    chosen = words(methods)
    if reference is not None and reference not in chosen:
        raise UserError(f"--reference {reference!r} is none of the compared methods: {', '.join(chosen)}")
    grid = Grid(
        methods=chosen,
        observed=fractions(observed),
        seeds=seeds,
        order_seed=order_seed,
        recipe=recipe,
        changes={"epochs": epochs, "offset": offset, "start": start, "augmentation": augmentation, "views": views},
        benchmark=benchmark,
        select=select,
    )
    origins = SettingOrigins(grid)
    train, test = load_benchmark(benchmark, root, reading)
    for line in (train.source, *train.notes, test.source, *test.notes):
        note(line)
    missing = what_is_missing(benchmark, train, test, reading)
    remarks = [*([missing] if missing else []), *remarks_on(test)]
    settings = [_quirks(grid, reading), *origins.notes()]
    for line in (*remarks, *settings):
        note(line)
    asked = replace(tower, backbone=tower.backbone or "RN101", image_size=tower.image_size or 448)
    backbone = open_tower(str(root), asked, Terminal())
    size = backbone.image_size
    if (backbone.name, size) != ("RN101", 448):
        remarks.append(f"The paper's tower is RN101 at 448 px, and this is {backbone.name} at {size} px.")
    if select == "test":
        remarks.append(
            "As in the released code, every cell is its best epoch on these test images, so all scores lean high; "
            "--select last takes the last."
        )
    with kept_in(out, report):
        results = compare(
            grid,
            train,
            test,
            backbone,
            out,
            cache=open_cache(regions),
            skip_unreadable=reading.skip_unreadable,
            workers=tower.workers,
            reporter=Terminal(),
        )
    outputs = GridOutputs(
        results,
        reference or chosen[0],
        published_scores(benchmark),
        f"{len(test.images):,} test images of {test.source}, seen by {backbone.name} at {size} px",
        remarks,
        settings,
        f"The paper's Table 1 on {BENCHMARKS[benchmark].name}",
    )
    origins.write(out / "origins.csv")
    publish(outputs, out, report)


def _quirks(grid: "Grid", options: DataOptions) -> str:
    """What the released code does without the paper's saying so: which of it is on, and what turns it off."""
    recipes = grid.recipes().values()
    views = any(recipe.augmentation != "none" and recipe.views == "exact" for recipe in recipes)
    quirks = [
        ("the best epoch is chosen on the test images", grid.select == "test", "--select last"),
        ("a learned offset is added to prompts", any(r.offset == "random" for r in recipes), "--offset none"),
        ("embeddings start from a standard normal", any(r.start == "random" for r in recipes), "--start text"),
        ("Cutout and RandAugment show new views in every epoch", views, "--augmentation none"),
    ]
    if grid.benchmark == "voc2007":
        quirks += [
            ("classes of difficult objects alone are absent", options.difficult != "unknown", "--difficult unknown")
        ]
    else:
        quirks += [
            ("images without annotations are left out", options.coco_images != "all", "--coco-images all"),
            ("classes of crowds alone are present", options.crowd in (None, "present"), "--crowd unknown"),
        ]
    on = [f"{what} ({option} turns it off)" for what, active, option in quirks if active]
    off = [what for what, active, _ in quirks if not active]
    simple_effects = [f"As the released code does, and the paper does not say: {'; '.join(on) if on else 'nothing'}."]
    if off:
        simple_effects.append(f"Turned off: {'; '.join(off)}.")
    simple_effects.append("Labels are hidden by a seeded generator (released: an unseeded one).")
    return " ".join(simple_effects)
