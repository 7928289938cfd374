"""Bad input through the command line: one line that says what and where, exit 2, and nothing half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

HEADER = "image,dog,car\n"
GOOD = HEADER + "a.png,1,0\nb.png,0,1\n"
OPTIONS = ("--backbone", "scenes", "--epochs", "1", "--workers", "0")

Folder = Path
TABLES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("labels.csv",)),
    "header alone": (HEADER, ("labels.csv",)),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\xff", ("labels.csv",)),
    "bad cell": (HEADER + "a.png,1,maybe\n", ("maybe", "row 2", "car")),
    "ragged row": (HEADER + "a.png,1,0\nb.png,1\n", ("row 3",)),
    "missing image": (HEADER + "a.png,1,0\nnowhere.png,0,1\n", ("nowhere.png", "row 3")),
    "no image column": ("picture,dog\na.png,1\n", ("image",)),
    "no class": ("image\na.png\n", ("class",)),
    "duplicate class": ("image,dog,dog\na.png,1,0\n", ("dog",)),
    "duplicate class by underscore": ("image,traffic light,traffic_light\na.png,1,0\n", ("traffic light",)),
    "empty class name": ("image,dog,\na.png,1,0\n", ("class",)),
    "long class name": ("image," + "dog " * 90 + "\na.png,1\n", ("takes 97 of 77 positions", "shorten it")),
    "unreadable image": (HEADER + "a.png,1,0\nbroken.png,0,1\n", ("broken.png",)),
}
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fraction of zero": (("--observed", "0"), ("0", "observed")),
    "fraction above one": (("--observed", "1.5"), ("1.5",)),
    "fraction that is no number": (("--observed", "nan"), ("observed",)),
    "protocol that is none": (("--observed", "single-negative"), ("--observed: 'single-negative'", "single-positive")),
    "pattern without a share": (("--observed", "salient"), ("--observed: 'salient'", "salient:0.1", "federated")),
    "share of a pattern": (("--observed", "report:2"), ("report:2.0 is outside (0, 1)",)),
    "sizes that nobody knows": (("--observed", "salient:0.5"), ("labels.csv", "only drawn scenes", "annotators:0.1")),
    "several protocols": (("--observed", "0.1,0.5"), ("--observed 0.1,0.5", "compare")),
    "two ways to hide labels": (("--observed", "0.1", "--labels", "3"), ("--observed and --labels",)),
    "more labels than there are": (("--labels", "5000"), ("5,000 labels are asked for, and ",)),
    "mask beside a number of labels": (("--labels", "3", "--mask", "labels.csv"), ("--labels and --mask",)),
    "unknown method": (("--method", "positivcoop"), ("positivcoop", "'positivecoop'")),
    "unknown backbone": (("--backbone", "RN51"), ("RN51", "RN50")),
    "backbone without regions": (
        ("--backbone", "swin_base_patch4_window7_224"),
        ("swin_base_patch4_window7_224", "no regions"),
    ),
    "unknown recipe": (("--recipe", "defalt"), ("defalt", "default")),
    "unknown device": (("--device", "gpu0"), ("gpu0",)),
    "image size of no tower": (("--image-size", "97"), ("97", "32")),
    "missing mask": (("--mask", "nowhere.pt"), ("nowhere.pt",)),
    "unknown split": (("--split", "tarin"), ("tarin",)),
    "checkpoint that is no checkpoint": (("--backbone", "labels.csv"), ("labels.csv",)),
    "no epoch": (("--epochs", "0"), ("epochs",)),
}


@pytest.fixture(scope="module")
def two_photos(tmp_path_factory) -> Path:
    """Two photos, one broken one and a good table."""
    path = tmp_path_factory.mktemp("two") / "photos"
    path.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 30), colour).save(path / name)
    (path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (path / "labels.csv").write_text(GOOD)
    return path


@pytest.fixture
def folder(two_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A copy of `two_photos`, as the current folder."""
    shutil.copytree(two_photos, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_refused(done, parts: tuple[str, ...], left_before: set[str]) -> None:
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code == 2, done.err
    assert len(lines) == 1, done.err
    assert done.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in done.err
    assert all(part in lines[0] for part in parts), lines[0]
    assert {path.name for path in Path().iterdir()} == left_before


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_is_refused(promptmlr: Callable, folder: Folder, case: str) -> None:
    content, parts = TABLES[case]
    Path("labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = files()
    assert_refused(promptmlr("train", "labels.csv", "--out", "run", *OPTIONS), parts, before)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_bad_argument_is_refused(promptmlr: Callable, folder: Folder, case: str) -> None:
    arguments, parts = ARGUMENTS[case]
    before = files()
    options = [*OPTIONS, *arguments]
    assert_refused(promptmlr("train", "labels.csv", "--out", "run", *options), parts, before)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--method", "dualcoop"), ("every label is unknown", "dualcoop", "--method")),
        (("--recipe", "released"), ("every label is unknown", "anchored without a prior", "--recipe")),
        (("--method", "auto"), ("0 labels are present",)),
        (("--select", "val"), ("0 observed labels",)),
    ],
)
def test_what_needs_labels_says_so(promptmlr: Callable, folder: Folder, options, parts) -> None:
    Path("labels.csv").write_text(HEADER + "a.png,,\nb.png,,\n")
    before = files()
    assert_refused(promptmlr("train", "labels.csv", "--out", "run", *OPTIONS, *options), parts, before)


def test_a_bad_recipe_key_is_refused_with_the_nearest(promptmlr: Callable, folder: Folder) -> None:
    Path("mine.toml").write_text("[shared]\nepochz = 3\n")
    before = files()
    options = ("--backbone", "scenes", "--recipe", "mine.toml")
    assert_refused(promptmlr("train", "labels.csv", "--out", "run", *options), ("epochz", "'epochs'"), before)


