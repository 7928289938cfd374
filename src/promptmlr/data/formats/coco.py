"""COCO: a folder with `annotations/instances_*.json` and the images, or one such file; LVIS's files as well.

A class is present where the image has an object of it, and absent where it has none, unless the file says for which
classes anybody looked. LVIS is federated (Gupta, Dollár & Girshick, "LVIS", CVPR 2019, section 3.1; the fields are
those of lvis-dataset/lvis-api): classes in an image's `neg_category_ids` are absent, others without an object unknown;
`not_exhaustive_category_ids` are present, with objects left out. `--annotated-categories` says the same of other files.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import BySplit, Changes, Format, Writer, as_json, present, spaced
from promptmlr.data.images import ImageFile
from promptmlr.data.labelled import LabelledImages, require_files
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.output import Output
from promptmlr.data.rows import read_json
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names

__all__ = ["COCO_CLASS_NAMES", "FORMAT", "coco_splits", "has_instances", "image_folders", "read_coco", "write_coco"]

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
    names: dict[Any, list[str]]  # image id → what its file may be called
    objects: list[tuple[Any, int, bool]]  # image id, column, whether it is a crowd
    absent: dict[Any, list[int]]  # image id → columns; empty where silence means absent


def has_instances(folder: Path) -> bool:
    """Whether `folder` holds `annotations/instances_*.json`."""
    return folder.is_dir() and bool(coco_splits(folder))


def read_coco(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read one `instances_*.json`; a class is present where the image has an object of it.

    Classes are the categories by ascending id, image ids are COCO's with leading zeros; rows of the released masks are
    images by their first annotation in the file.

    Args:
        path: the folder above `annotations`, or one file.
        split: what follows `instances_`, such as "val2014"; by default the one that starts with train or val.
        purpose: chooses between train and val.
        images: the folder of the images; by default SPLIT, images/SPLIT, images or the folder itself.
        options: `coco_images`, `crowd` and `annotated_categories`.

    Raises:
        UserError: the file is missing, damaged or something else; the split is unclear; an image is missing.
    """
    split = _choose_split(path, split, purpose)
    source = path if path.is_file() else path / "annotations" / f"{_PREFIX}{split}.json"
    instances = _read_instances(source, options)
    chosen, note = _choose_images(instances, options)
    if not chosen:
        raise UserError(
            f"{source}: no image with annotations; --coco-images all takes the others too (CVAT's export to COCO "
            "leaves tags out: export `CVAT for images 1.1` instead)"
        )
    labels, lone_crowds = _labels(instances, chosen, options)
    folders = [images] if images else image_folders(source, split)
    first = instances.names[chosen[0]][0]
    finder = ImageFinder(next((one for one in folders if ImageFile(one / first).exists()), folders[-1]))
    files = []
    for image_id in chosen:
        name, *others = instances.names[image_id]
        files.append(finder.find(name, f"{source}, image {image_id}", *others))
    if not options.skip_unreadable:
        require_files(files, lambda i: f"{source}, image {chosen[i]}")
    part = LabelledImages.from_rows(
        [_image_id(image_id) for image_id in chosen],
        files,
        labels,
        checked_class_names(instances.category_names, str(source)),
        f"COCO {path}, split {split}",
        [note, *([f"{lone_crowds} labels rest on crowds alone: {options.crowd or 'present'}"] if lone_crowds else [])],
    )
    return replace(part, without_splits=path.is_file())


def _image_id(image_id: Any) -> str:
    return f"{image_id:012d}" if isinstance(image_id, int) else str(image_id)


def coco_splits(root: Path) -> list[str]:
    """What follows `instances_` in the names of a folder's annotation files, or in the name of one file."""
    if root.is_file():
        return [root.stem.removeprefix(_PREFIX)]
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


def amend_coco(path: Path, changes: Changes, _options: DataOptions) -> bytes:
    """The same file with an annotation, without a box, for each class that is present now.

    A class that is absent now gets into the image's `neg_category_ids`, where the file has them, and loses annotations
    without a box or an outline; those with one stay.
    """
    content = read_json(path)
    numbers = {spaced(str(category["name"])): category["id"] for category in content["categories"]}
    federated = any("neg_category_ids" in image for image in content["images"])
    new_id = max((one["id"] for one in content["annotations"] if isinstance(one.get("id"), int)), default=0) + 1
    gone, added = set(), []
    by_id = dict(zip(sorted(_image_id(image["id"]) for image in content["images"]), changes, strict=True))
    for image in content["images"]:
        changed = by_id[_image_id(image["id"])]
        absent = {numbers[name] for name, code in changed.items() if code == ABSENT}
        gone |= {(image["id"], numbers[name]) for name, code in changed.items() if code != PRESENT}
        if federated:
            kept = [number for number in image["neg_category_ids"] if number not in {numbers[name] for name in changed}]
            image["neg_category_ids"] = [*kept, *sorted(absent)]
        added += [{"image_id": image["id"], "category_id": numbers[name], "iscrowd": 0} for name in present(changed)]
    stay = [
        one
        for one in content["annotations"]
        if (one["image_id"], one["category_id"]) not in gone or "bbox" in one or one.get("segmentation")
    ]
    content["annotations"] = [*stay, *({"id": new_id + n, **one} for n, one in enumerate(added))]
    return as_json(path, content)


