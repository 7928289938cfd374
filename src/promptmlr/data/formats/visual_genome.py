"""Visual Genome's `objects.json` or `attributes.json`: what people described in an image.

Both are lists of images, each with the objects that somebody drew a box around, by their `names`, and in
`attributes.json` with the `attributes` of each (Krishna et al., "Visual Genome", IJCV 2017). People described what they
saw, and not all there is: what an image does not name is asked for by `--unlisted`.
"""

from pathlib import Path
from typing import Any

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json
from promptmlr.errors import UserError

__all__ = ["FORMAT", "read_visual_genome"]


def read_visual_genome(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the names of objects, or the words for their attributes.

    Args:
        path: the file.
        images: the folder of the images, by default that of the file; they are called by their id, anywhere below it.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged or something else, or silence is unclear.
    """
    with malformed_refused(path, "Visual Genome"):
        entries = read_json(path)
        image_ids = [str(entry["image_id"]) for entry in entries]
        names = [Names(_described(entry)) for entry in entries]
    if not any(one.present for one in names):
        raise UserError(f"{path}: no image in it names anything")
    finder = ImageFinder(images or path.parent)

    def where(row: int) -> str:
        return f"{path}, image {image_ids[row]}"

    return ListedRows(
        names,
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        splits=None,
        kind="Visual Genome",
        path=path,
        where=where,
        without_splits="no splits",
    ).labelled(options)


def _described(entry: dict[str, Any]) -> list[str]:
    if "objects" in entry:
        words = [word for one in entry["objects"] for word in one["names"]]
    else:
        words = [word for one in entry["attributes"] for word in one.get("attributes") or ()]
    return sorted({clean for word in words if (clean := " ".join(str(word).lower().split()))})


FORMAT = Format(
    "visual-genome",
    "Visual Genome's objects.json or attributes.json",
    lambda source: (
        source.mentions("image_id", "names") and (source.mentions("objects") or source.mentions("attributes"))
    ),
    read_visual_genome,
)