def test_missing_things_are_refused(promptmlr: Callable, folder: Folder) -> None:
    before = files()
    assert_refused(promptmlr("train", "nowhere.csv", "--out", "run"), ("nowhere.csv",), before)
    assert_refused(promptmlr("train", "nowhere", "--out", "run"), ("nowhere",), before)
    assert_refused(promptmlr("evaluate", "nowhere", "labels.csv"), ("nowhere",), before)
    assert_refused(promptmlr("predict", "nowhere", "a.png", "--out", "p.csv"), ("nowhere",), before)


@pytest.fixture(scope="module")
def trained(promptmlr: Callable, two_photos: Path) -> Path:
    """A run on `two_photos`."""
    run = two_photos.with_name("run")
    assert promptmlr("train", two_photos / "labels.csv", "--out", run, *OPTIONS).code == 0
    return run


@pytest.fixture
def run(trained: Path, folder: Folder) -> Path:
    """A run on the two photos, in the current folder."""
    return Path(shutil.copytree(trained, "run"))


def test_a_run_folder_that_exists_is_kept(promptmlr: Callable, run: Path) -> None:
    weights, before = (run / "weights.safetensors").read_bytes(), files()
    assert_refused(promptmlr("train", "labels.csv", "--out", "run", *OPTIONS), ("run", "exists"), before)
    assert (run / "weights.safetensors").read_bytes() == weights


@pytest.mark.parametrize("missing", ["config.json", "weights.safetensors", "mask.npy"])
def test_a_run_folder_that_was_cut_short_is_refused(promptmlr: Callable, run: Path, missing: str) -> None:
    content = (run / missing).read_bytes()
    for rest in (None, content[: len(content) // 2]):
        (run / missing).unlink(missing_ok=True)
        if rest is not None:
            (run / missing).write_bytes(rest)
        before = files()
        if missing != "mask.npy":  # prediction does not need the mask
            done = promptmlr("predict", "run", "a.png", "--out", "p.csv")
            assert_refused(done, ("run",), before)


def test_weights_of_another_shape_are_refused(promptmlr: Callable, run: Path) -> None:
    tensors = load_file(run / "weights.safetensors")
    key = next(key for key in tensors if key.startswith("folded."))
    save_file(tensors | {key: torch.zeros(3, 5)}, run / "weights.safetensors")
    before = files()
    assert_refused(promptmlr("predict", "run", "a.png", "--out", "p.csv"), ("run is damaged", "shape (3, 5)"), before)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config.json", {"backbone": {"preprocessing": {"image_size": 10**30}}}, ("image_size", "4096")),
        ("config.json", {"backbone": {"preprocessing": {"std": [0, 1, 1]}}}, ("std", "greater than 0")),
        ("config.json", {"class_names": ["a", "a"]}, ("run/config.json", "duplicate class name 'a'")),
        ("metrics.json", {"learned_parameters": "many"}, ("metrics.json", "learned_parameters")),
        ("metrics.json", {"seconds": None}, ("metrics.json", "seconds")),
    ],
)
def test_runs_with_impossible_numbers_are_refused(promptmlr: Callable, run: Path, name: str, change, words) -> None:
    def merged(old: Any, new: Any) -> Any:
        return {**old, **{key: merged(old[key], value) for key, value in new.items()}} if isinstance(new, dict) else new

    path = run / name
    path.write_text(json.dumps(merged(json.loads(path.read_text()), change)))
    before = files()
    assert_refused(promptmlr("export", "run", "--to", "hub", "--out", "hub"), words, before)


def test_what_a_linked_file_holds_is_not_said(promptmlr: Callable, run: Path) -> None:
    Path("secret").write_text("root:x:0:0")
    (run / "config.json").unlink()
    (run / "config.json").symlink_to(Path("secret").absolute())
    done = promptmlr("predict", "run", "a.png", "--out", "p.csv")
    assert_refused(done, ("run/config.json is no run config",), files())
    assert "root" not in done.err


@pytest.mark.parametrize("large", [1e300, 1e30])
def test_weights_that_overflow_are_refused(promptmlr: Callable, run: Path, large: float) -> None:
    tensors = load_file(run / "weights.safetensors")
    key = next(key for key in tensors if key.startswith("folded."))
    save_file(tensors | {key: torch.full(tensors[key].shape, large, dtype=torch.float64)}, run / "weights.safetensors")
    assert_refused(promptmlr("predict", "run", "a.png", "--out", "p.csv"), ("run is damaged", "finite"), files())


def test_predictions_of_nothing_or_to_nowhere_are_refused(promptmlr: Callable, run: Path) -> None:
    Path("empty").mkdir()
    before = files()
    assert_refused(promptmlr("predict", "run", "empty", "--out", "p.csv"), ("empty",), before)
    assert_refused(promptmlr("predict", "run", "*.gif", "--out", "p.csv"), ("*.gif",), before)
    assert_refused(promptmlr("predict", "run", "a.png", "--out", "p.xls"), ("p.xls", ".csv"), before)
    assert_refused(promptmlr("predict", "run", "a.png", "--out", "p.csv", "--threshold", "2"), ("threshold",), before)
    assert_refused(promptmlr("predict", "run", "broken.png", "--out", "p.csv", "--strict"), ("broken.png",), before)


def test_evaluation_on_other_classes_is_refused(promptmlr: Callable, run: Path) -> None:
    Path("other.csv").write_text("image,cat\na.png,1\n")
    before = files()
    assert_refused(promptmlr("evaluate", "run", "other.csv"), ("run knows none", "cat"), before)