def _choose_split(root: Path, split: str | None, purpose: Purpose) -> str:
    known = coco_splits(root)
    if not known:
        raise UserError(f"{root} is no COCO folder: no annotations/{_PREFIX}*.json in it")
    if split is not None and split not in known:
        where = root if root.is_file() else root / "annotations"
        raise UserError(f"no split {split!r} in {where}; {nearest(split, known)}")
    if split is not None or root.is_file():
        return split or known[0]
    prefix = {"train": "train", "test": "val"}[purpose]
    matches = [name for name in known if name.startswith(prefix)]
    if len(matches) != 1:
        raise UserError(f"{root} has {len(matches)} splits {prefix}*; choose one with --split: {', '.join(known)}")
    return matches[0]


def _read_instances(source: Path, options: DataOptions) -> _Instances:
    try:
        with source.open(encoding="utf-8-sig") as file:
            content = json.load(file, object_hook=_without_outline)
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: damaged JSON ({error}); download it again") from error
    try:
        return _parse(content, source, options.annotated_categories)
    except KeyError as error:
        raise UserError(f"{source}: not a COCO instances file: an entry lacks {error}") from error
    except (AttributeError, TypeError) as error:
        raise UserError(f"{source}: not a COCO instances file: {error}") from error


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    # Outlines are nine tenths of the file; kept while it is read, they would take gigabytes.
    entry.pop("segmentation", None)
    return entry


def _parse(content: Any, source: Path, annotated: str | None) -> _Instances:
    categories = sorted(content["categories"], key=lambda category: category["id"])
    columns = {category["id"]: column for column, category in enumerate(categories)}
    names = {image["id"]: _names(image) for image in content["images"]}
    for kind, distinct in (("categories", columns), ("images", names)):
        if len(distinct) != len(content[kind]):
            raise UserError(f"{source}: two of its {kind} have the same id; export it again")
    absent = {image: [columns[i] for i in ids] for image, ids in _ids(content["images"], "neg_category_ids", source)}
    objects = []
    for number, entry in enumerate(content["annotations"], start=1):
        image_id, category_id = entry["image_id"], entry["category_id"]
        if image_id not in names or category_id not in columns:
            raise UserError(
                f"{source}, annotation {number}: image {image_id!r} or category {category_id!r} is not in the file"
            )
        is_crowd = entry.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise UserError(f"{source}, annotation {number}: iscrowd is {is_crowd!r}; it must be the number 0 or 1")
        objects.append((image_id, columns[category_id], bool(is_crowd)))
    if annotated is not None:
        shown = {(image_id, column) for image_id, column, _ in objects}
        absent = {
            image: [columns[i] for i in ids if (image, columns[i]) not in shown]
            for image, ids in _annotated(content["images"], annotated, source)
        }
    return _Instances([str(category["name"]) for category in categories], names, objects, absent)


def _names(image: dict[str, Any]) -> list[str]:
    # LVIS has no file_name, or one of 2014 for a file that is called as in coco_url.
    return [str(image[key]) for key in ("file_name", "coco_url") if key in image] or [image["file_name"]]


def _ids(images: list[dict[str, Any]], field: str, source: Path) -> list[tuple[Any, list[Any]]]:
    """What a field of category ids says of each image; none where no image has it.

    Raises:
        UserError: some images alone have it.
    """
    found = [(image["id"], image[field]) for image in images if field in image]
    if found and len(found) < len(images):
        raise UserError(f"{source}: {len(found)} of {len(images)} images have {field}; give it to all or none")
    return found


def _annotated(images: list[dict[str, Any]], annotated: str, source: Path) -> list[tuple[Any, list[Any]]]:
    """The categories that each image was annotated for, from a field or a file."""
    if not annotated.lower().endswith(".json"):
        if found := _ids(images, annotated, source):
            return found
        raise UserError(f"{source}: no image has a field {annotated!r}; {nearest(annotated, list(images[0]))}")
    content = read_json(Path(annotated))
    if not isinstance(content, dict):
        raise UserError(f"{annotated}: not an object of image ids and lists of category ids")
    missing = next((image["id"] for image in images if str(image["id"]) not in content), None)
    if missing is not None:
        raise UserError(f"{annotated}: nothing of image {missing!r}; give an empty list to an unannotated image")
    return [(image["id"], content[str(image["id"])]) for image in images]


def _choose_images(instances: _Instances, options: DataOptions) -> tuple[list[Any], str]:
    """Image ids by their first annotation, then those without any if they count; and what to say about it."""
    annotated = dict.fromkeys(image_id for image_id, _, _ in instances.objects)
    annotated |= dict.fromkeys(image_id for image_id, columns in instances.absent.items() if columns)
    counts = f"{len(annotated)} of {len(instances.names)} images have annotations"
    if len(annotated) == len(instances.names):
        return list(annotated), f"all {len(annotated)} images have annotations"
    if options.coco_images != "all":
        return list(annotated), f"{counts}: others are left out, as in the released code (--coco-images all)"
    others = [image_id for image_id in instances.names if image_id not in annotated]
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


def image_folders(source: Path, split: str) -> list[Path]:
    """Where images usually are, the least likely last."""
    root = source.parent.parent if source.parent.name == "annotations" else source.parent
    return [root / split, root / "images" / split, root / "images", root]


FORMAT = Format(
    "coco",
    "a folder with annotations/instances_*.json, or one such file, also LVIS's",
    lambda source: has_instances(source.path) or source.mentions("images", "annotations", "categories"),
    BySplit(read_coco, coco_splits),
    says_all=True,
    amend=amend_coco,
    writer=Writer(write_coco, None, lambda split: split or COCO_SPLIT),
)
