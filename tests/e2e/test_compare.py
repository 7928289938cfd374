"""`promptmlr compare`: a grid, its files, and going on where it was interrupted."""

import json
import re
import shutil
from pathlib import Path

import pytest

from promptmlr.paper.design import running
from promptmlr.paper.grid import cells as module
from promptmlr.paper.grid import stack
from promptmlr.paper.grid.folder import GridFolder
from support import csv_rows

NUMBER = re.compile(r"\d+\.\d+")

SMALL = ("--backbone", "scenes", "--epochs", "1", "--workers", "0", "--seeds", "2", "--observed", "0.5,1")


def cells(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    return {(row["method"], row["observed"], row["seed"]): row for row in csv_rows(out / "cells.csv")}


def test_a_grid_has_a_cell_for_every_method_share_and_seed(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    methods = ("--methods", "zeroshot,positivecoop")
    done = promptmlr("compare", photos / "labels.csv", "--out", out, *methods, *SMALL)
    assert done.code == 0, done.err
    found = cells(out)
    assert set(found) == {(m, f, s) for m in ("zeroshot", "positivecoop") for f in ("0.5", "1.0") for s in ("0", "1")}
    assert all(0 < float(row["mean_ap"]) <= 1 for row in found.values())
    assert len({row["mean_ap"] for key, row in found.items() if key[0] == "zeroshot"}) == 1
    text = (out / "table.md").read_text()
    assert "| 50 % | 100 % | mean |" in text
    assert "with fewer than 100, intervals are too narrow" in text
    assert "What mAP does not show" in text
    assert "with fewer than 100, intervals are too narrow" in done.err.partition("steps")[0]  # before it begins
    assert "the miniature CLIP knows drawings alone" in done.err
    moved = {
        row["method"]: float(row["absence_displacement"])
        for row in csv_rows(out / "table.csv")
        if row["observed"] == "mean"
    }
    assert moved["zeroshot"] == 0 < moved["positivecoop"]
    assert "seen by scenes at 128 px" in text
    assert "Recipe default, but epochs 1." in text
    assert NUMBER.findall(text) == NUMBER.findall(done.out)  # the same, set as lines
    assert "mAP in percent (table.csv)\nmethod" in done.out
    places = {(row["method"], row["reference"], row["observed"]) for row in csv_rows(out / "differences.csv")}
    assert places == {("positivecoop", "zeroshot", share) for share in ("0.5", "1.0", "mean")}
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_of_labels_and_zero_shot_beside(promptmlr, photos: Path) -> None:
    out, table = photos / "grid", photos / "labels.csv"
    few = (*SMALL[:-2], "--methods", "baseline,dualembedding", "--reference", "dualembedding")
    done = promptmlr("compare", table, "--out", out, *few, "--labels", "20,60")
    assert done.code == 0, done.err
    assert "12 runs (3 methods, numbers of labels: 2, 2 seeds; 0 finished before)" in done.err
    assert {key[:2] for key in cells(out)} == {
        (method, f"{count} labels") for method in ("baseline", "dualembedding", "zeroshot") for count in (20, 60)
    }
    lines = done.out.splitlines()
    heads = [line.split() for line in lines if "20 labels" in line and "60 labels" in line and "mean" in line]
    assert [head[0] for head in heads] == ["method", "minus", "minus"]
    assert [line for line in lines if line.startswith("Differences")] == [
        "Differences to dualembedding",
        "Differences to zeroshot",
    ]
    assert "Numbers of labels: that many of the known labels, chosen at random" in done.out
    pairs = {(row["method"], row["reference"]) for row in csv_rows(out / "differences.csv")}
    assert pairs == {
        *(("baseline", "dualembedding"), ("zeroshot", "dualembedding")),
        *(("baseline", "zeroshot"), ("dualembedding", "zeroshot")),
    }
    settings = json.loads((out / "settings.json").read_text())
    assert "baseline at 20 labels" in settings
    run = photos / "run"
    alone = (
        "--backbone",
        "scenes",
        "--epochs",
        "1",
        "--workers",
        "0",
        "--no-calibrate",
        "--labels",
        "20",
        "--seed",
        "1",
    )
    assert promptmlr("train", table, "--out", run, "--method", "dualembedding", *alone).code == 0
    assert promptmlr("evaluate", run, table, "--resamples", "20").code == 0
    score = json.loads((run / "evaluation.json").read_text())["mean_ap"]
    assert float(cells(out)["dualembedding", "20 labels", "1"]["mean_ap"]) == pytest.approx(score, abs=1e-6)


def test_protocols_beside_a_fraction_go_on(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    arguments = ("compare", photos / "labels.csv", "--out", out, "--methods", "dualembedding", *SMALL)
    assert promptmlr(*arguments, "--observed", "1").code == 0
    before = cells(out)
    done = promptmlr(*arguments, "--observed", "single-positive,1,positive-only:0.5")
    assert done.code == 0, done.err
    assert "(2 methods, protocols of labels: 3, 2 seeds; 4 finished before)" in done.err
    after = cells(out)
    assert before.items() <= after.items()
    assert {key[1] for key in after} == {"single-positive", "1.0", "positive-only:0.5"}
    assert all(float(row["log_loss"]) > 0 and 0 <= float(row["calibration_error"]) <= 1 for row in after.values())
    assert "single-positive: one present label of each image, chosen at random, is kept" in done.out
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_labels_that_go_missing_as_in_life_are_protocols_too(promptmlr, photos: Path) -> None:
    table, out, run = photos / "labels.csv", photos / "grid", photos / "run"
    arguments = ("compare", table, "--out", out, "--methods", "dualembedding", *SMALL)
    assert promptmlr(*arguments, "--observed", "report,annotators:0.4").code == 0
    before = cells(out)
    done = promptmlr(*arguments, "--observed", "report,annotators:0.4,federated:0.3")
    assert done.code == 0, done.err
    assert "8 finished before" in done.err
    after = cells(out)
    assert before.items() <= after.items()
    assert {key[1] for key in after} == {"report", "annotators:0.4", "federated:0.3"}
    assert "| report | annotators:0.4 | federated:0.3 |" in (out / "table.md").read_text()
    assert "report: 22.7 % of the known labels are kept (what is present is mentioned" in done.out
    alone = ("--observed", "annotators:0.4", "--seed", "1", "--epochs", "1", "--backbone", "scenes", "--workers", "0")
    assert promptmlr("train", table, "--out", run, "--method", "dualembedding", *alone).code == 0
    assert json.loads((run / "config.json").read_text())["data"]["protocol"] == "annotators:0.4"
    assert promptmlr("evaluate", run, table, "--resamples", "20").code == 0
    score = json.loads((run / "evaluation.json").read_text())["mean_ap"]
    assert float(after["dualembedding", "annotators:0.4", "1"]["mean_ap"]) == pytest.approx(score, abs=1e-6)


def test_a_cell_is_the_run_that_train_makes(promptmlr, photos: Path) -> None:
    table, out, run = photos / "labels.csv", photos / "grid", photos / "run"
    assert promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL).code == 0
    options = ("--backbone", "scenes", "--epochs", "1", "--workers", "0", "--observed", "0.5", "--seed", "1")
    assert promptmlr("train", table, "--out", run, "--method", "dualembedding", *options).code == 0
    assert promptmlr("evaluate", run, table, "--resamples", "20").code == 0
    alone = json.loads((run / "evaluation.json").read_text())["mean_ap"]
    assert float(cells(out)["dualembedding", "0.5", "1"]["mean_ap"]) == pytest.approx(alone, abs=1e-6)


def test_an_interrupted_grid_goes_on(promptmlr, photos: Path, monkeypatch) -> None:
    out, whole = photos / "grid", photos / "whole"
    arguments = (photos / "labels.csv", "--methods", "baseline,dualembedding", *SMALL)
    real, trained = module.fit_runs, []

    def interrupted(runs, *rest, **options):
        trained.append(len(runs))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(runs, *rest, **options)

    monkeypatch.setattr(module, "fit_runs", interrupted)
    stopped = promptmlr("compare", *arguments, "--out", out)
    assert stopped.code == 130
    assert f"{out} keeps what is finished; repeat the command to go on" in stopped.err
    assert {key[0] for key in cells(out)} == {"baseline"}
    assert promptmlr("compare", *arguments, "--out", out).code == 0
    assert trained == [4, 4, 4]
    assert promptmlr("compare", *arguments, "--out", whole).code == 0
    score = {key: row["mean_ap"] for key, row in cells(whole).items()}
    assert {key: row["mean_ap"] for key, row in cells(out).items()} == score


@pytest.fixture(scope="module")
def stopped_once(promptmlr, drawn: Path, tmp_path_factory) -> Path:
    """Photos beside a grid that was interrupted after two of three epochs of its only method."""
    photos, real = Path(shutil.copytree(drawn, tmp_path_factory.mktemp("stopped") / "photos")), stack.Stack.save

    def save(self, folder: Path) -> None:
        real(self, folder)
        if self.epoch == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.Stack, "save", save)
        assert promptmlr(*of_three_epochs(photos)).code == 130
    assert (photos / "grid" / "positivecoop.unfinished.safetensors").is_file()
    assert not (photos / "grid" / "cells.csv").exists()
    return photos


def of_three_epochs(photos: Path) -> tuple[object, ...]:
    """The command that makes `stopped`."""
    of_one = ("compare", photos / "labels.csv", "--methods", "positivecoop", "--out", photos / "grid", *SMALL)
    return *of_one, "--epochs", "3"


@pytest.fixture
def stopped(stopped_once: Path, photos: Path) -> tuple[Path, tuple[object, ...]]:
    """A grid that was interrupted after two of three epochs of its only method; its folder, and its command."""
    return Path(shutil.copytree(stopped_once / "grid", photos / "grid")), of_three_epochs(photos)


def test_a_method_goes_on_within_its_epochs_to_the_same_bits(promptmlr, photos: Path, stopped, monkeypatch) -> None:
    out, arguments = stopped
    assert promptmlr(*arguments, "--out", photos / "whole").code == 0
    epochs, real = [], stack.Stack.save
    monkeypatch.setattr(stack.Stack, "save", lambda self, folder: (real(self, folder), epochs.append(self.epoch)))
    done = promptmlr(*arguments)
    assert (done.code, epochs) == (0, [3])
    assert "positivecoop: going on after epoch 2" in done.err
    whole = cells(photos / "whole")
    assert len(whole) == 2 * 4  # zero-shot stands beside
    for key, row in cells(out).items():
        assert row["mean_ap"] == whole[key]["mean_ap"]
    resampled = [(folder / "resampled.parquet").read_bytes() for folder in (out, photos / "whole")]
    assert resampled[0] == resampled[1]
    assert not list(out.glob("*.unfinished.*"))


def test_cells_that_join_an_interrupted_method_are_a_stack_of_their_own(promptmlr, stopped, monkeypatch) -> None:
    out, arguments = stopped
    real, trained = module.fit_runs, []

    def fit_runs(runs, *rest, **options):
        trained.append([run.state.epoch for run in runs])
        return real(runs, *rest, **options)

    monkeypatch.setattr(module, "fit_runs", fit_runs)
    assert promptmlr(*arguments, "--observed", "0.5,0.8,1").code == 0
    assert trained == [[2] * 4, [0] * 2]
    assert len(cells(out)) == 2 * 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--observed", "1"), ("2 epochs of --observed 0.5,1 with 2 seeds", "unfinished")),
        (("--seeds", "1"), ("2 epochs of --observed 0.5,1 with 2 seeds",)),
        (("--epochs", "4"), ("another recipe, epochs (3 there, 4 here)",)),
        (("--storage", "int8"), ('another --storage ("float16" there, "int8" here)',)),
    ],
)
def test_unfinished_epochs_are_not_lost_by_another_command(promptmlr, stopped, options, words) -> None:
    out, arguments = stopped
    kept = (out / "positivecoop.unfinished.safetensors").read_bytes()
    refused = promptmlr(*arguments, *options)
    assert refused.code == 2
    assert all(word in refused.err.splitlines()[-1] for word in words), refused.err
    assert (out / "positivecoop.unfinished.safetensors").read_bytes() == kept


