"""`promptmlr backbones`: which towers there are, what they cost, and which to take."""

import math
from collections.abc import Sequence
from json import dumps
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from promptmlr.cli.progress import progress
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.backbone.choosing import Choice

__all__ = ["backbones"]

MEASURED = 200  # GFLOP an image: larger ones are measured by name only, because some need more memory than there is


def backbones(
    *names: str,
    purpose: Annotated[Literal["cpu", "gpu", "phone", "best"] | None, Parameter(name="--for")] = None,
    whole: Annotated[bool, Parameter(name="--all")] = False,
    measure: bool = False,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """List the towers worth a look, what they cost and how well they are known to do; or name one.

    Listed are those that no cheaper one beats, among all and among those with a free licence, and the paper's own.
    Nothing is downloaded. ImageNet and VOC2007 are published accuracies without labels, in %; M is the number of
    parameters of image and text tower, in millions; GFLOP counts multiplications and additions for one image.

    Args:
        names: Only these models, with all their weights.
        purpose: Name one for a CPU, a GPU, a phone, or the best at any cost, with the reason.
        whole: List every model with all its weights, and those refused with the reason.
        measure: Measure images per second here: random weights, float32, medians. Without names, up to 200 GFLOP.
        device: What is measured: cpu, cuda, cuda:1 …
        json: Print it as JSON, with the address of every source.
    """
    from promptmlr.backbone.choosing import choices, choices_of, recommended

    if purpose is not None:
        if names or whole or measure:
            raise UserError("--for names one tower; leave out names, --all and --measure")
        one = recommended(purpose)
        print(dumps(one.as_dict(), indent=1) if json else f"{one.options}: {_reason(one, purpose)}")
        return
    shown = choices_of(names) if names else choices() if whole else _worth_a_look()
    rates = _measured(shown, device, bool(names)) if measure else None
    if json:
        print(dumps([one.as_dict() | _rate(one, rates) for one in shown], indent=1))
        return
    print("\n".join(_table(shown, rates)))
    if whole:
        _print_refused()
    if not names:
        _print_notes()


def _worth_a_look() -> "list[Choice]":
    from promptmlr.backbone.choosing import PAPER_TOWER, choices, shortlist

    listed = shortlist()
    return [one for one in choices() if one in listed or one.key == PAPER_TOWER]


def _measured(shown: "Sequence[Choice]", device: str, named: bool) -> dict[str, float]:
    """Name → images per second."""
    from promptmlr.backbone.base import checked_device
    from promptmlr.backbone.choosing import images_per_second

    checked_device(device)
    entries = {one.entry.name: one.entry for one in shown if named or one.entry.gflop <= MEASURED}
    rates = {}
    with progress("towers") as say:
        for done, (name, entry) in enumerate(entries.items(), 1):
            rates[name] = images_per_second(entry, device)
            say(done, len(entries))
    return rates


def _rate(one: "Choice", rates: dict[str, float] | None) -> dict[str, float]:
    found = None if rates is None else rates.get(one.entry.name)
    return {} if found is None else {"images_per_second": found}


def _table(shown: "Sequence[Choice]", rates: dict[str, float] | None) -> list[str]:
    from promptmlr.report.tables import table_lines

    header = ["backbone", "pretrained", "texts", "licence", "pixels", "regions", "M", "GFLOP", "ImageNet", "VOC2007"]
    rows = [_cells(one) for one in shown]
    if rates is not None:
        header.append("images/s here")
        for row, one in zip(rows, shown, strict=True):
            row.append(_number(rates.get(one.entry.name), 1))
    return table_lines(header, rows, words=4)


def _cells(one: "Choice") -> list[str]:
    entry, weights = one.entry, one.weights
    parameters = (entry.image_parameters, entry.text_parameters)
    return [
        entry.name,
        weights.tag,
        (weights.languages or "–") + (" *" if entry.needs_transformers else ""),
        weights.licence or "–",
        str(entry.image_size),
        str(entry.regions(entry.image_size)),
        "+".join(_number(None if count is None else count / 1e6, 0) for count in parameters),
        _number(entry.gflop, 0),
        _number(weights.imagenet, 1),
        _number(weights.voc2007, 1),
    ]


def _number(value: float | None, places: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{places}f}"


def _reason(one: "Choice", purpose: str) -> str:
    from promptmlr.backbone.choosing import PURPOSES

    entry, weights, limit = one.entry, one.weights, PURPOSES[purpose]
    bounds = "at any cost" if math.isinf(limit) else f"up to {limit:.0f} GFLOP an image"
    size = (entry.image_parameters or 0) / 1e6
    return (
        f"of those {bounds} and under a free licence (this is {weights.licence}) it has the best published mean of "
        f"ImageNet ({weights.imagenet}) and VOC2007 ({weights.voc2007}); {entry.gflop:.0f} GFLOP, {size:.0f} million "
        "parameters for images"
    )


def _print_refused() -> None:
    from promptmlr.backbone import refused

    for name, reason in refused():
        print(f"{name}: no regions, because {reason}")


def _print_notes() -> None:
    from promptmlr.backbone.choosing import DEFAULT_TOWER

    print(
        f"\nDefault: --backbone {DEFAULT_TOWER[0]} --pretrained {DEFAULT_TOWER[1]}\n"
        "–  not published in what was read; --json has the sources\n"
        "*  needs transformers: pip install 'promptmlr[text]'\n"
        "CLIP's ResNets (RN…) are used at 448 px, as in the paper, unless --image-size says otherwise.\n"
        "Also: scenes and scenes-vit, miniatures in the package that know drawings; a checkpoint file;\n"
        "and with an open_clip_config.json hf-hub:owner/name or local-dir:FOLDER."
    )
