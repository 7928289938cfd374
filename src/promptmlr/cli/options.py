"""Options that several verbs share, declared once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptmlr.cli.progress import note
from promptmlr.errors import UserError
from promptmlr.names import first_names

if TYPE_CHECKING:
    from promptmlr.backbone import Backbone
    from promptmlr.data import DataOptions, LabelledImages
    from promptmlr.features import RegionCache
    from promptmlr.labels import Observation
    from promptmlr.run import Run

__all__ = [
    "BackboneName",
    "BatchSize",
    "CacheFolder",
    "CacheKey",
    "CocoImages",
    "Crowd",
    "Data",
    "Delimiter",
    "Device",
    "Difficult",
    "Format",
    "ImageFolder",
    "ImageSize",
    "LabelCount",
    "NoCache",
    "Observed",
    "OrderSeed",
    "PrecisionOption",
    "Pretrained",
    "RunFolder",
    "Shares",
    "SkipUnreadable",
    "Split",
    "StorageFormat",
    "TemplatesOption",
    "Texts",
    "UnknownCost",
    "Unlisted",
    "Workers",
    "cache_folder",
    "common_classes",
    "counts",
    "data_options",
    "fractions",
    "observation",
    "observations",
    "open_tower",
    "read_data",
    "region_cache",
    "tower_of",
    "usable_methods",
    "words",
]

Observed = Annotated[
    str | None,
    typer.Option(
        metavar="P|PROTOCOL",
        help="Keep each known label with this probability, hide the others; 1 hides nothing. Or single-positive: of "
        "each image one present label, at random; or positive-only:P: each present label with probability P. "
        "(default: 1)",
        show_default=False,
    ),
]
LabelCount = Annotated[
    int | None,
    typer.Option(
        "--labels",
        min=1,
        metavar="N",
        help="Instead of --observed: keep so many of the known labels, chosen at random.",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A .csv (wide, long or with lists), .json (Label Studio, FiftyOne) or .parquet file, a folder (VOC, COCO, "
        "FiftyOne, Hugging Face, images with text files), features instead of images (.npz, .parquet), or 'scenes': "
        "the drawn world "
        "(scenes:WORLD:NUMBER for others, such as scenes:crowded:1). Write ./scenes for a folder of that name.",
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or hf://owner/name or hf://owner/name@revision.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="When the detection is wrong: csv, coco, … (any other name lists all).",
        show_default=False,
    ),
]
ImageFolder = Annotated[
    Path | None,
    typer.Option(
        "--images", help="Folder that image paths start from. (default: that of the file)", show_default=False
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Which part of the data, by its own name (train, val2014, trainval …).", show_default=False),
]
Difficult = Annotated[
    Literal["skip", "unknown"],
    typer.Option(help="VOC classes shown by difficult objects alone: skip them (as released: absent) or unknown."),
]
CocoImages = Annotated[
    Literal["annotated", "all"],
    typer.Option("--coco-images", help="Which COCO images count: annotated (as released) or all."),
]
Crowd = Annotated[
    Literal["present", "unknown", "absent"],
    typer.Option(help="COCO classes shown by crowds alone; as released: present."),
]
Unlisted = Annotated[
    Literal["unknown", "absent"] | None,
    typer.Option(
        help="What unlisted classes are, in formats that list what is present: unknown if nobody looked, absent if "
        "they are known not to be there.",
        show_default=False,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="What stands between names of a list CSV. (default: found where it is clear)",
        show_default=False,
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        "--share",
        metavar="FILE|NUMBER",
        help="How often classes are present, where you know it: a number for all, or a CSV with the columns class "
        "and share. Labels that only say what is present cannot tell.",
        show_default=False,
    ),
]
UnknownCost = Annotated[
    str | None,
    typer.Option(
        "--unknown",
        metavar="COST",
        help="What an unknown label costs: ignore (nothing), absent, weak, hill, entropy or large-loss; auto: nothing, "
        "but hill in classes of which no label says absent. (default: the recipe's)",
        show_default=False,
    ),
]
TemplatesOption = Annotated[
    Literal["one", "simple", "imagenet"] | None,
    typer.Option(
        "--templates",
        help="Sentences that a class is put into, of which its text feature is the mean: one is 'a photo of a …', "
        "simple open_clip's 7, imagenet OpenAI's 80. (default: the recipe's, one)",
        show_default=False,
    ),
]
Texts = Annotated[
    str | None,
    typer.Option(
        "--texts",
        metavar="FILE",
        help="Synonyms and descriptions of classes, which stand as they are written instead of the templates: a CSV "
        "with the columns class and text, a line for each text.",
        show_default=False,
    ),
]
BackboneName = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="A name of `promptmlr backbones`, 'scenes', or a checkpoint file in OpenAI's layout.",
        show_default=False,
    ),
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        help="open_clip's tag of the weights, a file, or TAG=FILE: the file of a tag. (default: openai)",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        "--precision",
        help="Of the frozen towers. auto: the image tower in float32, the text tower in bfloat16 where that is fast; "
        "bfloat16 for both is several times faster with regions made fresh.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 … A GPU is used when it is named.")]
Workers = Annotated[int, typer.Option(min=0, help="Threads that decode images.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Images through the image tower at once. (default: by image size and device)", show_default=False
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pixels. (default: 448 for open_clip's models, else the backbone's own)", show_default=False
    ),
]
OrderSeed = Annotated[int, typer.Option(min=0, help="Of the order of images, and of their augmented views.")]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        envvar="PROMPTMLR_CACHE",
        help="Folder of stored regions. (default: promptmlr in the user's cache folder)",
        show_default=False,
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Store no regions and use no stored ones.")]
StorageFormat = Annotated[
    Literal["float16", "float32", "bfloat16", "int8"],
    typer.Option("--storage", help="Number format of stored regions."),
]
CacheKey = Annotated[
    Literal["file", "content"],
    typer.Option(help="Know stored images by path, size and time of change, or by their bytes."),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave unreadable images out instead of refusing them.")
]


def words(text: str) -> list[str]:
    """What commas separate, each once.

    Raises:
        UserError: there is nothing.
    """
    found = list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
    if not found:
        raise UserError(f"{text!r} is an empty list; separate its parts by commas")
    return found


def fractions(text: str, option: str = "--observed") -> list[float]:
    """The numbers of an option, each once.

    Raises:
        UserError: there is none, or something else.
    """
    found = []
    for word in words(text):
        try:
            found.append(float(word))
        except ValueError:
            raise UserError(f"{option}: {word!r} is no number; write for example 0.1,0.5") from None
    return list(dict.fromkeys(found))


def counts(text: str, option: str) -> list[int]:
    """The whole numbers of an option, each once.

    Raises:
        UserError: there is none, or something else.
    """
    for word in (found := words(text)):
        if not (word.isascii() and word.isdigit()):
            raise UserError(f"{option}: {word!r} is no whole number; write for example 150,400")
    return [int(word) for word in found]


def observations(
    observed: str | None, labels: str | None, default: str = "1", option: str = "--observed"
) -> "list[Observation]":
    """What `--observed`, or an option like it, or `--labels` says of which labels are hidden, each once.

    Raises:
        UserError: both are given, or one is none.
    """
    from promptmlr.labels import Observation

    if observed is not None and labels is not None:
        raise UserError(f"{option} and --labels both say which labels are hidden; give one of them")
    option = option if labels is None else "--labels"
    if labels is not None:
        hidden = [f"{number} labels" for number in counts(labels, option)]
    else:
        hidden = words(default if observed is None else observed)
    found = []
    for word in hidden:
        try:
            found.append(Observation.parse(word))
        except UserError as error:
            raise UserError(f"{option}: {error}") from None
    return list(dict.fromkeys(found))


def observation(observed: str | None, labels: int | None) -> "Observation":
    """The same where there is one way alone.

    Raises:
        UserError: as above, or there are several.
    """
    found = observations(observed, None if labels is None else str(labels))
    if len(found) > 1:
        raise UserError(f"--observed {observed}: labels are hidden in one way here; `promptmlr compare` takes several")
    return found[0]


def cache_folder(chosen: Path | None) -> Path | None:
    """The folder of `--cache`, or the user's own, if there is one."""
    from promptmlr.features import default_cache_folder

    return chosen or default_cache_folder()


