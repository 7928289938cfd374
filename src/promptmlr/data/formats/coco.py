"""COCO: a folder with `annotations/instances_*.json` and the images.

Where images have `neg_category_ids`, as in LVIS, these classes are absent, and others without an object are unknown.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from promptmlr.data.formats.base import BySplit, Format, Writer
from promptmlr.data.images import ImageFile
from promptmlr.data.labelled import LabelledImages, require_files
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.output import Output
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names

__all__ = ["COCO_CLASS_NAMES", "FORMAT", "coco_splits", "has_instances", "read_coco", "write_coco"]

COCO_CLASS_NAMES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush"),
)
"""The 80 classes of COCO's own files, by ascending category id."""

COCO_SPLIT = "train"  # what data without splits is written as

_PREFIX = "instances_"
_CROWD_CODES = {"present": PRESENT, "unknown": UNKNOWN, "absent": ABSENT}


class _Instances(NamedTuple):
    """What labels need of an annotation file."""

    category_names: list[str]  # by ascending id
    file_names: dict[Any, str]  # image id → file name
    objects: list[tuple[Any, int, bool]]  # image id, column, whether it is a crowd
    absent: dict[Any, list[int]]  # image id → columns; empty where silence means absent


def has_instances(folder: Path) -> bool:
    """Whether `folder` holds `annotations/instances_*.json`."""
    return bool(coco_splits(folder))


