"""Data of every format are labelled, and the command that is named then puts the answers in place."""

import json
import shlex
from pathlib import Path

import pytest

from promptmlr.data import DataOptions, LabelledImages, load_parts
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.web.asking import Asked, label_queue
from promptmlr.web.proposals import listed_proposals
from sheet_support import write_xlsx
from support import Heard
from web_support import Asker, scene_png

NAMES = ("cat", "tree")
ROWS = (("0.png", "cat"), ("1.png", "tree"), ("2.png", ""))
XML = "<annotations><meta><task><labels>{}</labels></task></meta>{}</annotations>"


def written(folder: Path, kind: str) -> tuple[Path, dict[str, str]]:
    """Data of a kind, in which 0.png shows a cat and 1.png a tree; and the options that read them."""
    partial = {"unlisted": "unknown"}
    if kind in ("xlsx", "parquet", "utf-16", "list", "long"):
        return _table(folder, kind)
    if kind == "folder":
        for image, name in ROWS:
            (folder / image).with_suffix(".txt").write_text(name)
        (folder / "classes.txt").write_text("\n".join(NAMES))
        return folder, partial
    if kind == "cvat":
        images = "".join(
            f'<image id="{i}" name="{image}">{f"""<tag label="{name}"/>""" if name else ""}</image>'
            for i, (image, name) in enumerate(ROWS)
        )
        (folder / "a b.xml").write_text(
            XML.format("".join(f"<label><name>{name}</name></label>" for name in NAMES), images)
        )
        return folder / "a b.xml", partial
    if kind == "coco":
        content = {
            "images": [{"id": i, "file_name": image, "neg_category_ids": []} for i, (image, _) in enumerate(ROWS)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
            "annotations": [{"id": i, "image_id": i, "category_id": i, "bbox": [0, 0, 9, 9]} for i in range(2)],
        }
    elif kind == "label-studio":
        content = [{"data": {"image": image}, "annotations": [{"result": _choices(name)}]} for image, name in ROWS]
    elif kind == "json-min":
        content = [
            {"image": f"/{image}", "annotation_id": i, "labels": {"choices": [name] if name else []}}
            for i, (image, name) in enumerate(ROWS)
        ]
    else:
        samples = [
            {
                "filepath": image,
                "ground_truth": {"_cls": "Classifications", "classifications": [{"label": name}] if name else []},
            }
            for image, name in ROWS
        ]
        content = {"samples": samples, "classes": list(NAMES)}
    (folder / "data.json").write_text(json.dumps(content))
    return folder / "data.json", {} if kind == "coco" else partial


def _choices(name: str) -> list[dict]:
    value = {"choices": [name] if name else []}
    return [{"from_name": "labels", "to_name": "image", "type": "choices", "value": value}]


def _table(folder: Path, kind: str) -> tuple[Path, dict[str, str]]:
    rows = [["image", *NAMES], *([image, *(1 if one == name else None for one in NAMES)] for image, name in ROWS)]
    if kind == "xlsx":
        write_xlsx(folder / "my labels.xlsx", {"labels": rows, "notes": [["kept"]]})
        return folder / "my labels.xlsx", {"sheet": "labels"}
    if kind == "parquet":
        import pandas as pd

        pd.DataFrame(rows[1:], columns=rows[0]).to_parquet(folder / "labels.parquet")
        return folder / "labels.parquet", {}
    texts = {
        "utf-16": "image\tcat\ttree\n0.png\t1\t\n1.png\t\t1\n2.png\t\t\n",
        "list": "image,labels\n0.png,cat\n1.png,tree\n2.png,\n",
        "long": "image,label,value\n0.png,cat,1\n1.png,tree,1\n2.png,cat,\n",
    }
    (folder / f"{kind}.csv").write_text(texts[kind], encoding="utf-16" if kind == "utf-16" else "utf-8")
    return folder / f"{kind}.csv", {"unlisted": "unknown"} if kind == "list" else {}


def found(data: str, options: DataOptions) -> dict[str, dict[str, int]]:
    """File of an image → class → label."""
    parts = load_parts(data, options).values()
    return {name: labels for part in parts for name, labels in _by_file(part).items()}


def _by_file(part: LabelledImages) -> dict[str, dict[str, int]]:
    return {
        Path(image.name).name: dict(zip(part.class_names, row.tolist(), strict=True))
        for image, row in zip(part.images, part.labels, strict=True)
    }


KINDS = ("xlsx", "parquet", "utf-16", "list", "long", "folder", "cvat", "coco", "label-studio", "json-min", "fiftyone")


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_is_named_puts_answers_in_place(promptmlr, tmp_path: Path, monkeypatch, kind: str) -> None:
    (tmp_path / "set").mkdir()
    for number, (image, _) in enumerate(ROWS):
        (tmp_path / "set" / image).write_bytes(scene_png(number))
    data, options = written(tmp_path / "set", kind)
    before = data.read_bytes() if data.is_file() else b""
    monkeypatch.chdir(tmp_path)
    data = data.relative_to(tmp_path)
    reading, heard = DataOptions(**options), Heard()
    queue = label_queue(Asked(str(data), random_share=0.0, reading=reading), None, heard)
    known = queue.labelled.labels
    queue.propose(listed_proposals(known.shape, {(row, c): 0.5 for row in range(3) for c in range(2)}))
    me = Asker(queue, mode="image")
    expected = _by_file(queue.labelled)
    while me.pages():
        page = me.pages()[0]
        answers = ["present" if cell.column == 0 else "absent" for cell in page.cells]
        for cell in page.cells:
            expected[queue.file_name(cell.row)][queue.labelled.class_names[cell.column]] = 1 - cell.column
        me.answer(*answers)
    assert not any(label == UNKNOWN for row in expected.values() for label in row.values())
    ending = queue.keeper.ending()
    if kind == "utf-16":
        assert found(str(data), reading) == expected
        assert ending == f"4 answers written to {data.resolve()}"
        return
    command = shlex.split(ending.partition("put them in place: ")[2])
    assert any(shlex.join(command) in note for note in heard.notes)
    assert data.is_dir() or data.read_bytes() == before
    done = promptmlr(*command[1:])
    assert done.code == 0, done.err
    target = command[3]
    assert Path(target).exists()
    corrected = "--to" not in command
    if corrected and kind in ("cvat", "fiftyone"):  # which have no place for what is absent
        assert "cannot hold them" in done.err
        assert {
            (i, n) for i, row in found(target, reading).items() for n, label in row.items() if label == PRESENT
        } == {(i, n) for i, row in expected.items() for n, label in row.items() if label == PRESENT}
        return
    silence = "absent" if kind in ("list", "json-min") else None  # as nothing is unknown any more, and convert says
    assert silence is None or "--unlisted absent" in done.err
    assert found(target, reading if corrected else DataOptions(unlisted=silence)) == expected
