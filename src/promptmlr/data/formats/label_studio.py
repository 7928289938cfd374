"""Label Studio's JSON: tasks with `Choices`, as its exports JSON and JSON-MIN write them, and as it imports them.

Choices of a control named `absent` (or `negatives`) are classes that are known not to be there; Label Studio has no
such word of its own. A labelling configuration beside the file (`label_config.xml`, `config.xml`) names all classes.
"""

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Changes, Format, Source, Writer, as_json, present, spaced
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT

__all__ = ["FORMAT", "is_label_studio", "pre_annotated", "read_label_studio_rows", "write_label_studio"]

MODEL_VERSION = "labels from promptmlr convert"

_ABSENT_CONTROLS = ("absent", "negatives")
_CONFIGS = ("label_config.xml", "config.xml")
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")
_MINIMAL = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "split"}

Choices = tuple[set[str], set[str]]  # present, absent


def is_label_studio(content: object) -> bool:
    """Whether parsed JSON is a list of tasks."""
    return isinstance(content, list) and bool(content) and all(isinstance(task, dict) for task in content)


def read_label_studio_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read an export. Where annotations of a task disagree about a class it is unknown; cancelled ones do not count.

    Images are found by the path after `/data/local-files/?d=`, from the folder of the file or `images`; uploaded ones
    by their name, with or without the eight letters that Label Studio puts before it.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged or something else, holds a model's predictions alone, or silence is unclear.
    """
    with malformed_refused(path, "Label Studio"):
        return _read(path, images, options)


def _read(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    tasks = _tasks(path)
    classes = _config_classes(path.parent)
    choices = [_choices(task, f"{path}, task {number}") for number, task in enumerate(tasks, start=1)]
    if not any(choices):
        raise UserError(f"{path}: no task has an annotation with choices; export annotated tasks as JSON")
    controls = {name for found in choices for _, control in found for name in control}
    says_absent = bool(controls & set(_ABSENT_CONTROLS))
    silent = "absent" if (options.unlisted or ("unknown" if says_absent else None)) == "absent" else "unknown"
    names, disputed = [], 0
    for found in choices:
        one, count = _merged([both for both, _ in found], silent)
        names.append(one)
        disputed += count
    addresses = [_address(task, f"{path}, task {number}") for number, task in enumerate(tasks, start=1)]
    splits = [_split(task) for task in tasks]
    folder = images or path.parent
    finder = ImageFinder(folder)
    refs = [finder.find(address, f"{path}, task {number}") for number, address in enumerate(addresses, start=1)]
    notes = [f"{disputed} labels on which annotations of a task disagree: unknown"] if disputed else []
    return ListedRows(
        names,
        [ref.path.relative_to(folder).as_posix() if ref.path.is_relative_to(folder) else ref.name for ref in refs],
        refs,
        splits=None if None in splits else [str(split) for split in splits],
        kind="Label Studio",
        path=path,
        where=lambda i: f"{path}, task {i + 1}",
        class_names=classes,
        says_absent=says_absent,
        without_splits="no split in the tasks' data",
        notes=notes,
    ).labelled(options)


def write_label_studio(output: Output) -> list[str]:
    """Write tasks with the labels as pre-annotations, and the labelling configuration that fits them."""
    tasks = []
    for entry in output.entries:
        if entry.name.startswith("../"):
            raise UserError(
                f"image {entry.name} lies outside {output.destination.parent}, where Label Studio would look for it; "
                "write into a folder above all images, or name a new folder and the images are copied there"
            )
        choices = {
            "labels": output.names(entry.labels, PRESENT),
            "absent": output.names(entry.labels, ABSENT) if output.unknown else [],
        }
        more = {"split": entry.split} if output.has_splits else {}
        tasks.append(pre_annotated(entry.name, choices, MODEL_VERSION, more))
    with output.file("tasks.json") as file:
        json.dump(tasks, file, ensure_ascii=False, indent=1)
        file.write("\n")
    if output.root is not None:
        with output.file(_CONFIGS[0]) as file:
            file.write(_config(output))
    served = output.destination.parent if output.root is None else output.destination
    return [serving(served)]


def amend_label_studio(path: Path, changes: Changes, options: DataOptions) -> bytes:
    """The same file with these choices in every annotation of a task, or in a new one where it has none.

    Classes that are absent are choices of the control `absent`, unless whatever is not chosen is absent anyway.
    """
    tasks = _tasks(path)
    if any("data" not in task for task in tasks):
        raise UserError(f"{path}: JSON-MIN has no place for what annotators chose; export it as JSON")
    control = next((name for task in tasks for name, _ in _results(task) if name not in _ABSENT_CONTROLS), "labels")
    for task, changed in zip(tasks, changes, strict=True):
        if not changed:
            continue
        if not (task.get("annotations") or task.get("completions")):
            ours = [one for one in task.get("predictions") or [] if one.get("model_version") == MODEL_VERSION]
            task["annotations"] = [{"result": copy.deepcopy(ours[0]["result"]) if ours else [], "was_cancelled": False}]
        absent = [] if options.unlisted == "absent" else [name for name, code in changed.items() if code == ABSENT]
        for annotation in task.get("annotations") or task["completions"]:
            if not annotation.get("was_cancelled"):
                _answer(annotation["result"], {control: present(changed), _ABSENT_CONTROLS[0]: absent}, changed)
    return as_json(path, tasks)


def _results(task: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The control and the part of every choice in a task's annotations."""
    annotations = task.get("annotations", task.get("completions")) or []
    parts = [
        part for one in annotations for part in one.get("result") or [] if part.get("type", "choices") == "choices"
    ]
    return [(str(part.get("from_name", "")), part) for part in parts]