def test_unfinished_epochs_on_other_regions_are_refused(promptmlr, photos: Path, stopped) -> None:
    _, arguments = stopped
    (photos / "photos" / "03.png").write_bytes(b"no image")
    refused = promptmlr(*arguments, "--skip-unreadable")
    assert refused.code == 2
    assert "other regions" in refused.err


@pytest.mark.parametrize("content", [b"", b"cut short"])
def test_a_damaged_state_of_unfinished_cells_is_named(promptmlr, stopped, content: bytes) -> None:
    out, arguments = stopped
    state = out / "positivecoop.unfinished.safetensors"
    state.write_bytes(content)
    refused = promptmlr(*arguments)
    assert (refused.code, f"{state} is damaged" in refused.err) == (2, True)


def test_a_state_whose_cells_are_finished_goes(promptmlr, stopped) -> None:
    out, arguments = stopped
    state = out / "positivecoop.unfinished.safetensors"
    kept = state.read_bytes()
    assert promptmlr(*arguments).code == 0
    state.write_bytes(kept)  # as if the process had been killed between the two files
    before = (out / "cells.csv").read_bytes()
    assert promptmlr(*arguments).code == 0
    assert not state.exists()
    assert (out / "cells.csv").read_bytes() == before


def test_cells_of_other_settings_are_not_mixed(promptmlr, photos: Path) -> None:
    out, table = photos / "grid", photos / "labels.csv"
    assert promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL).code == 0
    refused = promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL, "--start", "agnostic")
    assert refused.code == 2
    assert "another recipe" in refused.err
    more = promptmlr("compare", table, "--out", out, "--methods", "dualembedding,baseline", *SMALL)
    assert more.code == 0
    assert {key[0] for key in cells(out)} == {"dualembedding", "baseline", "zeroshot"}


