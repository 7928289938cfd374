"""`cut-out` and what its folder is used for."""

from pathlib import Path

import pytest

from cutout_support import photo_tree


@pytest.mark.slow
def test_a_folder_of_cut_outs_is_data(promptmlr, tmp_path: Path) -> None:
    made = promptmlr("cut-out", photo_tree(tmp_path / "coco"), "--out", tmp_path / "cut")
    assert made.code == 0, made.err
    assert "24 objects of 2 classes" in made.err  # two of each of 12 photographs
    assert f"pretrain-scenes --cutouts {tmp_path / 'cut'}" in made.err
    arguments = (f"cutouts:{tmp_path / 'cut'}", tmp_path / "data", "--limit", "8", "--to", "csv")
    written = promptmlr("convert", *arguments)
    assert written.code == 0, written.err
    assert (tmp_path / "data" / "labels.csv").read_text().startswith("image,split,disc,square\n")


def test_what_cannot_be_done_is_said_in_a_line(promptmlr, tmp_path: Path) -> None:
    for arguments, said in (
        (("cut-out", tmp_path, "--out", tmp_path / "cut"), "is no COCO folder"),
        (("pretrain-scenes", "--out", tmp_path / "a.st", "--cutouts", tmp_path), "no attribution.csv"),
        (("pretrain-scenes", "--out", tmp_path / "a.st", "--cutouts", tmp_path, "--tower", "transformer"), "--tower"),
        (("train", f"cutouts:{tmp_path}", "--out", tmp_path / "run", "--backbone", "scenes"), "no attribution.csv"),
    ):
        refused = promptmlr(*arguments)
        assert refused.code == 2
        assert refused.err.count("\n") == 1
        assert said in refused.err
    assert not list(tmp_path.iterdir())