def _answer(result: list[dict[str, Any]], chosen: Mapping[str, Sequence[str]], changed: Mapping[str, int]) -> None:
    """Make one annotation say what was answered: control → what is chosen in it; what it says already stays."""
    for part in result:
        if part.get("type", "choices") == "choices":
            wanted = chosen.get(str(part.get("from_name")), ())
            names = part["value"]["choices"]
            part["value"]["choices"] = [one for one in names if spaced(one) not in changed or spaced(one) in wanted]
    for control, names in chosen.items():
        parts = [part for part in result if part.get("from_name") == control and "choices" in part.get("value", {})]
        missing = [name for name in names if not any(name in map(spaced, part["value"]["choices"]) for part in parts)]
        if missing and not parts:
            parts = [{"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": []}}]
            result += parts
        if missing:
            parts[0]["value"]["choices"] += missing


def serving(root: Path) -> str:
    """What to tell Label Studio, so that it finds the images of tasks whose names start at `root`."""
    return (
        "serve its images with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
        f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root.absolute()}"
    )


def pre_annotated(
    name: str, choices: Mapping[str, Sequence[str]], model_version: str, more: Mapping[str, str]
) -> dict[str, Any]:
    """A task whose image lies at `name`, with the names that are chosen in each control, and more of its data."""
    result = [
        {"id": control, "from_name": control, "to_name": "image", "type": "choices", "value": {"choices": [*names]}}
        for control, names in choices.items()
        if names
    ]
    return {
        "data": {"image": f"/data/local-files/?d={quote(name)}", **more},
        "predictions": [{"model_version": model_version, "result": result}],
    }


def _tasks(path: Path) -> list[dict[str, Any]]:
    content = read_json(path)
    if not is_label_studio(content):
        raise UserError(f"{path}: not a list of tasks; export from Label Studio as JSON")
    return list(content)


