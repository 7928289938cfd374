"""`promptmlr probe-captions`: files in, a table and two files out."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from support import csv_rows


def test_a_table_and_files(promptmlr, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"url": ["u"] * 4, "TEXT": ["a road, no cars", "no. 5", None, "a dog"]}), tmp_path / "a.parquet"
    )
    coco = {"annotations": [{"image_id": 1, "id": 1, "caption": "a man without a \u202ehat"}]}
    (tmp_path / "captions_val2017.json").write_text(json.dumps(coco))
    done = promptmlr("probe-captions", f"{tmp_path}/*", "--out", tmp_path / "out", "--samples", "1")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "4 captions; 1 null or empty rows left out"
    assert lines[1].startswith("with a word of absence: 3, 75.00 % (30.06 to 95.44)")
    assert lines[2].startswith("that say a thing is absent: 2, 50.00 % (15.00 to 85.00)")
    assert any(line.split()[:3] == ["no", "2", "1"] for line in lines)
    assert any(line.split()[:3] == ["without", "1", "1"] for line in lines)
    assert "  a road, no cars" in lines
    assert "  a man without a hat" in lines
    assert "held out (148): precision" in done.out
    assert "'TEXT' of" in done.err
    assert "'caption' of" in done.err
    counts = {row["word"]: row["absence_of_thing"] for row in csv_rows(tmp_path / "out" / "counts.csv")}
    assert counts["any"] == "2"
    assert (tmp_path / "out" / "samples.csv").is_file()


def test_mistakes_are_one_line(promptmlr, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("caption,alt_text\nno dog,x\nno dog\n")
    (tmp_path / "blank.csv").write_text("caption,url\n,x\n")
    for options, words in (
        ((tmp_path / "blank.csv",), "1 null or empty"),
        ((tmp_path / "b.csv",), "no file"),
        ((tmp_path / "a.csv",), "'caption', 'alt_text'"),
        ((tmp_path / "a.csv", "--column", "captoin"), "did you mean 'caption'"),
        ((tmp_path / "a.csv", "--column", "caption", "--out", tmp_path / "out"), "Expected 2 columns"),
    ):
        done = promptmlr("probe-captions", *options)
        assert done.code == 2
        assert words in done.err
        assert done.err.splitlines()[-1].startswith("error: ")
        assert done.out == ""
    assert not (tmp_path / "out").exists()
