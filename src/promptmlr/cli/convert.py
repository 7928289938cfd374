"""`promptmlr convert`: labels from one format to another."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import Data, Hiding, NonNegativeInt, PositiveInt, Reading
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import DataOptions, HidingOptions

__all__ = ["convert"]


def convert(
    data: Data,
    destination: Path,
    /,
    *,
    to: str | None = None,
    answers: Annotated[list[Path] | None, Parameter(metavar="JOURNAL")] = None,
    hold_out: float | None = None,
    limit: PositiveInt | None = None,
    present_only: bool = False,
    link: bool = False,
    overwrite: bool = False,
    workers: NonNegativeInt = 2,
    hiding: Hiding = HidingOptions(),
    reading: Reading = DataOptions(),
) -> None:
    """Write labels in another format. If that format cannot store something, promptmlr stops or says so.

    With --answers and without --to, the file is written again in its own format, and only the answered labels change.

    --observed P hides labels in all splits except test. --observed single-positive, --observed positive-only:P and
    --labels hide training labels only. `promptmlr train` with the same options uses exactly these labels.

    csv: a column per class, 1, 0 or blank. long-csv: image, label, value. list-csv: image, labels, negatives, as fastai
    reads it. folder: a text file of names per image. coco: annotations without boxes, with LVIS's neg_category_ids if
    labels are partial. label-studio: tasks with the labels as pre-annotations. fiftyone: labels.json and data/.
    huggingface: an imagefolder, or one .parquet. cvat: annotations.xml with tags. datumaro: annotations/SPLIT.json.

    Args:
        destination: A .csv or .json file, which refers to the images where they are; a .parquet file, which contains
            them; or a new folder, into which they are copied.
        to: The format to write. Required, unless --answers is given.
        answers: A journal of `promptmlr serve --label`, whose answers replace labels; may be repeated. Of several
            answers to a cell the last one counts; of several journals, the one named last.
        hold_out: If DATA has no splits: put this share of the images into test and the others into train. File names
            and --seed decide, so an image stays in its split when others are added.
        limit: Keep at most this many images of each split, the first by name.
        present_only: Write lists of what is present, even if the format cannot tell absent labels from unknown ones.
        link: Link to the images instead of copying them.
        overwrite: Replace an existing file.
        workers: Threads that decode images.
    """
    from promptmlr.data.answers import correct, read_answers
    from promptmlr.data.convert import chosen_parts
    from promptmlr.data.convert import convert as write
    from promptmlr.errors import UserError

    given = read_answers(*answers or (), reporter=Terminal())
    if to is None:
        if answers is None:
            raise UserError("name the format to write with --to, or the answers to correct the file with by --answers")
        for line in correct(data, given, destination, reading, overwrite=overwrite):
            note(line)
        print(f"{data} with these answers in {destination}")
        return
    parts = chosen_parts(
        data,
        reading,
        answers=given,
        hold_out=hold_out,
        hiding=hiding,
        limit=limit,
        workers=workers,
        reporter=Terminal(),
    )
    lost = write(
        parts,
        destination,
        to,
        link=link,
        present_only=present_only,
        overwrite=overwrite,
        reporter=Terminal(),
    )
    for line in lost:
        note(f"note: {line}")
    print(f"{sum(len(part.image_ids) for part in parts.values()):,} images in {destination}")