def test_labels_that_were_edited_are_not_mixed_with_older_cells(promptmlr, photos: Path) -> None:
    out, table = photos / "grid", photos / "labels.csv"
    arguments = ("compare", table, "--out", out, "--methods", "dualembedding", *SMALL)
    assert promptmlr(*arguments).code == 0
    before = (out / "cells.csv").read_bytes()
    header, first, *rest = table.read_text().splitlines()
    cells = first.split(",")
    table.write_text("\n".join([header, ",".join([*cells[:2], *("10"[cell == "1"] for cell in cells[2:])]), *rest]))
    refused = promptmlr(*arguments)
    assert (refused.code, "another set of training labels;" in refused.err) == (2, True)
    assert (out / "cells.csv").read_bytes() == before


def test_one_process_at_a_time(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    arguments = ("compare", photos / "labels.csv", "--out", out, "--methods", "zeroshot", *SMALL)
    with GridFolder(out, "compare").held({}):
        refused = promptmlr(*arguments)
    assert (refused.code, "another process is at work" in refused.err) == (2, True)
    assert promptmlr(*arguments).code == 0


def test_what_a_killed_process_left_goes(photos: Path) -> None:
    left, other = photos / "grid" / ".resampled.parquet.abc.tmp", photos / "grid" / ".mine.tmp"
    with GridFolder(photos / "grid", "compare").held({}):
        for file in (left, other):
            file.write_text("half")
    with GridFolder(photos / "grid", "compare").held({}):
        assert (left.exists(), other.exists()) == (False, True)


def test_the_folder_of_another_command_is_not_called_damaged(promptmlr, photos: Path) -> None:
    out = photos / "probe"
    assert promptmlr("probe-text", "--backbone", "scenes", "--out", out).code == 0
    before = (out / "settings.json").read_bytes()
    refused = promptmlr("compare", photos / "labels.csv", "--out", out, "--methods", "zeroshot", *SMALL)
    assert (refused.code, f"{out} holds other files" in refused.err) == (2, True)
    assert (out / "settings.json").read_bytes() == before


@pytest.mark.parametrize("content", ["[]", '{"kind": 3}', "{"])
def test_a_damaged_folder_is_named(promptmlr, photos: Path, content: str) -> None:
    out = photos / "grid"
    out.mkdir()
    (out / "settings.json").write_text(content)
    refused = promptmlr("compare", photos / "labels.csv", "--out", out, "--methods", "zeroshot", *SMALL)
    assert (refused.code, f"{out} is damaged" in refused.err) == (2, True)


def test_missing_resamples_are_damage(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    arguments = ("compare", photos / "labels.csv", "--out", out, *SMALL)
    assert promptmlr(*arguments, "--methods", "zeroshot").code == 0
    before = (out / "cells.csv").read_bytes()
    (out / "resampled.parquet").unlink()
    refused = promptmlr(*arguments, "--methods", "dualembedding")
    assert (refused.code, f"{out} is damaged" in refused.err) == (2, True)
    assert (out / "cells.csv").read_bytes() == before


def test_a_page_of_the_results(promptmlr, photos: Path) -> None:
    out, page = photos / "grid", photos / "report.html"
    methods = ("--methods", "zeroshot,dualembedding,baseline", "--reference", "dualembedding", "--report", page)
    done = promptmlr("compare", photos / "labels.csv", "--out", out, *methods, *SMALL)
    assert done.code == 0, done.err
    text = page.read_text(encoding="utf-8")
    assert "minus dualembedding" in text
    assert text.count("<img") == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--methods", "positivcoop"), "'positivecoop'"),
        (("--methods", ","), "empty"),
        (("--observed", "0.1,x"), "'x'"),
        (("--observed", "0.1,2"), "outside"),
        (("--observed", "0.0000001"), "leaves no label"),
        (("--methods", "baseline", "--reference", "dualcoop"), "'dualcoop'"),
        (("--observed", "0.1", "--labels", "5"), "--observed and --labels"),
        (("--observed", "0.1,single-negative"), "--observed: 'single-negative'"),
        (("--labels", "5,0.5"), "--labels: '0.5'"),
        (("--labels", "5,5000"), "5,000 labels are asked for, and 63 are known"),
        (("--labels", ","), "empty"),
        (("--design", "--labels", "5"), "leave out 5 labels"),
        (("--methods", "zeroshot", "--jobs", "2"), "--jobs is for a --design"),
        (("--most-epochs", "5"), "--most-epochs is for a --design"),
        (("--methods", "zeroshot", "--report", "cells.csv"), "ends in .html"),
    ],
)
def test_bad_grids_are_refused(promptmlr, photos: Path, options: tuple[str, str], word: str) -> None:
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "grid", "--backbone", "scenes", *options)
    assert done.code == 2
    assert word in done.err
    assert not (photos / "grid").exists()