def read_coco(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read one `instances_*.json`; a class is present where the image has an object of it.

    Classes are the categories by ascending id, image ids are COCO's with leading zeros; rows of the released masks are
    images by their first annotation in the file.

    Args:
        path: the folder above `annotations`.
        split: what follows `instances_`, such as "val2014"; by default the one that starts with train or val.
        purpose: chooses between train and val.
        images: the folder of the images; by default SPLIT, images/SPLIT, images or the folder itself.
        options: `coco_images` and `crowd`.

    Raises:
        UserError: the file is missing, damaged or something else; the split is unclear; an image is missing.
    """
    split = _choose_split(path, split, purpose)
    source = path / "annotations" / f"{_PREFIX}{split}.json"
    instances = _read_instances(source)
    chosen, note = _choose_images(instances, options)
    if not chosen:
        raise UserError(f"{source}: no image with annotations; --coco-images all takes the others too")
    labels, lone_crowds = _labels(instances, chosen, options)
    folder = _image_folder(path, split, images, instances.file_names[chosen[0]], options.skip_unreadable)
    files = [ImageFile(folder / instances.file_names[image_id]) for image_id in chosen]
    if not options.skip_unreadable:
        require_files(files, lambda i: f"{source}, image {chosen[i]}")
    return LabelledImages.from_rows(
        [f"{image_id:012d}" if isinstance(image_id, int) else str(image_id) for image_id in chosen],
        files,
        labels,
        checked_class_names(instances.category_names, str(source)),
        f"COCO {path}, split {split}",
        [note, *([f"{lone_crowds} labels rest on crowds alone: {options.crowd or 'present'}"] if lone_crowds else [])],
    )


def coco_splits(root: Path) -> list[str]:
    """What follows `instances_` in the names of a folder's annotation files."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in root.glob(f"annotations/{_PREFIX}*.json"))


def write_coco(output: Output) -> list[str]:
    """Write annotations without boxes, one per present label; with absent and unknown labels also LVIS's fields."""
    written = 0
    for split, entries in output.splits().items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, int]] = []
        for number, entry in enumerate(entries, start=written + 1):
            width, height = entry.image.open().size
            image: dict[str, Any] = {
                "id": number,
                "file_name": entry.name.rsplit("/", 1)[-1],
                "width": width,
                "height": height,
            }
            if output.unknown:
                image["neg_category_ids"] = [int(c) + 1 for c in np.flatnonzero(entry.labels == ABSENT)]
                image["not_exhaustive_category_ids"] = []
            images.append(image)
            annotations += [
                {"id": len(annotations) + n, "image_id": number, "category_id": int(column) + 1, "iscrowd": 0}
                for n, column in enumerate(np.flatnonzero(entry.labels == PRESENT), start=1)
            ]
        written += len(entries)
        categories = [{"id": c, "name": name} for c, name in enumerate(output.class_names, start=1)]
        content = {
            "info": {"description": "image-level labels, without boxes"},
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
        with output.file(f"annotations/{_PREFIX}{split or COCO_SPLIT}.json") as file:
            json.dump(content, file, ensure_ascii=False)
            file.write("\n")
    bare = sum(not (entry.labels == PRESENT).any() for entry in output.entries)
    silent = [f"{bare} images show no class; --coco-images all reads them too"] if bare and not output.unknown else []
    return ["annotations have no boxes: there are none in labels", *silent]


def _choose_split(root: Path, split: str | None, purpose: Purpose) -> str:
    known = coco_splits(root)
    if not known:
        raise UserError(f"{root} is no COCO folder: no annotations/{_PREFIX}*.json in it")
    if split is not None:
        if split not in known:
            raise UserError(f"no split {split!r} in {root / 'annotations'}; {nearest(split, known)}")
        return split
    prefix = {"train": "train", "test": "val"}[purpose]
    matches = [name for name in known if name.startswith(prefix)]
    if len(matches) != 1:
        raise UserError(f"{root} has {len(matches)} splits {prefix}*; choose one with --split: {', '.join(known)}")
    return matches[0]


def _read_instances(source: Path) -> _Instances:
    try:
        with source.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_without_outline)
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: damaged JSON ({error}); download it again") from error
    try:
        return _parse(content, source)
    except KeyError as error:
        raise UserError(f"{source}: not a COCO instances file: an entry lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise UserError(f"{source}: not a COCO instances file: {error}") from error


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    # Outlines are nine tenths of the file; kept while it is read, they would take gigabytes.
    entry.pop("segmentation", None)
    return entry


def _parse(content: Any, source: Path) -> _Instances:
    categories = sorted(content["categories"], key=lambda category: category["id"])
    columns = {category["id"]: column for column, category in enumerate(categories)}
    file_names = {image["id"]: str(image["file_name"]) for image in content["images"]}
    for kind, distinct in (("categories", columns), ("images", file_names)):
        if len(distinct) != len(content[kind]):
            raise UserError(f"{source}: two of its {kind} have the same id")
    absent = {
        image["id"]: [columns[i] for i in image["neg_category_ids"]]
        for image in content["images"]
        if "neg_category_ids" in image
    }
    if absent and len(absent) < len(file_names):
        raise UserError(
            f"{source}: {len(absent)} of {len(file_names)} images have neg_category_ids; give it to all or none"
        )
    objects = []
    for number, entry in enumerate(content["annotations"], start=1):
        image_id, category_id = entry["image_id"], entry["category_id"]
        if image_id not in file_names or category_id not in columns:
            raise UserError(
                f"{source}, annotation {number}: image {image_id!r} or category {category_id!r} is not in the file"
            )
        is_crowd = entry.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise UserError(f"{source}, annotation {number}: iscrowd is {is_crowd!r}; it must be the number 0 or 1")
        objects.append((image_id, columns[category_id], bool(is_crowd)))
    return _Instances([str(category["name"]) for category in categories], file_names, objects, absent)


def _choose_images(instances: _Instances, options: DataOptions) -> tuple[list[Any], str]:
    """Image ids by their first annotation, then those without any if they count; and what to say about it."""
    annotated = dict.fromkeys(image_id for image_id, _, _ in instances.objects)
    annotated |= dict.fromkeys(image_id for image_id, columns in instances.absent.items() if columns)
    counts = f"{len(annotated)} of {len(instances.file_names)} images have annotations"
    if len(annotated) == len(instances.file_names):
        return list(annotated), f"all {len(annotated)} images have annotations"
    if options.coco_images != "all":
        return list(annotated), f"{counts}: the others are left out, as in the released code"
    others = [image_id for image_id in instances.file_names if image_id not in annotated]
    return [*annotated, *others], f"{counts}: all are used"


def _labels(instances: _Instances, chosen: list[Any], options: DataOptions) -> tuple[Labels, int]:
    """(N, C) int8, and how many of them rest on crowds alone."""
    rows = {image_id: row for row, image_id in enumerate(chosen)}
    seen = np.zeros((2, len(chosen), len(instances.category_names)), dtype=np.bool_)
    for image_id, column, is_crowd in instances.objects:
        seen[int(is_crowd), rows[image_id], column] = True
    single, crowd = seen
    lone_crowds = crowd & ~single
    labels = np.where(single, PRESENT, UNKNOWN if instances.absent else ABSENT).astype(np.int8)
    for image_id, row in rows.items():
        columns = instances.absent.get(image_id, [])
        if (labels[row, columns] == PRESENT).any():
            raise UserError(f"image {image_id}: an object of a class in its neg_category_ids; keep one of them")
        labels[row, columns] = ABSENT
    labels[lone_crowds] = _CROWD_CODES[options.crowd or "present"]
    return labels, int(np.count_nonzero(lone_crowds))


def _image_folder(root: Path, split: str, images: Path | None, file_name: str, missing_too: bool) -> Path:
    folders = [images] if images else [root / split, root / "images" / split, root / "images", root]
    for folder in folders:
        if ImageFile(folder / file_name).exists():
            return folder
    if missing_too:
        return folders[0]
    raise UserError(f"image {file_name!r} is not in {', '.join(map(str, folders))}; name its folder with --images")


FORMAT = Format(
    "coco",
    "a folder with annotations/instances_*.json",
    lambda source: has_instances(source.path),
    BySplit(read_coco, coco_splits),
    says_all=True,
    writer=Writer(write_coco, None, lambda split: split or COCO_SPLIT),
)
