"""`promptmlr reproduce`: the paper's setting from its data sets' own trees to the table, on small ones."""

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptmlr import scenes
from promptmlr.data.formats.voc import VOC_CLASS_NAMES
from promptmlr.paper.grid import cells
from promptmlr.paper.grid.stack import Stack
from support import csv_rows

NUMBER = re.compile(r"\d+\.\d+")

METHODS = ("dualcoop", "baseline", "negativecoop", "positivecoop")
SHARES = tuple(f"0.{step}" for step in range(1, 10))


def draw(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scenes.draw_scene(3, index).image).save(path)


def write_voc(root: Path, train: int = 10, test: int = 8) -> Path:
    """A devkit; in every image one class for certain, three more by chance, and one of difficult objects alone."""
    rng, devkit = np.random.default_rng(0), root / "VOCdevkit" / "VOC2007"
    for name in ("Annotations", "ImageSets/Main"):
        (devkit / name).mkdir(parents=True)
    ids = [f"{index:06d}" for index in range(train + test)]
    for index, image_id in enumerate(ids):
        draw(devkit / "JPEGImages" / f"{image_id}.jpg", index)
        shown = {index % 20, *rng.integers(20, size=3)}
        objects = [(name, 0) for column, name in enumerate(VOC_CLASS_NAMES) if column in shown]
        objects.append((VOC_CLASS_NAMES[(index + 7) % 20], 1))
        entries = "".join(f"<object><name>{n}</name><difficult>{d}</difficult></object>" for n, d in objects)
        (devkit / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{entries}</annotation>")
    for split, part in (("trainval", ids[:train]), ("test", ids[train:])):
        (devkit / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(part))
    return root


def write_coco(root: Path) -> Path:
    """Three categories; the last image of each split has no annotation, the first a crowd alone."""
    names = ("person", "cat", "traffic light")
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train2014", 9), ("val2014", 7)):
        images = [{"id": index, "file_name": f"{split}_{index}.jpg"} for index in range(count)]
        pairs = [(image, (image + step) % 3) for image in range(count - 1) for step in range(1 + image % 2)]
        content = {
            "images": images,
            "categories": [{"id": 1 + number, "name": name} for number, name in enumerate(names)],
            "annotations": [
                {"id": number, "image_id": image, "category_id": 1 + column, "iscrowd": int(image == 0)}
                for number, (image, column) in enumerate(pairs)
            ],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        for index in range(count):
            draw(root / split / f"{split}_{index}.jpg", 100 + index)
    return root


@pytest.fixture
def small(tiny_checkpoint: Path) -> Sequence[object]:
    return "--backbone", tiny_checkpoint, "--image-size", "64", "--epochs", "2", "--workers", "0"


def test_the_whole_table_on_a_small_voc_tree(promptmlr, tmp_path: Path, small) -> None:
    root, out, page = write_voc(tmp_path), tmp_path / "out", tmp_path / "page.html"
    done = promptmlr("reproduce", "voc2007", "--root", root, "--out", out, "--report", page, *small)
    assert done.code == 0, done.err
    cells = csv_rows(out / "cells.csv")
    assert {(row["method"], row["observed"], row["seed"]) for row in cells} == {
        (method, share, "0") for method in METHODS for share in SHARES
    }
    assert {row["epoch"] for row in cells} <= {"1", "2"}
    table = {(row["method"], row["observed"]): row for row in csv_rows(out / "table.csv")}
    assert table["positivecoop", "0.1"]["published"] == "0.914"
    for row in table.values():
        expected = float(row["mean_ap"]) - float(row["published"])
        assert float(row["minus_published"]) == pytest.approx(expected, abs=1e-12)
    assert float(table["dualcoop", "mean"]["published"]) == pytest.approx(0.932, abs=6e-4)
    text = (out / "table.md").read_text(encoding="utf-8")
    assert NUMBER.findall(text) == NUMBER.findall(done.out)  # the same, set as lines
    assert "The paper's tower is RN101 at 448 px, and this is" in text
    assert "| dualcoop, paper | 90.3 | 92.2 |" in text
    assert "| DualCoOp, run again | 91.6 | 93.3 |" in text
    assert "| dualcoop, ours − paper | −" in text
    assert "not all of VOC2007: 10 training and 8 test images of 20 classes, where it has 5,011" in text
    assert "0 of 36 cells of the table run on published rates, " in text  # epochs are asked for
    assert "36 runs (4 methods, fractions of labels: 9, 1 seed; 0 finished before)" in done.err
    assert "epochs of new views" in done.err
    assert "(--select last turns it off)" in done.err
    assert page.read_text(encoding="utf-8").count("VOC2007") > 1


def test_what_each_cell_was_trained_with(promptmlr, tmp_path: Path, small) -> None:
    """DualCoOp on COCO at one half is published but for its epochs' number, which is asked for here."""
    root, out = write_coco(tmp_path / "coco"), tmp_path / "out"
    options = ("--methods", "dualcoop,negativecoop", "--observed", "0.1,0.5,0.9", *small)
    done = promptmlr("reproduce", "coco2014", "--root", root, "--out", out, *options)
    assert done.code == 0, done.err
    found = {(row["method"], row["observed"], row["setting"]): row for row in csv_rows(out / "origins.csv")}
    value = {key: row["value"] for key, row in found.items()}
    assert [value["dualcoop", share, "class_specific"] for share in ("0.1", "0.5", "0.9")] == ["False", "False", "True"]
    assert [float(value["dualcoop", share, "loss_weight"]) for share in ("0.1", "0.5")] == pytest.approx([0.15, 0.03])
    assert float(value["negativecoop", "0.9", "loss_weight"]) == pytest.approx(0.03)
    published = {key for key, row in found.items() if row["published"] == "1"}
    assert published == {
        *(("dualcoop", share, "context_rate") for share in ("0.1", "0.5", "0.9")),
        ("dualcoop", "0.5", "loss_weight"),
        ("dualcoop", "0.5", "class_specific"),
    }
    assert {row["origin"] for key, row in found.items() if key[2] == "epochs"} == {"asked for"}
    learned = {(row["method"], row["observed"]): int(row["learned_parameters"]) for row in csv_rows(out / "cells.csv")}
    assert learned["dualcoop", "0.9"] == 3 * learned["dualcoop", "0.5"] == 3 * learned["dualcoop", "0.1"]
    shown = {(row["method"], row["observed"]): row["learned_parameters"] for row in csv_rows(out / "table.csv")}
    assert {place: int(shown[place]) for place in learned} == learned
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "8 training and 6 test images of 3 classes, where it has 82,081 training and 40,137 test" in text


def test_the_quirks_are_options(promptmlr, tmp_path: Path, small) -> None:
    root, few = write_coco(tmp_path / "coco"), ("--methods", "positivecoop", "--observed", "0.5")
    common = ("reproduce", "coco2014", "--root", root, *few, *small)
    done = promptmlr(*common, "--out", tmp_path / "a")
    assert done.code == 0, done.err
    for words in (
        "best epoch is chosen on the test images (--select last",
        "offset is added to prompts (--offset none",
        "from a standard normal (--start text",
        "new views in every epoch (--augmentation none",
        "images without annotations are left out (--coco-images all",
        "crowds alone are present (--crowd unknown",
    ):
        assert words in done.err
    off = ("--select", "last", "--offset", "none", "--start", "text", "--augmentation", "none")
    done = promptmlr(*common, "--out", tmp_path / "b", *off, "--coco-images", "all", "--crowd", "unknown")
    assert done.code == 0, done.err
    assert "does not say: nothing." in done.err
    assert "selected on test data" not in done.err
    assert "9 training and 7 test images" in done.err
    (cell,) = csv_rows(tmp_path / "b" / "cells.csv")
    assert cell["epoch"] == "2"
    settings = json.loads((tmp_path / "b" / "settings.json").read_text())["positivecoop at 0.5"]
    assert (settings["select"], settings["recipe"]["offset"], settings["recipe"]["start"]) == ("last", "none", "text")


def with_empty_class(root: Path) -> Path:
    """A COCO tree with a fourth category, which no image shows."""
    for path in (root / "annotations").iterdir():
        content = json.loads(path.read_text())
        content["categories"].append({"id": 4, "name": "hair drier"})
        path.write_text(json.dumps(content))
    return root


def test_a_folder_gives_both_counts_of_empty_classes(promptmlr, tmp_path: Path, small, monkeypatch) -> None:
    """Whatever it was begun with: cells leave such classes out, and all tables of a command have its count."""
    root, few = with_empty_class(write_coco(tmp_path / "coco")), ("--methods", "baseline,positivecoop")
    common = ("reproduce", "coco2014", "--root", root, *few, "--observed", "0.5,0.9", "--select", "last", *small)
    zero, fresh, out = ("--empty-classes", "zero"), tmp_path / "fresh", tmp_path / "out"
    assert promptmlr(*common, "--out", fresh).code == 0
    real = Stack.save
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "save", lambda self, folder: (real(self, folder), interrupt(self.method))[0])
        assert promptmlr(*common, "--out", out, *zero).code == 130
    assert [row["method"] for row in csv_rows(out / "cells.csv")] == ["baseline", "baseline"]
    done = promptmlr(*common, "--out", out)
    assert (done.code, "going on after epoch 1" in done.err) == (0, True)
    assert scored(out) == scored(fresh)
    for name in ("table.csv", "differences.csv"):
        assert csv_rows(out / name) == csv_rows(fresh / name)
        assert {row["empty_classes"] for row in csv_rows(out / name)} == {"left-out"}
    assert "so mAP and CF1 leave them out: hair drier." in (out / "table.md").read_text()

    done = promptmlr(*common, "--out", out, *zero)
    assert (done.code, "4 finished before" in done.err) == (0, True)
    assert "no test image shows count as 0 (--empty-classes left-out turns it off)" in done.err
    assert scored(out) == scored(fresh)
    for counted, left_out in zip(csv_rows(out / "table.csv"), csv_rows(fresh / "table.csv"), strict=True):
        assert counted["empty_classes"] == "zero"
        for number in ("mean_ap", "low", "high", "cf1", "cf1_top3"):
            assert float(counted[number]) == pytest.approx(0.75 * float(left_out[number]))
        assert counted["of1"] == left_out["of1"]
        if counted["published"]:
            expected = float(counted["mean_ap"]) - float(counted["published"])
            assert float(counted["minus_published"]) == pytest.approx(expected)
    text = (out / "table.md").read_text()
    assert "mAP with empty classes as 0 in percent (table.csv)" in text
    assert "they count as 0 in mAP and CF1, as in the released code: hair drier. cells.csv leaves them out." in text
    assert "leave them out:" not in text


def interrupt(method: str) -> None:
    """Ctrl-C in the training of PositiveCoOp."""
    if method == "positivecoop":
        raise KeyboardInterrupt


@pytest.fixture
def first_is_best(monkeypatch) -> None:
    """Every epoch scores less on the test images than the one before, as far as selection hears."""
    falling = itertools.count()
    monkeypatch.setattr(cells, "mean_aps", lambda folded, **_: [-next(falling)] * len(folded))


def scored(out: Path) -> list[tuple[str, ...]]:
    return [
        tuple(row[key] for key in ("method", "observed", "epoch", "mean_ap", "learned_parameters"))
        for row in csv_rows(out / "cells.csv")
    ]


def test_the_best_epoch_on_the_test_images_is_scored(promptmlr, tmp_path: Path, small, first_is_best) -> None:
    """Warming up is the same whatever follows: the first epoch of four is that of one."""
    root, few = write_coco(tmp_path / "coco"), ("--methods", "positivecoop,baseline", "--observed", "0.5,0.9")
    common = ("reproduce", "coco2014", "--root", root, *few, *small)
    best, last, one = tmp_path / "best", tmp_path / "last", tmp_path / "one"
    assert promptmlr(*common, "--out", best, "--epochs", "4").code == 0
    assert promptmlr(*common, "--out", last, "--epochs", "4", "--select", "last").code == 0
    assert promptmlr(*common, "--out", one, "--epochs", "1", "--select", "last").code == 0
    assert scored(best) == scored(one)
    tables = [(folder / "table.md").read_text() for folder in (best, last)]
    assert ["every cell is its best epoch on these test images" in table for table in tables] == [True, False]
    assert {row[2] for row in scored(last)} == {"4"}
    assert [row[3] for row in scored(last)] != [row[3] for row in scored(one)]
    mixed = promptmlr(*common, "--out", best, "--epochs", "4", "--select", "last")
    assert (mixed.code, 'another --select ("test" there, "last" here)' in mixed.err) == (2, True)


def test_epochs_can_be_chosen_on_held_out_training_images(promptmlr, tmp_path: Path, small, monkeypatch) -> None:
    """As they are, without augmentation: two of eight images, with all labels."""
    root, asked = write_coco(tmp_path / "coco"), []

    def best_first(folded, source, labels) -> list[float]:
        asked.append((len(source), labels))
        return [-len(asked)] * len(folded)

    monkeypatch.setattr(cells, "mean_aps", best_first)
    few = ("--methods", "positivecoop", "--observed", "0.5", "--select", "val", *small)
    done = promptmlr("reproduce", "coco2014", "--root", root, "--out", tmp_path / "out", *few)
    assert done.code == 0, done.err
    assert {(count, labels.shape, (labels == -1).sum()) for count, labels in asked} == {(2, (2, 3), 0)}
    assert csv_rows(tmp_path / "out" / "cells.csv")[0]["epoch"] == "1"
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "held out with all labels that they have" in text
    assert "its best epoch on these test images" not in text


def test_a_cell_is_the_run_that_train_makes(promptmlr, tmp_path: Path, small) -> None:
    """With the recipe of its fraction, and its best epoch; PositiveCoOp's settings are those of both data sets."""
    root, out, run = write_voc(tmp_path), tmp_path / "out", tmp_path / "run"
    few = ("--methods", "positivecoop", "--observed", "0.1,0.6")
    assert promptmlr("reproduce", "voc2007", "--root", root, "--out", out, *few, *small).code == 0
    options = (
        "--method",
        "positivecoop",
        "--observed",
        "0.6",
        "--recipe",
        "released",
        "--select",
        "test",
        "--no-calibrate",
    )
    trained = promptmlr("train", root, "--out", run, *options, *small)
    assert trained.code == 0, trained.err
    assert json.loads((run / "config.json").read_text())["recipe"]["loss_weight"] == pytest.approx(0.027 / 0.6)
    (cell,) = [row for row in csv_rows(out / "cells.csv") if row["observed"] == "0.6"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["selection_map"] == pytest.approx(float(cell["mean_ap"]), abs=1e-6)
    assert str(metrics["epoch"]) == cell["epoch"]


def test_it_goes_on_with_its_best_epochs(promptmlr, tmp_path: Path, small, monkeypatch, first_is_best) -> None:
    root, out, whole = write_voc(tmp_path), tmp_path / "out", tmp_path / "whole"
    options = ("--methods", "negativecoop", "--observed", "0.1,0.9", *small, "--epochs", "4")
    command = ("reproduce", "voc2007", "--root", root / "VOCdevkit", *options)
    real = Stack.save

    def save(self, folder: Path) -> None:
        real(self, folder)
        if self.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "save", save)
        assert promptmlr(*command, "--out", out).code == 130
    done = promptmlr(*command, "--out", out)
    assert (done.code, "going on after epoch 2" in done.err) == (0, True)
    assert promptmlr(*command, "--out", whole).code == 0
    assert scored(out) == scored(whole)
    assert {row[2] for row in scored(out)} == {"1"}


def test_a_checkpoint_of_real_proportions(promptmlr, tmp_path: Path, parity_checkpoint: Path) -> None:
    """Weights of the parity checkpoint at the paper's 448 px."""
    root, out = write_voc(tmp_path, train=2, test=2), tmp_path / "out"
    options = ("--backbone", parity_checkpoint, "--epochs", "1", "--observed", "0.5", "--workers", "0")
    done = promptmlr("reproduce", "voc2007", "--root", root, "--out", out, *options)
    assert done.code == 0, done.err
    assert {row["method"] for row in csv_rows(out / "cells.csv")} == set(METHODS)
    settings = json.loads((out / "settings.json").read_text())["baseline at 0.5"]
    assert settings["backbone"]["preprocessing"]["image_size"] == 448


def write_nus_wide(root: Path, *, table: bool) -> Path:
    """Three concepts, as the original files or as ASL's table; the first image of each split shows none."""
    concepts, images = ("airport", "clouds", "zebra"), {"Train": range(7), "Test": range(7, 12)}
    rows = ["filepath,label,split_name"]
    for split, numbers in images.items():
        names = [f"actor/{number:04d}_{number}.jpg" for number in numbers]
        shown = [[0, 0, 0]] + [[int(number % 3 == c) for c in range(3)] for number in list(numbers)[1:]]
        for name, labels, number in zip(names, shown, numbers, strict=True):
            draw(root / "Flickr" / name, 200 + number)
            listed = [concept for concept, there in zip(concepts, labels, strict=True) if there]
            rows.append(f'Flickr/{name},"{listed}",{"train" if split == "Train" else "val"}')
        if not table:
            for folder in ("ImageList", "Groundtruth/TrainTestLabels"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            backslashed = "".join(name.replace("/", "\\") + "\n" for name in names)
            (root / f"ImageList/{split}Imagelist.txt").write_text(backslashed)
            for column, concept in enumerate(concepts):
                cells = "".join(f"{labels[column]}\n" for labels in shown)
                (root / f"Groundtruth/TrainTestLabels/Labels_{concept}_{split}.txt").write_text(cells)
    if table:
        (root / "nus_wid_data.csv").write_text("\n".join(rows) + "\n")
    return root


def test_nus_wide_in_both_layouts(promptmlr, tmp_path: Path, small) -> None:
    """The same images and labels under other names: what does not train scores the same."""
    found = []
    for name, table in (("lists", False), ("table", True)):
        root, out = write_nus_wide(tmp_path / name, table=table), tmp_path / f"{name} out"
        few = ("--methods", "zeroshot,positivecoop", "--observed", "0.9", "--augmentation", "none")
        done = promptmlr("reproduce", "nuswide", "--root", root, "--out", out, *few, *small)
        assert done.code == 0, done.err
        sizes = "7 training and 5 test images of 3 classes, where it has 161,789 training and 107,859 test"
        assert sizes in done.out.replace("\n", " ")
        assert "crowds" not in done.err
        found.append({row["method"]: row["mean_ap"] for row in csv_rows(out / "cells.csv")})
    assert found[0]["zeroshot"] == found[1]["zeroshot"]


def test_visual_genome_needs_names(promptmlr, tmp_path: Path, small) -> None:
    root, names = tmp_path / "vg", tmp_path / "names.txt"
    for number in range(8):
        draw(root / "VG_100K" / f"{number}.jpg", 300 + number)
    (root / "train_list_500.txt").write_text("".join(f"{number}.jpg\n" for number in range(5)))
    (root / "test_list_500.txt").write_text("".join(f"{number}.jpg\n" for number in range(5, 8)))
    labels = {f"{number}.jpg": [number % 4, 199] for number in range(8)}
    (root / "vg_category_200_labels_index.json").write_text(json.dumps(labels))
    common = ("reproduce", "vg200", "--root", root, "--methods", "zeroshot", "--observed", "0.5", *small)
    done = promptmlr(*common, "--out", tmp_path / "out")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "give them with --classes NAMES.txt" in done.err
    names.write_text("".join(f"thing {number}\n" for number in range(200)))
    done = promptmlr(*common, "--out", tmp_path / "out", "--classes", names)
    assert done.code == 0, done.err
    assert "196 of 200 classes have no test image with the label present" in done.out.replace("\n", " ")
    wrong = promptmlr("reproduce", "vg500", "--root", root, "--out", tmp_path / "other", "--classes", names)
    assert (wrong.code, "holds no Visual Genome 500: expected train_list_500.txt" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("benchmark", "words"),
    [
        ("nuswide", ("holds no NUS-WIDE", "or nus_wid_data.csv", "found VOC2012/")),
        ("vg200", ("holds no Visual Genome 200", "vg_category_200_labels_index.json", "found VOC2012/")),
        ("voc2007", ("holds no VOC2007", "VOCdevkit/VOC2007/", "found VOC2012/, readme.txt")),
        ("coco2014", ("holds no COCO 2014", "annotations/instances_{train2014,val2014}.json", "found VOC2012/")),
    ],
)
def test_a_wrong_root_is_one_line(promptmlr, tmp_path: Path, benchmark: str, words: Sequence[str]) -> None:
    (tmp_path / "root" / "VOC2012").mkdir(parents=True)
    (tmp_path / "root" / "readme.txt").write_text("")
    for root, more in ((tmp_path / "root", words), (tmp_path / "nowhere", (*words[:2], "found no such folder"))):
        done = promptmlr("reproduce", benchmark, "--root", root, "--out", tmp_path / "out")
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert all(word in done.err for word in more), done.err
    assert not (tmp_path / "out").exists()


def test_another_year_is_no_voc2007(promptmlr, tmp_path: Path) -> None:
    devkit = write_voc(tmp_path, 1, 1) / "VOCdevkit"
    (devkit / "VOC2007").rename(devkit / "VOC2012")
    for root in (tmp_path, devkit, devkit / "VOC2012"):
        done = promptmlr("reproduce", "voc2007", "--root", root, "--out", tmp_path / "out")
        assert (done.code, "holds no VOC2007" in done.err) == (2, True)
