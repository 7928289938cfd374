"""From a folder of photos and a CSV full of blanks to predictions, through the command line alone."""

import csv
import json
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import promptmlr as pm
from promptmlr.data import load_data
from promptmlr.labels import hide
from promptmlr.methods import METHOD_TABLE
from promptmlr.recipes import load_recipe
from promptmlr.run import FILES
from promptmlr.top_scores import top_scores
from support import assert_same_tensors, csv_rows, interrupt_after, require_shared

SMALL = ("--backbone", "scenes", "--epochs", "2", "--workers", "0")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights.safetensors")


@pytest.mark.parametrize(
    ("options", "name"),
    [(("--observed", "single-positive"), "single-positive"), (("--labels", "40"), "40 labels"), ((), None)],
)
def test_a_run_names_the_protocol_that_hid_its_labels(promptmlr, photos: Path, options, name: str | None) -> None:
    run, table = photos / "run", photos / "labels.csv"
    done = promptmlr("train", table, "--out", run, "--method", "zeroshot", *options, *SMALL)
    assert done.code == 0, done.err
    data = json.loads((run / "config.json").read_text())["data"]
    assert data["protocol"] == name
    labels = load_data(str(table)).labels
    seen = hide(labels, np.load(run / "mask.npy"))
    assert (
        data["known_labels"]
        == (seen != -1).sum()
        == {"40 labels": 40, None: (labels != -1).sum()}.get(name, (labels == 1).any(axis=1).sum())
    )
    assert data["observed"] == pytest.approx(data["known_labels"] / (labels != -1).sum())
    if name is not None:
        assert f"{name}: " in done.err
        assert "validation and test labels stay as they are" in done.err


@pytest.mark.parametrize("method", sorted(METHOD_TABLE))
def test_csv_to_predictions(promptmlr, photos: Path, method: str) -> None:
    run, table = photos / "run", photos / "labels.csv"
    trained = promptmlr("train", table, "--out", run, "--method", method, "--observed", "0.9", *SMALL)
    assert trained.code == 0, trained.err
    assert "never observed" in trained.err or "training sees" in trained.err
    assert {path.name for path in run.iterdir()} == set(FILES)
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == ([1, 2] if METHOD_TABLE[method].trained else [])

    evaluated = promptmlr("evaluate", run, table, "--resamples", "20", "--workers", "0")
    assert evaluated.code == 0, evaluated.err
    assert "mAP" in evaluated.out
    scores = json.loads((run / "evaluation.json").read_text())
    assert scores["images"] == 16
    assert 0 <= scores["mean_ap"] <= 1

    out = photos / "predictions.csv"
    predicted = promptmlr("predict", run, photos / "photos", "--out", out, "--workers", "0")
    assert predicted.code == 0, predicted.err
    rows = csv_rows(out)
    assert [Path(row["image"]).name for row in rows] == [f"{index:02d}.png" for index in range(48)]
    assert list(rows[0]) == ["image", "labels", *pm.load_run(run).class_names]
    for row in rows:
        cuts = zip(pm.load_run(run).class_names, pm.load_run(run).thresholds, strict=True)
        above = {name for name, cut in cuts if float(row[name]) > cut}
        assert set(filter(None, row["labels"].split(";"))) == above

    test = load_data(str(table), "test")
    by_name = {Path(row["image"]).name: [float(row[name]) for name in test.class_names] for row in rows}
    top = top_scores(np.array([by_name[Path(name).name] for name in test.image_ids]), test.labels)
    assert [scores[key] for key in ("cf1_top3", "of1_top3", "f1_at_3")] == pytest.approx(list(astuple(top)), abs=0.02)
    assert f"all three: F1 {100 * scores['f1_at_3']:.1f}" in evaluated.out


def test_predictions_agree_between_forms(promptmlr, photos: Path, run: Path) -> None:
    pattern = str(photos / "photos" / "0*.png")
    for suffix in ("csv", "jsonl", "parquet"):
        done = promptmlr("predict", run, pattern, "--top", "2", "--out", photos / f"p.{suffix}")
        assert done.code == 0, done.err
    names = pm.load_run(run).class_names
    rows = csv_rows(photos / "p.csv")
    lines = [json.loads(line) for line in (photos / "p.jsonl").read_text().splitlines()]
    table = pq.read_table(photos / "p.parquet").to_pylist()
    expected = pm.load_run(run).predict(sorted((photos / "photos").glob("0*.png")))
    assert len(rows) == len(lines) == len(table) == len(expected) == 10
    for row, line, entry, values in zip(rows, lines, table, expected, strict=True):
        best_two = [names[index] for index in np.argsort(-values)[:2]]
        assert row["labels"].split(";") == line["labels"] == entry["labels"] == best_two
        for name, value in zip(names, values, strict=True):
            assert float(row[name]) == pytest.approx(value, abs=1e-5)
            assert line["probabilities"][name] == pytest.approx(value, abs=1e-5)
            assert entry[name] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("method", ["anchored", "positivecoop"])