def design(*more: object) -> tuple[object, ...]:
    return ("--design", *SMALL, "--most-epochs", "1", "--observed", "1", *more)


def test_a_design_and_going_on_with_it(promptmlr, photos: Path, monkeypatch) -> None:
    out, page = photos / "design", photos / "design.html"
    real, calls = running.run_cell, []

    def stops(world, task):
        calls.append(task[0].name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(world, task)

    monkeypatch.setattr(running, "run_cell", stops)
    arguments = ("compare", photos / "labels.csv", "--out", out, *design("--report", page))
    assert promptmlr(*arguments).code == 130
    assert len(cells(out)) == 3 * 2
    done = promptmlr(*arguments)
    assert done.code == 0, done.err
    assert len(calls) == 4 + 22
    assert len(cells(out)) == 25 * 2
    assert NUMBER.findall((out / "design.md").read_text()) == NUMBER.findall(done.out)  # the same, set as lines
    assert "Main effects of the presence side" in page.read_text()
    assert "with fewer than 100, intervals are too narrow" in page.read_text()
    before = (out / "cells.csv").read_bytes()
    assert promptmlr(*arguments[: -len(("--report", page))]).code == 0
    assert len(calls) == 4 + 22
    assert (out / "cells.csv").read_bytes() == before
    other = promptmlr("compare", photos / "labels.csv", "--out", out, "--methods", "zeroshot", *SMALL)
    assert "holds the work of `compare --design`, not of `compare`" in other.err
    refused = promptmlr("compare", photos / "labels.csv", "--out", out, *design("--batch-size", "3"))
    assert refused.code == 2
    assert "another recipe" in refused.err


def test_a_design_takes_no_methods(promptmlr, photos: Path) -> None:
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "x", *design("--methods", "baseline"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "leave out --methods" in done.err
    assert not (photos / "x").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--methods", "dualcop"), "did you mean 'dualcoop'?"),
        (("--recipe", "nope"), "nope"),
        (("--report", "FILE/page.html"), "cannot write FILE/page.html"),
        (("--select", "best"), "--select"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_read(promptmlr, photos: Path, monkeypatch, wrong, words) -> None:
    (photos / "file").write_text("")
    monkeypatch.setattr("promptmlr.data.load_data", lambda *_, **__: pytest.fail("it was read"))
    arguments = [word.replace("FILE", str(photos / "file")) for word in wrong]
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "grid", *arguments)
    assert done.code in (1, 2)
    assert words.replace("FILE", str(photos / "file")) in done.err
    assert len(done.err.splitlines()) == 1
