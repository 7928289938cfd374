"""`promptmlr convert` and `inspect`, and `train` on what other tools write."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data, load_parts
from promptmlr.labels import PRESENT, UNKNOWN, Observation, hide, keep_mask

TRAIN = ("--backbone", "scenes", "--epochs", 1, "--workers", 0)


def labels(path: Path, to: str = "", **options) -> dict[str, dict[str, int]]:
    return {
        Path(getattr(image, "path", image_id) if to == "coco" else image_id).stem: dict(
            zip(part.class_names, row.tolist(), strict=True)
        )
        for part in load_parts(str(path), options=DataOptions(**options)).values()
        for image_id, image, row in zip(part.image_ids, part.images, part.labels, strict=True)
    }


@pytest.mark.parametrize(
    ("to", "destination", "written"),
    [
        ("list-csv", "lists.csv", "lists.csv"),
        ("long-csv", "out", "out/labels.csv"),
        ("coco", "out", "out"),
        ("label-studio", "out", "out/tasks.json"),
        ("huggingface", "all.parquet", "all.parquet"),
        ("huggingface", "out", "out"),
    ],
)
def test_partial_labels_go_out_and_are_trained_on(
    promptmlr, photos: Path, to: str, destination: str, written: str
) -> None:
    done = promptmlr("convert", photos / "labels.csv", photos / destination, "--to", to)
    assert done.code == 0, done.err
    assert done.out.startswith("48 images in")
    assert labels(photos / written, to, coco_images="all") == labels(photos / "labels.csv")
    run = photos / "runs" / "x"
    done = promptmlr("train", photos / written, "--out", run, *TRAIN)
    assert done.code == 0, done.err
    done = promptmlr("evaluate", run, photos / written, "--split", "test", "--resamples", 0, "--workers", 0)
    assert done.code == 0, done.err
    assert "mAP" in done.out


def test_silence_is_asked_about_and_both_answers_train(promptmlr, photos: Path) -> None:
    done = promptmlr("convert", photos / "labels.csv", photos / "out", "--to", "folder")
    assert (done.code, done.err.splitlines()[-1][:6]) == (2, "error:")
    assert "--present-only" in done.err
    assert not (photos / "out").exists()
    assert (
        promptmlr("convert", photos / "labels.csv", photos / "out", "--to", "folder", "--present-only", "--link").code
        == 0
    )
    assert (photos / "out" / "train" / "00.png").is_symlink()
    refused = promptmlr("train", photos / "out", "--out", photos / "x", *TRAIN)
    assert (refused.code, refused.err.count("\n")) == (2, 3)
    assert "--unlisted unknown  # if nobody looked" in refused.err
    assert "--unlisted absent  # if everything" in refused.err
    known = {}
    for reading in ("unknown", "absent"):
        done = promptmlr("train", photos / "out", "--out", photos / reading, "--unlisted", reading, *TRAIN)
        assert done.code == 0, done.err
        assert f"--unlisted {reading}" in done.err
        known[reading] = json.loads((photos / reading / "config.json").read_text())["data"]["known_labels"]
    assert known["unknown"] < known["absent"] == 32 * 5


def test_a_place_that_is_taken_is_kept(promptmlr, photos: Path) -> None:
    (photos / "other.csv").write_text("mine")
    (photos / "folder").mkdir()
    for destination, words in (("other.csv", "--overwrite"), ("folder", "exists"), ("x.parquet", "a folder or a name")):
        refused = promptmlr("convert", photos / "labels.csv", photos / destination, "--to", "long-csv")
        assert (refused.code, words in refused.err) == (2, True), refused.err
    assert (photos / "other.csv").read_text() == "mine"
    assert not (photos / "x.parquet").exists()
    done = promptmlr("convert", photos / "labels.csv", photos / "other.csv", "--to", "long-csv", "--overwrite")
    assert done.code == 0
    assert not list(photos.glob(".*.tmp"))


def test_one_split_of_images_that_are_no_files(promptmlr, tmp_path: Path) -> None:
    refused = promptmlr("convert", "scenes", tmp_path / "x.csv", "--to", "csv", "--split", "test")
    assert (refused.code, "name a folder instead" in refused.err) == (2, True)


def test_inspect_says_the_same_on_terminal_in_files_and_on_the_page(promptmlr, photos: Path) -> None:
    (photos / "photos" / "40.png").write_bytes((photos / "photos" / "00.png").read_bytes())
    (photos / "photos" / "01.png").write_bytes(b"broken")
    (photos / "photos" / "02.png").unlink()
    out, page = photos / "out", photos / "page.html"
    done = promptmlr("inspect", photos / "labels.csv", "--out", out, "--report", page, "--workers", 1)
    assert done.code == 0, done.err
    html = page.read_text()
    with (out / "duplicates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["split"], row["kind"]) for row in rows[:2]] == [
        ("photos/00.png", "train", "same bytes"),
        ("photos/40.png", "test", "same bytes"),
    ]
    for words in ("photos/00.png (train), photos/40.png (test)", "photos/01.png", "photos/02.png", "no such file"):
        assert words in done.out
        assert words in html
    with (out / "classes.csv").open() as file:
        for row in csv.DictReader(file):
            assert f"{row['class']} " in done.out
            assert int(row["present"]) + int(row["absent"]) + int(row["unknown"]) == 48
    assert "\ufffd" not in html
    assert "<script src" not in html


@pytest.mark.parametrize(
    ("observed", "unknown"), [("0.5", "ignore"), ("single-positive", "hill")], ids=["partial", "single positive"]
)
def test_the_training_that_inspect_prints_is_one_that_works(
    promptmlr, photos: Path, observed: str, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    hidden = ("--observed", observed, "--link")
    assert promptmlr("convert", "labels.csv", "my labels", "--to", "csv", *hidden).code == 0
    done = promptmlr(
        "inspect", "my labels/labels.csv", "--backbone", "scenes", "--workers", 0, "--report", "a.html", "--out", "a"
    )
    assert done.code == 0, done.err
    (line,) = (line.strip() for line in done.out.splitlines() if line.startswith("  promptmlr train"))
    assert f"--unknown {unknown}" in line
    assert shlex.quote("my labels/labels.csv") in line
    for page in ("a.html", "a/inspection.md"):
        assert f"--unknown {unknown}" in Path(page).read_text()
    trained = promptmlr(*shlex.split(line)[1:], "--epochs", 1, "--workers", 0)
    assert trained.code == 0, trained.err
    assert Path("runs/labels/config.json").is_file()


def test_inspect_of_labels_alone(promptmlr, photos: Path) -> None:
    for image in (photos / "photos").iterdir():
        image.unlink()
    done = promptmlr("inspect", photos / "labels.csv", "--labels-only")
    assert done.code == 0, done.err
    assert "The images were not read" in done.out
    assert (promptmlr("train", photos / "labels.csv", "--out", photos / "x").code) == 2


def test_a_small_data_set_with_blanks_out_of_drawn_scenes(promptmlr, tmp_path: Path) -> None:
    thin = ("--observed", 0.3, "--seed", 4)
    done = promptmlr("convert", "scenes", tmp_path / "shop", "--to", "csv", "--limit", 5, *thin)
    assert done.code == 0, done.err
    assert "kept of split train: 5 images" in done.err
    parts = load_parts(str(tmp_path / "shop" / "labels.csv"))
    whole = load_parts("scenes")
    hidden = load_data("scenes", "train")
    seen = hide(hidden.labels, keep_mask(hidden.labels.shape, 0.3, 4))  # as `train --observed 0.3 --seed 4`
    assert (parts["train"].labels == seen[:5]).all()
    assert (parts["train"].labels == UNKNOWN).any()
    assert (parts["test"].labels == whole["test"].labels[:5]).all()
    refused = promptmlr("convert", "scenes", tmp_path / "x", "--to", "csv", "--observed", 0)
    assert (refused.code, "outside (0, 1]" in refused.err) == (2, True), refused.err
    assert not (tmp_path / "x").exists()


def test_one_present_label_of_each_training_image_and_clean_ones_beside(promptmlr, photos: Path) -> None:
    rows = [line.split(",") for line in (photos / "labels.csv").read_text().splitlines()]
    for row in rows[17:33]:
        row[1] = "val"
    (photos / "labels.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    before = load_parts(str(photos / "labels.csv"))
    thin = ("--observed", "single-positive", "--seed", 4)
    done = promptmlr("convert", photos / "labels.csv", photos / "one.csv", "--to", "csv", *thin)
    assert done.code == 0, done.err
    assert "kept by single-positive of split train: 16 images" in done.err
    after = load_parts(str(photos / "one.csv"))
    for split in ("val", "test"):
        assert (after[split].labels == before[split].labels).all()
    whole, kept = before["train"].labels, after["train"].labels
    assert ((kept != UNKNOWN).sum(axis=1) == (whole == PRESENT).any(axis=1)).all()
    assert (kept[kept != UNKNOWN] == PRESENT).all()
    assert (kept == hide(whole, Observation("single-positive").keep(whole, 4))).all()
    some = promptmlr("convert", photos / "labels.csv", photos / "20.csv", "--to", "csv", "--labels", 20, "--limit", 10)
    assert some.code == 0, some.err
    assert np.count_nonzero(load_parts(str(photos / "20.csv"))["train"].labels != UNKNOWN) == 20


def test_a_split_is_made_and_stays_when_images_are_added(promptmlr, photos: Path) -> None:
    rows = [line.split(",") for line in (photos / "labels.csv").read_text().splitlines()]
    splits = {}
    for count in (30, 48):
        table, made = photos / f"{count}.csv", photos / f"{count}-split.csv"
        table.write_text("".join(",".join([row[0], *row[2:]]) + "\n" for row in rows[: count + 1]))
        done = promptmlr("convert", table, made, "--to", "csv", "--hold-out", 0.3)
        assert done.code == 0, done.err
        splits[count] = {row["image"]: row["split"] for row in csv.DictReader(made.read_text().splitlines())}
        assert labels(made) == labels(table)
        assert [line.rpartition(": ")[2] for line in done.err.splitlines() if line.startswith("CSV")] == [
            "train",
            "test",
        ]
        assert len(splits[count]) == count
    assert splits[30].items() <= splits[48].items()
    assert 5 <= list(splits[48].values()).count("test") <= 24
    for data, share, complaint in [
        ("48-split.csv", 0.3, "have train, test already"),
        ("48.csv", 1.5, "1.5"),
        ("48.csv", 1e-9, "seed"),
    ]:
        refused = promptmlr("convert", photos / data, photos / "x.csv", "--to", "csv", "--hold-out", share)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert complaint in refused.err


@pytest.mark.parametrize("to", ["csv", "coco", "huggingface"])
def test_broken_images_are_left_out_when_asked(promptmlr, photos: Path, to: str) -> None:
    (photos / "photos" / "03.png").write_bytes(b"broken")
    (photos / "photos" / "40.png").unlink()
    made = photos / {"csv": "all.csv", "coco": "out", "huggingface": "all.parquet"}[to]
    refused = promptmlr("convert", photos / "labels.csv", made, "--to", to)
    assert refused.code == 2
    assert refused.err.endswith("; --skip-unreadable leaves such images out\n")
    done = promptmlr("convert", photos / "labels.csv", made, "--to", to, "--skip-unreadable")
    assert done.code == 0, done.err
    assert done.err.count("unreadable, left out: ") == 2
    assert labels(made, to, coco_images="all").keys() == {f"{index:02d}" for index in range(48)} - {"03", "40"}


def test_answers_go_back_into_the_file_they_are_about(promptmlr, photos: Path) -> None:
    image = labels_in(photos / "labels.csv")[0]
    promptmlr("convert", photos / "labels.csv", photos / "tasks.json", "--to", "label-studio")
    journal = photos / "answers.jsonl"
    class_name = load_data(str(photos / "labels.csv")).class_names[0]
    journal.write_text(json.dumps({"image": image, "class": class_name, "value": "1"}) + "\n")
    given = ("--answers", journal)
    done = promptmlr("convert", photos / "tasks.json", photos / "corrected.json", *given)
    assert done.code == 0, done.err
    assert "of 1 answers change a label" in done.err
    assert labels(photos / "corrected.json")[Path(image).stem][class_name] == 1
    done = promptmlr("convert", photos / "labels.csv", photos / "other.csv", "--to", "csv", *given)
    assert done.code == 0, done.err
    assert labels(photos / "other.csv")[Path(image).stem][class_name] == 1
    done = promptmlr("convert", photos / "tasks.json", photos / "more.json")
    assert (done.code, "--to" in done.err, "--answers" in done.err) == (2, True, True)


def labels_in(table: Path) -> list[str]:
    """The images of a CSV."""
    with table.open(newline="") as file:
        return [row["image"] for row in csv.DictReader(file)]


def test_a_foreign_table_is_read_by_the_command_that_is_printed_and_by_its_run_alike(promptmlr, photos: Path) -> None:
    rows = list(csv.reader((photos / "labels.csv").read_text(encoding="utf-8").splitlines()))
    words = {"1": "1.0", "0": "0.0", "": "-1.0"}
    with (photos / "foreign.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Path", "split", "Patient Age", *rows[0][2:]])
        writer.writerows([*row[:2], 40 + i, *map(words.__getitem__, row[2:])] for i, row in enumerate(rows[1:]))
    run = photos / "runs" / "x"
    refused = promptmlr("train", photos / "foreign.csv", "--out", run, *TRAIN)
    first, *commands = refused.err.splitlines()
    assert (refused.code, first[:6], len(commands)) == (2, "error:", 2)
    assert "Patient Age ('40' in row 2)" in first
    command, when = commands[0].split("  # if ")
    assert when == "-1.0 is unknown"
    done = promptmlr(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    reading = json.loads((run / "config.json").read_text())["data"]["reading"]
    assert reading == {
        "format": "csv",
        "ignore": "Patient Age",
        "codes": "1.0=present,0.0=absent,-1.0=unknown",
    }
    scores = [
        promptmlr("evaluate", run, photos / name, "--resamples", 0, "--workers", 0)
        for name in ("foreign.csv", "labels.csv")
    ]
    assert scores[0].code == 0, scores[0].err
    assert "not used: Patient Age" in scores[0].err
    assert (scores[1].code, "cannot read ''" in scores[1].err) == (2, True)  # whose blanks the run's codes do not name
    done = promptmlr("suggest", run, photos / "foreign.csv", "--out", photos / "next.csv", "--workers", 0)
    assert done.code == 0, done.err
