"""An option is said once: in the help of every verb that has it, in the run, and by the run to the verbs after it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from promptmlr.cli import VERBS, app

ALL = [module.rpartition(".")[2].replace("_", "-") for modules in VERBS.values() for module in modules]
SMALL = ("--backbone", "scenes", "--epochs", "2", "--workers", "0")


@pytest.fixture
def lists(photos: Path) -> Path:
    """The photos' labels as lists of what is present, with | between two names."""
    header, *rows = [line.split(",") for line in (photos / "labels.csv").read_text().splitlines()]
    lines = ["image,split,labels"]
    for image, split, *cells in rows:
        names = [name for name, cell in zip(header[2:], cells, strict=True) if cell == "1"]
        lines.append(f"{image},{split},{'|'.join(names)}")
    (photos / "lists.csv").write_text("\n".join(lines) + "\n")
    return photos / "lists.csv"


def test_a_run_is_evaluated_as_its_data_were_read(promptmlr: Callable, lists: Path) -> None:
    run = lists.parent / "run"
    trained = promptmlr("train", lists, "--out", run, "--unlisted", "absent", "--delimiter", "|", *SMALL)
    assert trained.code == 0, trained.err
    reading = json.loads((run / "config.json").read_text())["data"]["reading"]
    assert reading == {"format": "list-csv", "unlisted": "absent", "delimiter": "|"}
    alike = promptmlr("evaluate", run, lists, "--resamples", "20", "--workers", "0")
    assert alike.code == 0, alike.err
    assert "0 unknown" in alike.err
    otherwise = promptmlr("suggest", run, lists, "--unlisted", "unknown", "--out", lists.with_name("next.csv"))
    assert otherwise.code == 0, otherwise.err
    assert "0 absent" in otherwise.err
    wide = promptmlr("evaluate", run, lists.with_name("labels.csv"), "--resamples", "20", "--workers", "0")
    assert wide.code == 0, wide.err  # of another format, which says of every class what it is


def test_a_run_without_such_a_record_asks_as_before(promptmlr: Callable, lists: Path) -> None:
    run = lists.parent / "run"
    said = ("--unlisted", "absent", "--delimiter", "|")
    assert promptmlr("train", lists, "--out", run, "--method", "zeroshot", *said, *SMALL).code == 0
    config = json.loads((run / "config.json").read_text())
    del config["data"]["reading"]
    (run / "config.json").write_text(json.dumps(config))
    asked = promptmlr("evaluate", run, lists, "--resamples", "20", "--workers", "0")
    assert asked.code == 2
    assert "--unlisted" in asked.err
    assert promptmlr("evaluate", run, lists, *said, "--resamples", "20", "--workers", "0").code == 0


@pytest.mark.parametrize("verb", ALL)
def test_help_fits_eighty_columns_and_has_headings(promptmlr: Callable, monkeypatch, verb: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = promptmlr(verb, "--help", "--all")
    assert done.code == 0
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    asked = app[verb].assemble_argument_collection() if app[verb].default_command else []
    headings = {group.name for argument in asked if argument.show for group in argument.parameter.group or ()}
    assert all(f"─ {heading} ─" in done.out for heading in headings)


@pytest.mark.parametrize("verb", ALL)
def test_help_is_one_screen_that_names_every_option(promptmlr: Callable, monkeypatch, verb: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, all_of_it = promptmlr(verb, "--help").out, promptmlr(verb, "--help", "--all").out
    assert len(short.splitlines()) <= 60
    assert max(map(len, short.splitlines())) <= 80
    asked = app[verb].assemble_argument_collection() if app[verb].default_command else []
    assert all(argument.name in short for argument in asked if argument.show and argument.name.startswith("--"))
    assert ("--help --all explains these" in short) == (short != all_of_it)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["compare", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom promptmlr.cli import main\nsys.argv = ['promptmlr', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "heavy = {'torch', 'numpy', 'open_clip', 'matplotlib', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian",), ("Unknown command", '"train"')),
        (("train", "scenes", "--out", "x", "--epoch", "3"), ("Unknown option: --epoch", "--epochs")),
        (("train", "scenes"), ("--out requires an argument",)),
        (("train", "--out", "x"), ("DATA requires an argument",)),
        (("train", "scenes", "--out", "x", "--select", "lst"), ("--select", '"last"')),
        (("train", "scenes", "--out", "x", "--epochs", "three"), ("--epochs", "three")),
        (("train", "scenes", "--out", "x", "--epochs", "1.5"), ("--epochs", "1.5")),
        (("train", "scenes", "--out", "x", "--views", "1.5"), ("--views", "1.5")),
        (("train", "scenes", "--out", "x", "--precision", "bfloat16"), ("Unknown option: --precision",)),
        (("experiment", "few-labels", "--out", "x", "--seeds=1.5"), ("--seeds", "1.5")),
        (("serve", "x", "--allow-host", "https://example.org/"), ("--allow-host example.org",)),
        (("serve", "x", "--allow-host", "example.org:80"), ("--allow-host example.org",)),
        (("serve", "x", "--allow-host", "*.example.org"), ("give the name alone",)),
        (("compare", "scenes", "--out", "x", "--folds", "1"), ("--folds",)),
        (("cache", "scenes", "--no-cache"), ("--no-cache",)),
    ],
)
def test_a_wrong_command_line_is_one_line(promptmlr: Callable, arguments: tuple[str, ...], words) -> None:
    done = promptmlr(*arguments)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: ")
    assert all(word in done.err for word in words), done.err


