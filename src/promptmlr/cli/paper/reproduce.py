"""`promptmlr reproduce`: the paper's Table 1 on VOC2007 or COCO 2014, in its own setting."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptmlr.cli.options import (
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Device,
    Difficult,
    NoCache,
    OrderSeed,
    PrecisionOption,
    Pretrained,
    SkipUnreadable,
    StorageFormat,
    Workers,
    fractions,
    open_tower,
    region_cache,
    words,
)
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.data import DataOptions
    from promptmlr.paper.grid.plan import Grid

__all__ = ["reproduce"]

METHODS = "dualcoop,baseline,negativecoop,positivecoop"
FRACTIONS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"


def reproduce(
    benchmark: Annotated[Literal["voc2007", "coco2014"], typer.Argument(help="Which of the paper's data sets.")],
    root: Annotated[Path, typer.Option(help="The folder of VOC's devkit, or of COCO.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder of cells.csv and table.md.", show_default=False)],
    methods: Annotated[str, typer.Option(help="Names of `promptmlr methods`, by commas.")] = METHODS,
    observed: Annotated[str, typer.Option(help="Fractions of labels to keep, by commas.")] = FRACTIONS,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds; the paper's numbers are one run each.")] = 1,
    order_seed: OrderSeed = 0,
    recipe: Annotated[str, typer.Option(help="released, default, or a TOML file.")] = "released",
    epochs: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="The method that the others are compared with. (default: the first)", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the results as a page as well.", show_default=False)
    ] = None,
    select: Annotated[
        Literal["test", "last"],
        typer.Option(help="Score the epoch that is best on the test images (as released), or the last."),
    ] = "test",
    offset: Annotated[
        Literal["none", "zero", "random"] | None,
        typer.Option(
            help="Of prompts, which the paper does not show. (default: random, as released)", show_default=False
        ),
    ] = None,
    start: Annotated[
        Literal["random", "agnostic", "text"] | None,
        typer.Option(help="Where embeddings start. (default: random, as released)", show_default=False),
    ] = None,
    augmentation: Annotated[
        Literal["none", "cutout+randaugment"] | None,
        typer.Option(help="Of training images. (default: cutout+randaugment, as released)", show_default=False),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="K|exact",
            help="Views of each image, one drawn per epoch; exact: new ones in every epoch, as released (the default).",
            show_default=False,
        ),
    ] = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "annotated",
    crowd: Crowd = "present",
    backbone: Annotated[
        str, typer.Option(help="A name of `promptmlr backbones`, or a checkpoint file in OpenAI's layout.")
    ] = "RN101",
    pretrained: Pretrained = None,
    image_size: Annotated[int, typer.Option(min=1, help="Pixels.")] = 448,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, where it is not the usual one.", show_default=False)
    ] = None,
    skip_unreadable: SkipUnreadable = False,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
    precision: PrecisionOption = "auto",
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """The paper's methods at its fractions of observed labels, trained as released, with its numbers beside.

    RN101 at 448 px. What the released code does and the paper does not say is on, an option turns each off, and all is
    said at the start: so is which settings were published and which were not. Interrupted, it goes on when repeated.
    """
    from promptmlr.data import DataOptions
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
    options = DataOptions(difficult=difficult, coco_images=coco_images, crowd=crowd)
    train, test = load_benchmark(benchmark, root, options, images)
    for line in (train.source, *train.notes, test.source, *test.notes):
        note(line)
    missing = what_is_missing(benchmark, train, test, options)
    remarks = [*([missing] if missing else []), *remarks_on(test)]
    settings = [_quirks(grid, options), *origins.notes()]
    for line in (*remarks, *settings):
        note(line)
    tower = open_tower(str(root), backbone, pretrained, image_size, precision, device)
    size = tower.image_size
    if (tower.name, size) != ("RN101", 448):
        remarks.append(f"The paper's tower is RN101 at 448 px, and this is {tower.name} at {size} px.")
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
            tower,
            out,
            cache=region_cache(cache, no_cache, storage, cache_key),
            skip_unreadable=skip_unreadable,
            workers=workers,
            reporter=Terminal(),
        )
    outputs = GridOutputs(
        results,
        reference or chosen[0],
        published_scores(benchmark),
        f"{len(test.images):,} test images of {test.source}, seen by {tower.name} at {size} px",
        remarks,
        settings,
        f"The paper's Table 1 on {BENCHMARKS[benchmark].name}",
    )
    origins.write(out / "origins.csv")
    publish(outputs, out, report)


def _quirks(grid: "Grid", options: "DataOptions") -> str:
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
            ("classes of difficult objects alone are absent", options.difficult == "skip", "--difficult unknown")
        ]
    else:
        quirks += [
            ("images without annotations are left out", options.coco_images == "annotated", "--coco-images all"),
            ("classes of crowds alone are present", options.crowd == "present", "--crowd unknown"),
        ]
    on = [f"{what} ({option} turns it off)" for what, active, option in quirks if active]
    off = [what for what, active, _ in quirks if not active]
    parts = [f"As the released code does, and the paper does not say: {'; '.join(on) if on else 'nothing'}."]
    if off:
        parts.append(f"Turned off: {'; '.join(off)}.")
    parts.append("Labels are hidden by a seeded generator (released: an unseeded one).")
    return " ".join(parts)
