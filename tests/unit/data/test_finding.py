"""Which file an image's name in annotations means."""

from pathlib import Path

import pytest

from promptmlr.data.finding import ImageFinder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "val2017/000.jpg", "deep/er/x y.png", "b.png", "1a2b3c4d-up.jpg", "up2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.jpg", "a.jpg"),
        ("./val2017/000.jpg", "val2017/000.jpg"),
        ("a", "a.jpg"),
        ("val2017/000", "val2017/000.jpg"),
        ("http://images.cocodataset.org/val2017/000.jpg", "val2017/000.jpg"),
        ("https://host/bucket/a.jpg?signature=1", "a.jpg"),
        (r"C:\Users\me\val2017\000.jpg", "val2017/000.jpg"),
        (r"val2017\000.jpg", "val2017/000.jpg"),
        ("/mnt/other/machine/b.png", "b.png"),
        ("x%20y.png", "deep/er/x y.png"),
        ("x y", "deep/er/x y.png"),
        ("/data/upload/3/1a2b3c4d-up.jpg", "1a2b3c4d-up.jpg"),
        ("/data/upload/3/99999999-up2.jpg", "up2.jpg"),
        ("/data/local-files/?d=val2017/000.jpg", "val2017/000.jpg"),
        ("CheXpert-v1.0-small/train/val2017/000.jpg", "val2017/000.jpg"),
    ],
)
def test_a_name_leads_to_the_file_it_means(folder: Path, written: str, file: str) -> None:
    assert ImageFinder(folder).find(written, "row 2").path == folder / file


@pytest.mark.parametrize("written", ["nothing.jpg", "", "..", "http://host", "a.jpg/", "x\0y", "a" * 5000])
def test_a_name_without_a_file_stays_as_it_is(folder: Path, written: str) -> None:
    found = ImageFinder(folder).find(written, "row 2")
    assert found.path == folder / written


def test_an_id_that_fits_two_files_is_refused_with_both(folder: Path, refused) -> None:
    (folder / "a.png").touch()
    refused(["row 2", "'a'", "a.jpg", "a.png"], ImageFinder(folder).find, "a", "row 2")


def test_a_name_in_two_folders_is_refused_with_both(folder: Path, refused) -> None:
    (folder / "other").mkdir()
    (folder / "other/000.jpg").touch()
    refused(["val2017/000.jpg", "other/000.jpg"], ImageFinder(folder).find, "000.jpg", "row 2")
    assert ImageFinder(folder).find("val2017/000.jpg", "row 2").path == folder / "val2017/000.jpg"


def test_two_names_of_one_file_are_refused(folder: Path, refused) -> None:
    finder = ImageFinder(folder)
    finder.find("left/a.jpg", "row 2")
    finder.find("left/a.jpg", "row 3")  # a table may name an image in several rows
    refused(["row 4", "left/a.jpg", "right/a.jpg"], finder.find, "right/a.jpg", "row 4")


def test_a_file_as_written_wins_over_what_it_could_mean(folder: Path) -> None:
    (folder / "x%20y.png").touch()
    assert ImageFinder(folder).find("x%20y.png", "row 2").path == folder / "x%20y.png"


def test_of_several_files_the_one_in_all_folders_as_written_counts(tmp_path: Path, refused) -> None:
    for patient in ("p1", "p2"):
        (tmp_path / "unpacked/train" / patient).mkdir(parents=True)
        (tmp_path / "unpacked/train" / patient / "view.jpg").touch()
    found = ImageFinder(tmp_path).find("train/p2/view.jpg", "row 2")
    assert found.path == tmp_path / "unpacked/train/p2/view.jpg"
    refused(["row 3", "p1/view.jpg", "p2/view.jpg"], ImageFinder(tmp_path).find, "train/p3/view.jpg", "row 3")