@pytest.mark.parametrize("select", ["last", "val"])
def test_interrupted_run_resumes_to_the_same_files(
    promptmlr, photos: Path, monkeypatch, select: str, method: str
) -> None:
    arguments = ("train", photos / "labels.csv", "--backbone", "scenes", "--epochs", "4", "--select", select)
    arguments = (*arguments, "--method", method)
    assert promptmlr(*arguments, "--out", photos / "whole").code == 0

    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        stopped = promptmlr(*arguments, "--out", photos / "cut")
    assert stopped.code == 130
    assert not (photos / "cut").exists()
    assert (photos / "cut.partial").is_dir()

    refused = promptmlr(*arguments, "--out", photos / "cut")
    assert refused.code == 2
    assert "--resume" in refused.err
    changed = promptmlr(*arguments, "--seed", "1", "--out", photos / "cut", "--resume")
    assert changed.code == 2
    assert "another" in changed.err
    resumed = promptmlr(*arguments, "--out", photos / "cut", "--resume")
    assert resumed.code == 0, resumed.err
    for name in ("weights.safetensors", "calibration.json", "prior.json", "config.json", "mask.npy"):
        assert (photos / "cut" / name).read_bytes() == (photos / "whole" / name).read_bytes(), name
    assert {path.name for path in (photos / "cut").iterdir()} == set(FILES)
    epochs = [json.loads(line)["epoch"] for line in (photos / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3, 4]


@pytest.mark.parametrize(("method", "tensor"), [("anchored", "presence.embedding"), ("dualcoop", "presence.context")])
def test_same_seed_same_weights_other_seed_others(promptmlr, photos: Path, method: str, tensor: str) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        # the seed hides labels, draws random starts, and parts labels to choose the prior's strength and to calibrate
        arguments = ("--method", method, "--seed", seed, "--observed", "0.5", *SMALL)
        done = promptmlr("train", photos / "labels.csv", "--out", photos / name, *arguments)
        assert done.code == 0, done.err
    assert_same_tensors(weights(photos / "a"), weights(photos / "b"))
    a, c = (weights(photos / name)[f"learned.{tensor}"] for name in "ac")
    assert not torch.equal(a, c)


def test_selection_on_test_data_is_marked_everywhere(promptmlr, photos: Path) -> None:
    run, table = photos / "run", photos / "labels.csv"
    trained = promptmlr("train", table, "--out", run, "--select", "test", *SMALL)
    assert trained.code == 0, trained.err
    assert "test data" in trained.err
    evaluated = promptmlr("evaluate", run, table, "--resamples", "20")
    assert "selected on test data" in evaluated.out
    assert json.loads((run / "evaluation.json").read_text())["select"] == "test"


def test_a_profile_says_where_the_time_went(promptmlr, photos: Path) -> None:
    method = ("--method", "positivecoop")
    done = promptmlr(
        "train", photos / "labels.csv", "--out", photos / "run", "--profile", "--no-cache", *method, *SMALL
    )
    assert done.code == 0, done.err
    rows = done.err[done.err.index("where the time went") :].splitlines()[1:]
    seconds = {line[:36].strip(): float(line[36:].split()[0]) for line in rows if line[:36].strip() and "%" in line}
    parts = {"image tower", "text, forward", "text, backward", "maps and loss, backward", "optimizer"}
    assert parts <= seconds.keys()
    assert sum(seconds.values()) - seconds["all"] == pytest.approx(seconds["all"], abs=0.1)
    assert promptmlr("train", photos / "labels.csv", "--out", photos / "other", *SMALL).err.count("where the time") == 0


def test_released_recipe_trains_on_augmented_views(promptmlr, photos: Path) -> None:
    run = photos / "run"
    arguments = ("--backbone", "scenes", "--recipe", "released", "--epochs", "1", "--method", "negativecoop")
    done = promptmlr("train", photos / "labels.csv", "--out", run, *arguments)
    assert done.code == 0, done.err
    assert "fresh from pixels" in done.err
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    expected = load_recipe("released", "negativecoop", observed=63 / 160).loss_weight  # that many labels are known
    assert (recipe["embedding_rate"], recipe["loss_weight"], recipe["start"]) == (0.5, expected, "random")
    assert expected != load_recipe("released", "negativecoop", observed=1.0).loss_weight


def test_training_images_as_test_images_are_warned_of(promptmlr, photos: Path) -> None:
    run, table = photos / "run", photos / "labels.csv"
    assert promptmlr("train", table, "--out", run, "--split", "test", *SMALL).code == 0
    evaluated = promptmlr("evaluate", run, table, "--resamples", "20")
    assert "trained on" in evaluated.out


def test_a_run_refuses_another_backbone(promptmlr, photos: Path, run: Path, parity_checkpoint: Path) -> None:
    done = promptmlr("evaluate", run, photos / "labels.csv", "--backbone", parity_checkpoint)
    assert done.code == 2
    assert "needs the weights of scenes" in done.err


def test_unreadable_images_stop_training_unless_skipped(promptmlr, photos: Path) -> None:
    (photos / "photos" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    table, run = photos / "labels.csv", photos / "run"
    refused = promptmlr("train", table, "--out", run, *SMALL)
    assert refused.code == 2
    assert "03.png" in refused.err
    assert not run.exists()
    assert not (photos / "run.partial").exists()
    done = promptmlr("train", table, "--out", photos / "run2", "--skip-unreadable", *SMALL)
    assert done.code == 0, done.err
    assert "03.png" in done.err
    predicted = promptmlr("predict", photos / "run2", photos / "photos", "--out", photos / "p.csv")
    assert predicted.code == 0
    assert "predicted: 47, unreadable: 1" in predicted.err
    strict = promptmlr("predict", photos / "run2", photos / "photos", "--out", photos / "q.csv", "--strict")
    assert strict.code == 2
    assert not (photos / "q.csv").exists()


def test_missing_images_are_left_out_with_the_unreadable(promptmlr, photos: Path) -> None:
    (photos / "photos" / "03.png").unlink()
    table, run = photos / "labels.csv", photos / "run"
    refused = promptmlr("train", table, "--out", run, *SMALL)
    assert refused.code == 2
    assert "03.png" in refused.err
    assert "--skip-unreadable leaves such images out" in refused.err
    done = promptmlr("train", table, "--out", run, "--skip-unreadable", *SMALL)
    assert done.code == 0, done.err
    assert "03.png" in done.err
    elsewhere = promptmlr(
        "train", table, "--images", photos / "run", "--out", photos / "r", "--skip-unreadable", *SMALL
    )
    assert elsewhere.code == 2


def test_a_score_on_the_training_images_says_so_wherever_it_goes(promptmlr, photos: Path, run: Path) -> None:
    table, page = photos / "labels.csv", photos / "page.html"
    warning = "the run was trained on images of these names"
    on_new = promptmlr("evaluate", run, table, "--report", page)
    assert on_new.code == 0, on_new.err
    assert warning not in on_new.out + page.read_text()
    on_old = promptmlr("evaluate", run, table, "--split", "train", "--report", page)
    assert warning in on_old.out
    assert warning in page.read_text()
    assert promptmlr("export", run, "--to", "hub", "--out", photos / "hub").code == 0
    card = (photos / "hub" / "README.md").read_text()
    assert "trained on images of these names, so these scores are too high" in card
    assert card.count("the images it was trained on") == 2  # the table's heading and the front matter


def test_full_disk_is_the_environments_fault(promptmlr, photos: Path, run: Path, monkeypatch) -> None:
    (photos / "p.csv").write_text("kept")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("promptmlr.files.os.fsync", full)
    done = promptmlr("predict", run, photos / "photos", "--out", photos / "p.csv", "--overwrite")
    assert done.code == 1
    assert "No space left on device" in done.err
    assert (photos / "p.csv").read_text() == "kept"
    assert not list(photos.glob(".p.csv*"))


def test_real_photos_with_a_released_mask(promptmlr, tmp_path: Path, parity_checkpoint: Path) -> None:
    """COCO's own layout, a random checkpoint, and a keep-mask as the released code saves it."""
    data = require_shared("coco-photos")
    with_annotations = {
        row["image_id"]
        for row in json.loads((data / "annotations/instances_train2017.json").read_text())["annotations"]
    }
    keep = (torch.rand(len(with_annotations), 80, generator=torch.Generator().manual_seed(0)) < 0.5).long()
    torch.save(torch.stack([keep] * 3, dim=1), tmp_path / "partial_label_0.50.pt")
    run = tmp_path / "run"
    arguments = ("--backbone", parity_checkpoint, "--image-size", "96", "--epochs", "1", "--context-length", "4")
    mask = ("--mask", tmp_path / "partial_label_0.50.pt")
    done = promptmlr("train", data, "--out", run, "--method", "dualcoop", *mask, *arguments)
    assert done.code == 0, done.err
    assert np.load(run / "mask.npy").sum() == int(keep.sum())
    evaluated = promptmlr("evaluate", run, data, "--resamples", "20")
    assert evaluated.code == 0, evaluated.err
    assert "left out of the means" in evaluated.out
    predicted = promptmlr("predict", run, data / "val2017", "--out", tmp_path / "p.jsonl")
    assert predicted.code == 0
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == len(list((data / "val2017").iterdir()))


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "promptmlr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"promptmlr {pm.__version__}"


def test_the_next_command_that_train_names_works(promptmlr, photos: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    table = Path("elsewhere.csv")
    table.write_text((photos / "labels.csv").read_text().replace("photos/", ""))
    trained = promptmlr("train", table, "--images", "photos", "--out", "run", "--method", "zeroshot", *SMALL)
    assert trained.code == 0, trained.err
    following = trained.err.strip().rpartition("next: promptmlr ")[2].split()
    assert following == ["evaluate", "run", "elsewhere.csv", "--images", "photos"]
    assert promptmlr(*following, "--workers", "0").code == 0


def test_without_a_split_train_says_how_to_make_one(promptmlr, photos: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    rows = [line.split(",") for line in Path("labels.csv").read_text().splitlines()]
    Path("whole.csv").write_text("".join(";".join([row[0], *row[2:]]) + "\n" for row in rows))
    trained = promptmlr("train", "whole.csv", "--out", "run", "--method", "zeroshot", *SMALL)
    assert "next: promptmlr predict run IMAGES" in trained.err
    (advice,) = [line for line in trained.err.splitlines() if "no image is left" in line]
    done = promptmlr(*advice.rpartition("promptmlr ")[2].split())
    assert done.code == 0, done.err
    trained = promptmlr("train", "split.csv", "--out", "run2", "--method", "zeroshot", *SMALL)
    assert promptmlr(*trained.err.rpartition("next: promptmlr ")[2].split(), "--workers", "0").code == 0


def test_predictions_that_exist_are_not_replaced_unasked(promptmlr, photos: Path) -> None:
    run, out = photos / "run", photos / "predictions.csv"
    assert promptmlr("train", photos / "labels.csv", "--out", run, "--method", "zeroshot", *SMALL).code == 0
    out.write_text("mine")
    refused = promptmlr("predict", run, photos / "photos", "--out", out)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--overwrite" in refused.err
    assert out.read_text() == "mine"
    assert promptmlr("predict", run, photos / "photos", "--out", out, "--overwrite", "--workers", "0").code == 0
    assert out.read_text().startswith("image,labels,")


def test_no_command_prints_the_help_and_no_empty_error(promptmlr) -> None:
    done = promptmlr()
    assert done.code == 2
    assert "train" in done.out + done.err
    assert "error" not in done.err


def test_views_of_nothing_are_refused(promptmlr, photos: Path) -> None:
    done = promptmlr("train", photos / "labels.csv", "--out", photos / "run", "--views", "2", *SMALL)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "shows them as they are" in done.err


def test_no_line_lists_classes_without_end(promptmlr, photos: Path, capsys) -> None:
    """The first ten and how many more there are."""
    names = [f"a class with number {number}" for number in range(400)]
    with (photos / "many.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", *names])
        for index in range(48):
            known = {3 * index: "1", 3 * index + 1: "0"}  # most classes have no label, or one of one kind
            cells = [known.get(number, "") for number in range(len(names))]
            writer.writerow([f"photos/{index:02d}.png", "test" if index >= 32 else "train", *cells])
    small = ("--backbone", "scenes", "--epochs", "1", "--no-cache", "--workers", "0")
    trained = promptmlr("train", photos / "many.csv", "--out", photos / "run", *small)
    evaluated = promptmlr("evaluate", photos / "run", photos / "many.csv", "--no-cache", "--resamples", "0")
    labels = promptmlr("evaluate", photos / "run", photos / "labels.csv", "--no-cache", "--resamples", "0")
    assert (trained.code, evaluated.code, labels.code) == (0, 0, 2), (trained.err, evaluated.err)
    for done in (trained, evaluated, labels):
        assert max(map(len, (done.err + done.out).splitlines())) < 600
    assert "and 374 more" in evaluated.out + evaluated.err