def test_an_option_that_is_repeated_counts_as_last_said() -> None:
    _, bound, _ = app.parse_args(["predict", "run", "a.png", "--top", "2", "b.png", "--top", "3"])
    assert bound.arguments == {"run_and_images": ("run", "a.png", "b.png"), "top": 3}


def test_help_of_a_very_narrow_terminal_ends(promptmlr: Callable, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    assert promptmlr("train", "--help").code == 0


def test_help_names_the_verb_alone(promptmlr: Callable) -> None:
    assert promptmlr("train", "--help", "--nope").out.endswith("\npromptmlr train --help --all explains these.\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("labels.csv", "name a .json file that no run holds"),
        ("run/config.json", "name a .json file that no run holds"),
        ("run/calibration.json", "name a .json file that no run holds"),
        ("tasks.json", "tasks.json exists, and is no evaluation; name another file with --out"),
    ],
)
def test_a_score_takes_the_place_of_nothing_else(promptmlr: Callable, photos: Path, name: str, words: str) -> None:
    (photos / "run").mkdir()
    (photos / name).touch()
    before = (photos / name).read_bytes()
    done = promptmlr("evaluate", photos / "run", photos / "labels.csv", "--out", photos / name)
    assert (done.code, words in done.err) == (2, True)
    assert (photos / name).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("explain", "scenes", "labels.csv"), "explain.csv"),
        (("explain", "scenes", "photos/00.png", "--classes", "car"), "explain.png"),
        (("explain", "scenes", "photos/00.png", "--classes", "car"), "explain.maps.csv"),
        (("runs", ".", "--out", "list.csv"), "list.csv"),
        (("pretrain-scenes", "--out", "weights.safetensors"), "weights.safetensors"),
    ],
)
def test_no_file_is_replaced_unasked(promptmlr: Callable, photos: Path, monkeypatch, arguments, name: str) -> None:
    monkeypatch.chdir(photos)
    Path(name).write_text("mine")
    done = promptmlr(*arguments)
    assert (done.code, f"{name} exists; " in done.err, "--overwrite" in done.err) == (2, True, True)
    assert Path(name).read_text() == "mine"


def test_a_score_takes_the_place_of_an_earlier_one(promptmlr: Callable, photos: Path) -> None:
    table, run, out = photos / "labels.csv", photos / "run", photos / "score.json"
    assert promptmlr("train", table, "--out", run, "--method", "zeroshot", *SMALL).code == 0
    for resamples in ("0", "20"):
        done = promptmlr("evaluate", run, table, "--resamples", resamples, "--workers", "0", "--out", out)
        assert done.code == 0, done.err
    score = json.loads(out.read_text())
    assert score["mean_ap_interval"][0] is not None
    value, low, high = (f"{100 * one:.1f}" for one in (score["population_map"], *score["population_interval"]))
    assert f"mAP on all images like these: about {value} ({low} to {high})" in done.out


def test_a_table_of_labels_may_be_blank_where_nothing_is_known(promptmlr: Callable, photos: Path) -> None:
    table, run = photos / "labels.csv", photos / "run"
    done = promptmlr("train", table, "--out", run, "--mask", table, "--unknown-code", "", *SMALL)
    assert done.code == 0, done.err
    cells = [cell for line in table.read_text().splitlines()[1:] if ",train," in line for cell in line.split(",")[2:]]
    known = json.loads((run / "config.json").read_text())["data"]["known_labels"]
    assert known == sum(cell != "" for cell in cells) < len(cells)


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--image-size", "8192"), "at most 4096 pixels"), (("--format", ""), "format is empty")],
)
def test_what_no_run_could_record_is_refused(promptmlr: Callable, photos: Path, options, words: str) -> None:
    done = promptmlr("train", photos / "labels.csv", "--out", photos / "run", *SMALL, *options)
    assert (done.code, words in done.err.splitlines()[-1]) == (2, True)


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "import sys\nfrom promptmlr.cli import main\nsys.argv = ['promptmlr', 'methods']\nmain()\n"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_letters_that_a_terminal_cannot_show_are_named_in_errors(tmp_path: Path) -> None:
    code = "import sys\nfrom promptmlr.cli import main\nsys.argv = ['promptmlr', *sys.argv[1:]]\nmain()\n"
    for arguments, left in ((["train", "--help"], 0), (["runs", str(tmp_path / "späti")], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == left, done.stderr
    assert "sp\\xe4ti" in done.stderr


def test_another_process_that_trains_is_said_before_anything_is_read(promptmlr: Callable, photos: Path) -> None:
    run = photos / "run"
    with FileLock(f"{run}.partial.lock"):
        done = promptmlr("train", photos / "no table.csv", "--out", run, *SMALL)
    assert (done.code, "another process is training" in done.err) == (2, True)
