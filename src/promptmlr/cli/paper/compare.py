"""`promptmlr compare`: methods × observed labels × seeds, trained side by side."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer

from promptmlr.cli.options import (
    BackboneName,
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    ImageSize,
    NoCache,
    OrderSeed,
    PrecisionOption,
    Pretrained,
    SkipUnreadable,
    StorageFormat,
    UnknownCost,
    Unlisted,
    Workers,
    data_options,
    observations,
    open_tower,
    read_data,
    region_cache,
    usable_methods,
    words,
)
from promptmlr.cli.outcome import check_page, kept_in, publish
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.features import RegionCache

__all__ = ["compare"]

OBSERVED = "0.1,0.5,0.9"


class _Where(TypedDict):
    cache: "RegionCache | None"
    skip_unreadable: bool
    workers: int
    reporter: Terminal


def compare(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder of cells.csv and table.md.", show_default=False)],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names of `promptmlr methods`, by commas; zeroshot is always among them. (default: all)",
            show_default=False,
        ),
    ] = None,
    observed: Annotated[
        str | None,
        typer.Option(
            metavar="P,P,…",
            help="Fractions of the known labels to keep, by commas; also single-positive (of each image one present "
            f"label, at random) and positive-only:P (each present label with probability P). (default: {OBSERVED})",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…", help="Instead of --observed: numbers of the known labels, by commas.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds; each hides labels and draws starts anew.")] = 3,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="K",
            help="Train every cell K times, each time without a K-th of the training images, and score it on those; "
            "the test split is not used. (default: where there is no test split, the data's own folds)",
            show_default=False,
        ),
    ] = None,
    unseen: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|FILE|NAMES",
            help="Hide all labels of these classes from training, and score seen and unseen ones apart: a share of the "
            "classes at random, a text file or a list by commas of their names, or coco48-17.",
            show_default=False,
        ),
    ] = None,
    order_seed: OrderSeed = 0,
    recipe: Annotated[str, typer.Option(help="default, released, or a TOML file.")] = "default",
    epochs: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="The method that the others are compared with, besides zero-shot. (default: the first)",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the results as a page as well.", show_default=False)
    ] = None,
    design: Annotated[
        bool,
        typer.Option(
            "--design",
            help="Instead of methods: all kinds of presence and absence side, crossed, each trained to its plateau. "
            "25 pairs at every fraction, with rates searched at --epochs (20) and 3 seeds: hours.",
        ),
    ] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    unknown: UnknownCost = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that train the cells of a --design. (default: 1)", show_default=False),
    ] = None,
    most_epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Where a --design stops to double epochs, plateau or not. (default: 160)", show_default=False
        ),
    ] = None,
    start: Annotated[
        Literal["random", "agnostic", "text"] | None,
        typer.Option(help="Where embeddings start. (default: the recipe's)", show_default=False),
    ] = None,
    shared_context: Annotated[
        bool, typer.Option("--shared-context", help="One context for all classes, unseen ones included.")
    ] = False,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    image_size: ImageSize = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "annotated",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    skip_unreadable: SkipUnreadable = False,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
    precision: PrecisionOption = "auto",
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """Train methods on several shares or numbers of labels and seeds; the table goes to stdout.

    An interrupted comparison goes on after its last finished epoch when it is repeated.
    """
    from promptmlr.methods import METHODS, create_recognizer, methods_on
    from promptmlr.paper.design.outputs import DesignOutputs
    from promptmlr.paper.design.running import Design, run_design
    from promptmlr.paper.design.search import Rule
    from promptmlr.paper.grid.benchmarks import benchmark_of
    from promptmlr.paper.grid.compare import compare as run
    from promptmlr.paper.grid.folds import draw_folds
    from promptmlr.paper.grid.observed import in_words, observed_as
    from promptmlr.paper.grid.outputs import GridOutputs
    from promptmlr.paper.grid.plan import Grid, with_zero_shot
    from promptmlr.paper.grid.published import published_scores
    from promptmlr.paper.grid.remarks import remarks_on
    from promptmlr.paper.grid.unseen import choose_classes, unseen_findings
    from promptmlr.recipes import load_recipe

    named = {"--methods": methods, "--reference": reference, "--start": start, "--folds": folds, "--unseen": unseen}
    named |= {"--shared-context": shared_context or None, "--unknown": unknown}
    if design and (given := [option for option, value in named.items() if value is not None]):
        raise UserError(f"--design crosses all sides and starts on one split of the data; leave out {given[0]}")
    of_design = {"--jobs": jobs, "--most-epochs": most_epochs}
    if not design and (given := [option for option, value in of_design.items() if value is not None]):
        raise UserError(f"{given[0]} is for a --design; leave it out")
    chosen = with_zero_shot(METHODS if methods is None else words(methods))
    if reference is not None and reference not in chosen:
        raise UserError(f"--reference {reference!r} is none of the compared methods: {', '.join(chosen)}")
    hidings = observations(observed, labels, OBSERVED)
    if design and (wrong := [hiding.name for hiding in hidings if hiding.protocol != "fraction"]):
        raise UserError(f"--design is crossed with fractions of the labels; leave out {wrong[0]}")
    for method in ["dualcoop"] if design else chosen:  # before anything is read
        load_recipe(recipe, method, batch_size=batch_size, unknown=unknown)
    check_page(out, report)
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    train = read_data(data, None, "train", format, images, options)
    test = None
    if folds is not None:
        train = replace(train, folds=draw_folds(len(train.images), folds))
    elif not train.without_splits:
        test = read_data(data, None, "test", format, images, options)
    elif train.folds is None or design:
        splitting = f"promptmlr convert {shlex.quote(data)} split.csv --to csv --hold-out 0.2 makes a split"
        raise UserError(
            f"{data} has no test split, and nothing is scored on what it was trained on: --folds 5 scores out of fold, "
            + (splitting if train.features is None else "a key or column `split` makes one")
        )
    hidden: list[str] = []
    if unseen is not None:
        scored, hidden = choose_classes(unseen, train.class_names)
        test = None if test is None else test.with_classes(train.class_names).of_classes(scored)
        train = train.of_classes(scored)
    scored_on, numbers = (train, train.folds) if test is None else (test, None)
    remarks = remarks_on(scored_on, numbers)
    for remark in remarks:
        note(remark)
    tower = open_tower(data, backbone, pretrained, image_size, precision, device, train)
    if not tower.has_text_tower:
        if design:
            raise UserError("--design crosses prompts with other sides, and features come without a text tower")
        kept = [reference] if methods is None else [reference, *words(methods)]
        usable = usable_methods(tower) if methods is None else methods_on(tower)
        chosen = [name for name in chosen if name in usable or name in kept]
        for method in chosen:  # before the folder is made
            start_options = load_recipe(recipe, method, start=start).start_options()
            create_recognizer(method, tower, train.class_names, **start_options)
    where: _Where = {
        "cache": region_cache(cache, no_cache, storage, cache_key),
        "skip_unreadable": skip_unreadable,
        "workers": workers,
        "reporter": Terminal(),
    }
    kind = "images" if test is None else "test images"
    shown = f"{len(scored_on.images):,} {kind} of {scored_on.source}, {tower.description}"
    outputs: DesignOutputs | GridOutputs
    if design:
        first = Rule().epochs if epochs is None else epochs
        rule = Rule(epochs=first, most_epochs=max(most_epochs or Rule().most_epochs, first))
        shares = [hiding.amount for hiding in hidings]
        sides = Design(shares, seeds, load_recipe(recipe, "dualcoop", batch_size=batch_size), rule, order_seed)
        with kept_in(out, report):
            found, choices = run_design(sides, train, scored_on, tower, out, jobs=jobs or 1, **where)
        outputs = DesignOutputs(found, choices, rule, shown, remarks)
    else:
        asked = {"epochs": epochs, "start": start, "batch_size": batch_size, "unknown": unknown}
        changes = asked | {"class_specific": False if shared_context else None}
        seen = [observed_as(hiding) for hiding in hidings]
        grid = Grid(chosen, seen, seeds, order_seed, recipe, changes, unseen=hidden)
        with kept_in(out, report):
            results = run(grid, train, test, tower, out, **where)
        published = {} if test is None or hidden else published_scores(benchmark_of(test))
        changed = [f"{key.replace('_', ' ')} {value}" for key, value in asked.items() if value is not None]
        changed += ["one context for all classes"] * shared_context
        settings = [
            f"Recipe {recipe}" + (f", but {', '.join(changed)}." if changed else "."),
            *in_words(grid.observed),
            *unseen_findings(hidden, train.class_names, grid.recipes(train.labels)),
        ]
        number = 1 if numbers is None else len(set(numbers.tolist()))
        outputs = GridOutputs(results, reference or chosen[0], published, shown, remarks, settings, folds=number)
    publish(outputs, out, report)