def region_cache(
    chosen: Path | None,
    no_cache: bool,
    storage: Literal["float16", "float32", "bfloat16", "int8"],
    cache_key: Literal["file", "content"],
) -> "RegionCache | None":
    """Where and how to store regions; None under `--no-cache`."""
    from promptmlr.features import RegionCache

    return None if no_cache else RegionCache(cache_folder(chosen), storage, by_content=cache_key == "content")


def data_options(
    difficult: Literal["skip", "unknown"],
    coco_images: Literal["annotated", "all"],
    crowd: Literal["present", "unknown", "absent"],
    unlisted: Literal["unknown", "absent"] | None,
    delimiter: str | None,
    keep_missing: bool,
) -> "DataOptions":
    """What the options above leave open; missing images are kept where unreadable ones are left out later."""
    from promptmlr.data import DataOptions

    missing: Literal["keep", "refuse"] = "keep" if keep_missing else "refuse"
    return DataOptions(difficult, coco_images, crowd, unlisted, delimiter, missing)


def read_data(
    data: str,
    split: str | None,
    purpose: Literal["train", "test"],
    format: str | None,  # noqa: A002
    images: Path | None,
    options: "DataOptions",
) -> "LabelledImages":
    """Labelled images; what was read is said."""
    from promptmlr.data import load_data

    labelled = load_data(data, split, purpose=purpose, format=format, images=images, options=options)
    for line in (labelled.source, *labelled.notes):
        note(line)
    return labelled


