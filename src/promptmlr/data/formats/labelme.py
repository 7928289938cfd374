"""LabelMe: a JSON file per image, whose shapes and flags name the classes that it shows.

`{"imagePath": "a.jpg", "shapes": [{"label": "dog", …}], "flags": {"blurry": true}}`; flags that are false are absent
(Russell et al., "LabelMe", IJCV 2008; the fields are those of wkentaro/labelme).
"""

import json
from pathlib import Path

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json, usual_split

__all__ = ["FORMAT", "read_labelme"]

_KEYS = (b'"imagePath"', b'"shapes"')
_LOOKED_AT = 5  # files, when it is asked whether a folder is one of these


def read_labelme(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read all files of a folder, and of the folders in it; an image without a file is left out.

    Args:
        path: the folder.
        images: the folder of the images, by default `path`; found anywhere below it.
        options: `unlisted`.

    Raises:
        UserError: a file is damaged or something else, or silence is unclear.
    """
    files = [file for file in sorted(path.rglob("*.json")) if _is_one(file)]
    names, image_ids, splits = [], [], []
    for file in files:
        with malformed_refused(file, "LabelMe"):
            content = read_json(file)
            flags = content.get("flags") or {}
            present = [*(shape["label"] for shape in content["shapes"]), *(name for name in flags if flags[name])]
            names.append(Names(dict.fromkeys(present), [name for name in flags if not flags[name]]))
            image = str(content["imagePath"]).replace("\\", "/").rpartition("/")[2]
            image_ids.append((file.relative_to(path).parent / image).as_posix())
        splits.append(file.relative_to(path).parts[0])
    finder = ImageFinder(images or path)
    return ListedRows(
        names,
        image_ids,
        [finder.find(image_id, str(file)) for image_id, file in zip(image_ids, files, strict=True)],
        splits=splits if all(map(usual_split, splits)) else None,
        kind="LabelMe",
        path=path,
        where=lambda row: str(files[row]),
        without_splits="no folders train, val or test",
    ).labelled(options)


def _is_one(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(1 << 16)
        if all(key in start for key in _KEYS):
            return True
        if _KEYS[1] not in start:  # imagePath may come after long outlines
            return False
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and {"imagePath", "shapes"} <= content.keys()


def _recognised(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    files = [
        file for place in (folder, *filter(Path.is_dir, folder.iterdir())) for file in sorted(place.glob("*.json"))
    ]
    return any(map(_is_one, files[:_LOOKED_AT]))


FORMAT = Format(
    "labelme",
    "LabelMe: a folder with a JSON file per image",
    lambda source: _recognised(source.path),
    read_labelme,
    weak=True,
)
