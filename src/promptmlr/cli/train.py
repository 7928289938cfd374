"""`promptmlr train`: one run, from images and partial labels to a run folder."""

import math
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    LabelCount,
    NoCache,
    Observed,
    OrderSeed,
    PrecisionOption,
    Pretrained,
    Shares,
    SkipUnreadable,
    Split,
    StorageFormat,
    TemplatesOption,
    Texts,
    UnknownCost,
    Unlisted,
    Workers,
    data_options,
    observation,
    open_tower,
    read_data,
    region_cache,
    usable_methods,
    words,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.advice.choice import Candidate

__all__ = ["train"]

AUTO = "auto"


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to make.", show_default=False)],
    method: Annotated[
        str,
        typer.Option(
            help="A name of `promptmlr methods`, or auto: the one with the best mAP in cross-validation on the "
            "observed labels; anchored, where it is within noise of that."
        ),
    ] = "anchored",
    unknown: UnknownCost = None,
    prior_strength: Annotated[
        str | None,
        typer.Option(
            metavar="auto|infinite|LAMBDA",
            help="How strongly anchored holds on to CLIP; auto: chosen on the known labels. (default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    shares: Shares = None,
    observed: Observed = None,
    labels: LabelCount = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the mask and of random starts.")] = 0,
    order_seed: OrderSeed = 0,
    recipe: Annotated[str, typer.Option(help="default, released, or a TOML file.")] = "default",
    epochs: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    start: Annotated[
        Literal["random", "agnostic", "text"] | None,
        typer.Option(help="Where embeddings start. (default: the recipe's)", show_default=False),
    ] = None,
    offset: Annotated[
        Literal["none", "zero", "random"] | None,
        typer.Option(help="Of prompts, as the released code adds it. (default: the recipe's)", show_default=False),
    ] = None,
    context_length: Annotated[
        int | None,
        typer.Option(
            min=1, help="That many context tokens from random values. (default: the recipe's)", show_default=False
        ),
    ] = None,
    context_words: Annotated[
        str | None, typer.Option(help="Contexts start from these words instead of random values.", show_default=False)
    ] = None,
    shared_context: Annotated[bool, typer.Option("--shared-context", help="One context for all classes.")] = False,
    templates: TemplatesOption = None,
    texts: Texts = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="K|exact",
            help="Augmented views of each image, one drawn per epoch; exact: new ones in every epoch. "
            "(default: the recipe's)",
            show_default=False,
        ),
    ] = None,
    select: Annotated[
        Literal["last", "val", "test"],
        typer.Option(
            help="Keep the last epoch; the best on a tenth of the observed labels, held out (val); or the best on test "
            "data (test: only to compare with papers that do it, and marked wherever it appears)."
        ),
    ] = "last",
    calibrate: Annotated[
        bool,
        typer.Option(
            help="Fit probabilities and a threshold per class: on all known labels, each out of fold, or where "
            "they are many on a tenth held out. anchored is trained to give probabilities, and needs neither."
        ),
    ] = True,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    image_size: ImageSize = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Keep-mask instead of --observed: released .pt, .npy or .csv.", show_default=False),
    ] = None,
    unknown_code: Annotated[
        str | None, typer.Option(help="What 'unknown' is written as in a label-like --mask CSV.", show_default=False)
    ] = None,
    split: Split = None,
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
    log: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What else follows the run, by commas: tensorboard (events in OUT/tensorboard).",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in OUT.partial.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Say at the end where the time went.")] = False,
    precision: PrecisionOption = "auto",
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """Train one recognizer from partial labels and write a run folder."""
    from torch import cuda

    from promptmlr.advice.choice import choose_method, described, taken, write_candidates
    from promptmlr.crossvalidation import Subject
    from promptmlr.data import load_data, load_keep_mask
    from promptmlr.data.shares import shares_of
    from promptmlr.data.texts import texts_of
    from promptmlr.features import readable_regions
    from promptmlr.following import follower
    from promptmlr.labels import UNKNOWN, Observation, hide
    from promptmlr.methods import METHODS, reads_texts, takes_start
    from promptmlr.pipeline import TrainingJob, train_run
    from promptmlr.recipes import Recipe, load_recipe
    from promptmlr.regions import FreshRegions
    from promptmlr.run import RunInProgress, partial_of, read_config

    RunInProgress.check_free(out, resume)
    followers = [] if log is None else [follower(name) for name in words(log)]
    hiding = observation(observed, labels)
    if mask is not None and hiding != Observation():
        given = "--observed" if labels is None else "--labels"
        raise UserError(f"{given} and --mask both say which labels are hidden; give one of them")
    if mask is None and unknown_code is not None:
        raise UserError("--unknown-code is about a --mask, and there is none")
    recipe_of = partial(
        load_recipe,
        recipe,
        epochs=epochs,
        batch_size=batch_size,
        start=start,
        offset=offset,
        context_length=context_length,
        context_words=context_words,
        class_specific=False if shared_context else None,
        views=views,
        unknown=unknown,
        prior_strength=_strength(prior_strength),
        templates=templates,
    )
    auto = method == AUTO
    if auto and resume:
        method = read_config(partial_of(out) / "config.json").method
        note(f"going on with {method}, which --method auto had chosen")
    for name in METHODS if method == AUTO else [method]:  # before anything is read
        checked = recipe_of(name, observed=hiding.amount if hiding.protocol == "fraction" else None)
        if prior_strength is not None and not auto and not checked.has_prior:
            raise UserError(f"--prior-strength is about a prior, and {name} has none in this recipe; leave it out")
        if start is not None and not auto and not takes_start(name):
            raise UserError(f"--start is about embeddings that start anywhere, and {name} has none; leave it out")
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    labelled = read_data(data, split, "train", format, images, options)
    reading = _reading(format, images, unlisted, delimiter, skip_unreadable)
    following = shlex.join(["evaluate", str(out), data, *reading])
    if labelled.without_splits:
        splitting = shlex.join(["convert", data, "split.csv", "--to", "csv", "--hold-out", "0.2", *reading])
        keeping = f"first: promptmlr {splitting}" if labelled.features is None else "give each row a `split`"
        note(f"note: no image is left to score the run on; to keep some, {keeping}")
        following = shlex.join(["predict", str(out), "IMAGES" if labelled.features is None else data])
    if mask is None:
        keep = hiding.keep(labelled.labels, seed)
        share = hiding.share(labelled.labels)
    else:
        order = labelled.annotation_order
        keep = load_keep_mask(mask, labelled.image_ids, labelled.class_names, order, unknown_code)
        share = float((keep & (labelled.labels != UNKNOWN)).mean())
    shown, protocol = float(keep.mean()) if mask else hiding.amount, None
    if hiding.protocol != "fraction":
        shown, protocol = float(keep[labelled.labels != UNKNOWN].mean()), hiding.name
        note(f"{hiding.name}: {hiding}; validation and test labels stay as they are")
    written = None if texts is None else texts_of(texts, labelled.class_names)

    def settled(name: str) -> Recipe:
        found = recipe_of(name, observed=share, texts=written)
        if not auto or reads_texts(name, found.start):
            return found
        return found.model_copy(update={"templates": "one", "texts": {}})  # it is compared as it is

    tower = open_tower(data, backbone, pretrained, image_size, precision, device, labelled, out if resume else None)
    stored = region_cache(cache, no_cache, storage, cache_key)
    candidates: list[Candidate] = []
    if method == AUTO:
        fresh = FreshRegions(tower, labelled.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(fresh, stored, Terminal())
        seen = hide(labelled.labels, keep)[kept]
        subject = Subject(tower, labelled.class_names, source, seen, seed, order_seed)
        recipes = {name: settled(name) for name in usable_methods(tower)}
        candidates = choose_method(subject, recipes, reporter=Terminal())
        method = taken(candidates).method
        for line in described(candidates):
            note(line)
    tested = None
    if select == "test":
        tested = load_data(data, None, purpose="test", format=format, images=images, options=options)
    job = TrainingJob(
        method=method,
        recipe=settled(method),
        labelled=labelled,
        keep=keep,
        observed=shown,
        protocol=protocol,
        seed=seed,
        order_seed=order_seed,
        select=select,
        calibrate=calibrate,
        selection_data=tested,
        share=None if shares is None else shares_of(shares, labelled.class_names),
    )
    if tower.device.type == "cpu" and cuda.is_available():
        note("note: this runs on the CPU; --device cuda uses the GPU")
    begin = time.perf_counter()
    try:
        with _profile(profile):
            path = train_run(
                job,
                tower,
                out,
                cache=stored,
                resume=resume,
                skip_unreadable=skip_unreadable,
                workers=workers,
                reporter=Terminal(),
                followers=followers,
            )
    except KeyboardInterrupt:
        note(f"{out}.partial holds the unfinished run; repeat the command with --resume to go on")
        raise
    if candidates:
        write_candidates(path / "methods.csv", candidates)
    note(f"{path} in {time.perf_counter() - begin:.1f} s; next: promptmlr {following}")


def _strength(text: str | None) -> float | str | None:
    """A number, or the word itself.

    Raises:
        UserError: neither.
    """
    if text in (None, "auto", "infinite"):
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"--prior-strength {text}: it is auto, infinite or a number above 0")
    return number


def _reading(
    format: str | None,  # noqa: A002
    images: Path | None,
    unlisted: str | None,
    delimiter: str | None,
    skip_unreadable: bool,
) -> list[str]:
    """The options with which another command reads the same data."""
    given = {"--format": format, "--images": images, "--unlisted": unlisted, "--delimiter": delimiter}
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return [*words, *(["--skip-unreadable"] if skip_unreadable else [])]


@contextmanager
def _profile(asked: bool) -> Iterator[None]:
    """Say where the block's time went, however it ended."""
    from promptmlr.profiling import profiled

    if not asked:
        yield
        return
    with profiled() as profile:
        try:
            yield
        finally:
            note(profile.table())