def _choices(task: Mapping[str, Any], where: str) -> list[tuple[Choices, set[str]]]:
    """Per annotation that counts: its choices, and the controls they were made in."""
    if "data" not in task:  # JSON-MIN: one annotation per task, its choices under the name of the control
        found = [
            (control, value["choices"] if isinstance(value, dict) else [value])
            for control, value in task.items()
            if (isinstance(value, dict) and "choices" in value)
            or (isinstance(value, str) and control not in _MINIMAL and not _is_address(value))
        ]
        return [_sorted_out(found, where)] if "annotation_id" in task or found else []
    annotations = task.get("annotations", task.get("completions")) or []
    if not annotations:
        predictions = task.get("predictions") or []
        annotations = [one for one in predictions if one.get("model_version") == MODEL_VERSION]
        if predictions and not annotations:
            raise UserError(
                f"{where}: predictions of a model and no annotation; predictions are no labels: annotate the task, "
                "or take it out"
            )
    results = [one.get("result") or [] for one in annotations if not one.get("was_cancelled")]
    return [
        _sorted_out(
            [
                (str(part.get("from_name", "")), part.get("value", {}).get("choices", []))
                for part in result
                if part.get("type", "choices") == "choices"
            ],
            where,
        )
        for result in results
    ]


def _sorted_out(found: Iterable[tuple[str, Any]], where: str) -> tuple[Choices, set[str]]:
    present: set[str] = set()
    absent: set[str] = set()
    controls = set()
    for control, names in found:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{where}: choices must be a list of names, not {names!r}")
        controls.add(control)
        (absent if control in _ABSENT_CONTROLS else present).update(names)
    return (present, absent), controls


def _merged(annotations: list[Choices], silent: str) -> tuple[Names, int]:
    """What the annotations of a task agree on, and on how many classes they do not."""
    if len(annotations) < 2:
        return (Names(*annotations[0]) if annotations else Names((), looked=False)), 0
    everything = set().union(*(present | absent for present, absent in annotations))
    agreed: Choices = (set(), set())
    disputed = 0
    for name in everything:
        votes = {
            PRESENT if name in present else ABSENT
            for present, absent in annotations
            if name in present or name in absent or silent == "absent"
        }
        if len(votes) == 1:
            agreed[0 if PRESENT in votes else 1].add(name)
        else:
            disputed += 1
    unsure = everything - agreed[0] - agreed[1]
    return Names(agreed[0], agreed[1], unsure=unsure), disputed


def _is_address(value: str) -> bool:
    return "/" in value or bool(PurePosixPath(value).suffix)


def _address(task: Mapping[str, Any], where: str) -> str:
    data = task.get("data", task)
    if not isinstance(data, dict):
        raise UserError(f"{where}: its data is no object")
    found = data.get("image") or next(
        (value for name, value in data.items() if isinstance(value, str) and name != "split" and _is_address(value)),
        None,
    )
    if not isinstance(found, str):
        raise UserError(f"{where}: no image in its data; the key image holds its path")
    return found


def _split(task: Mapping[str, Any]) -> object:
    data = task.get("data", task)
    return data.get("split") if isinstance(data, dict) else None


def _config_classes(folder: Path) -> list[str] | None:
    for name in _CONFIGS:
        try:
            root = ET.parse(folder / name).getroot()
        except (OSError, ET.ParseError):
            continue
        found = [choice.get("value", "") for choice in root.iter("Choice")]
        if found:
            return list(dict.fromkeys(found))
    return None


def _config(output: Output) -> str:
    """Check boxes for what is there, and where labels are partial for what is not."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image")
    for control, title in (("labels", "There is"), *([("absent", "There is no")] if output.unknown else [])):
        ET.SubElement(view, "Header", value=title)
        choices = ET.SubElement(view, "Choices", name=control, toName="image", choice="multiple", showInline="true")
        for name in output.class_names:
            ET.SubElement(choices, "Choice", value=name)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _recognised(source: Source) -> bool:
    return is_label_studio(source.content) and any(
        isinstance(task.get("data"), dict) or "annotation_id" in task for task in source.content
    )


FORMAT = Format(
    "label-studio",
    "Label Studio's tasks in JSON",
    _recognised,
    read_label_studio_rows,
    weak=True,
    amend=amend_label_studio,
    writer=Writer(write_label_studio, ".json", lists=True, negatives=True, class_list=False),
)