def common_classes(trained: tuple[str, ...], labelled: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Columns of the classes that both have, matched by name, in the run's order; others are said.

    Raises:
        UserError: there is none.
    """
    common = [name for name in trained if name in set(labelled)]
    if not common:
        raise UserError(
            f"the run knows none of the data's classes: {', '.join(trained[:5])} … against {', '.join(labelled[:5])} …"
        )
    for names, others, whose in ((trained, labelled, "the run's"), (labelled, trained, "the data's")):
        left_out = [name for name in names if name not in set(others)]
        if left_out:
            note(f"left out, only among {whose} classes: {first_names(left_out)}")
    return [trained.index(name) for name in common], [labelled.index(name) for name in common]


def open_tower(
    data: str,
    backbone: str | None,
    pretrained: str | None,
    image_size: int | None,
    precision: Literal["auto", "float32", "bfloat16"],
    device: str,
    labelled: "LabelledImages | None" = None,
    resumed: Path | None = None,
) -> "Backbone":
    """The frozen CLIP: the paper's RN101 at 448 px, unless data or user say otherwise; for features what stands for it.

    Raises:
        UserError: as `open_backbone`; or a backbone is named for features.
    """
    from promptmlr.backbone import is_downloaded, open_backbone
    from promptmlr.data import is_scenes
    from promptmlr.run import RunInProgress

    if labelled is not None and labelled.features is not None:
        return _given(labelled, device, backbone=backbone, pretrained=pretrained, image_size=image_size)
    name = backbone or ("scenes" if is_scenes(data) else "RN101")
    if is_downloaded(name, pretrained):
        note(f"{name} ({pretrained or 'openai'}): the first time its weights are downloaded, some hundred megabytes")
    begun = None if resumed is None else RunInProgress.begun_dtypes(resumed)
    tower = open_backbone(name, pretrained, image_size, precision, device, begun)
    if data and tower.name == "scenes" and not is_scenes(data):
        note("note: the miniature CLIP knows drawn things alone; on photographs it shows that all runs, not how well")
    return tower


def tower_of(
    run: "Run", labelled: "LabelledImages", backbone: str | None, pretrained: str | None, device: str
) -> "Backbone":
    """The backbone of a run, loaded; or what stands for it where the data are features, once these fit the run.

    Raises:
        UserError: as `Run.use_backbone` and `Run.adopt`; or a backbone is named for features.
    """
    if labelled.features is None:
        return run.use_backbone(backbone, pretrained, device)
    given = _given(labelled, device, backbone=backbone, pretrained=pretrained)
    run.adopt(given)
    return given


def usable_methods(tower: "Backbone") -> tuple[str, ...]:
    """All methods that a backbone has everything for; others are said."""
    from promptmlr.methods import METHODS, methods_on

    usable = methods_on(tower)
    if left_out := [name for name in METHODS if name not in usable]:
        needed = "a text tower" if tower.has_class_features else "a text tower or text features"
        note(f"left out, as they need {needed}: {', '.join(left_out)}")
    return usable


def _given(labelled: "LabelledImages", device: str, **asked: object) -> "Backbone":
    """What stands for the backbone of features."""
    from promptmlr.backbone import GivenFeatures

    assert labelled.features is not None
    for option, value in asked.items():
        if value is not None:
            name = option.replace("_", "-")
            raise UserError(f"{labelled.source}: features were computed before, so leave out --{name}")
    return GivenFeatures(labelled.features.width, labelled.features.text, device)
