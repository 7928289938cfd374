"""Archives through the command line: any shard, anywhere, whole or not at all."""

import errno
import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive_support import drawn_files, write_shards, write_tar
from promptmlr.archives import sources
from support import csv_rows

SHARDS, EACH = 3, 6


@pytest.fixture(scope="module")
def tars(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    write_shards(folder, SHARDS, EACH)
    return folder


@pytest.fixture(scope="module")
def expected(promptmlr, trained: Path, tmp_path_factory) -> dict[str, dict[str, str]]:
    """Of all images of `tars` by key, what `predict` says of them as plain files."""
    folder = tmp_path_factory.mktemp("plain")
    for name, content in drawn_files(0, SHARDS * EACH):
        if name.endswith(".png"):
            (folder / name).write_bytes(content)
    done = promptmlr("predict", trained, folder, "--out", folder / "rows.csv")
    assert done.code == 0, done.err
    return {Path(row["image"]).stem: row for row in csv_rows(folder / "rows.csv")}


def rows(out: Path) -> list[dict]:
    return [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def check(found: list[dict], expected: dict[str, dict[str, str]]) -> None:
    assert {row["id"] for row in found} == set(expected)
    assert len(found) == len(expected)
    for row in found:
        wanted = expected[row["id"]]
        assert row["error"] is None
        assert row["labels"] == [name for name in wanted["labels"].split(";") if name]
        for name in set(wanted) - {"image", "labels"}:
            assert row[name] == pytest.approx(float(wanted[name]), abs=1e-4)


def refused(done, code: int, *words: str) -> None:
    """One line at the end that says so."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last


def test_a_file_per_shard_says_what_plain_files_get(promptmlr, trained, tars, expected, tmp_path) -> None:
    out = tmp_path / "out"
    done = promptmlr("predict", trained, tars / "{00000..00002}.tar", "--out", out)
    assert done.code == 0, done.err
    assert f"3 shards finished: {SHARDS * EACH} rows, unreadable: 0" in done.err
    assert [len(pq.read_table(path)) for path in out.glob("*.parquet")] == [EACH] * SHARDS
    check(rows(out), expected)
    records = [json.loads(path.read_text()) for path in (out / "shards").iterdir()]
    assert {record["job"] for record in records} == {json.loads((out / "manifest.json").read_text())["hash"]}


def test_globs_and_lists_name_the_same_shards(promptmlr, trained, tars, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tars)
    for number, named in enumerate(
        (["*.tar"], ["00000.tar", "00001.tar", "00002.tar"], [f"file://{tars}/0000[0-2].tar"])
    ):
        done = promptmlr("predict", trained, *named, "--out", tmp_path / str(number))
        assert done.code == 0, done.err
    assert rows(tmp_path / "0") == rows(tmp_path / "1") == rows(tmp_path / "2")
    assert {path.name for path in (tmp_path / "0").iterdir()} == {path.name for path in (tmp_path / "1").iterdir()}


def test_json_in_lines_says_the_same(promptmlr, trained, tars, expected, tmp_path) -> None:
    done = promptmlr("predict", trained, tars / "*.tar", "--out", tmp_path / "out", "--to", "jsonl")
    assert done.code == 0, done.err
    lines = [json.loads(line) for path in (tmp_path / "out").glob("*.jsonl") for line in path.read_text().splitlines()]
    check([{**line, **line["probabilities"]} for line in lines], expected)


def test_labels_inside_a_shard_and_in_a_table_stand_beside_predictions(promptmlr, trained, tmp_path) -> None:
    files = [(name, content) for name, content in drawn_files(0, 3) if name.endswith(".png")]
    inside = [
        ("000000000.json", b'{"tree": 1, "cloud": 0, "star": null}'),
        ("000000001.cls", b"house"),
        ("000000002.txt", b"car"),
    ]
    write_tar(tmp_path / "some.tar", sorted(files + inside))
    (tmp_path / "known.csv").write_text("id,tree,house\n000000001,0,1\n000000002,,1\n")
    done = promptmlr("predict", trained, tmp_path / "some.tar", "--out", tmp_path / "inside")
    assert done.code == 0, done.err
    assert [dict(row["given"]) for row in rows(tmp_path / "inside")] == [
        {"tree": 1, "cloud": 0},
        {"house": 1},
        {"car": 1},
    ]
    done = promptmlr(
        "predict", trained, tmp_path / "some.tar", "--out", tmp_path / "table", "--labels", tmp_path / "known.csv"
    )
    assert done.code == 0, done.err
    assert [dict(row["given"]) for row in rows(tmp_path / "table")] == [{}, {"tree": 0, "house": 1}, {"house": 1}]


@pytest.mark.parametrize("form", ["bytes", "struct", "url"])
def test_parquet_with_images_or_their_addresses(promptmlr, trained, expected, tmp_path, form: str) -> None:
    files = [(name, content) for name, content in drawn_files(0, EACH) if name.endswith(".png")]
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    column = {
        "bytes": ("jpg", pa.array([content for _, content in files])),
        "struct": ("image", pa.array([{"bytes": content, "path": name} for name, content in files])),
        "url": ("url", pa.array([f"file://{tmp_path / name}" for name, _ in files])),
    }[form]
    pq.write_table(pa.table({"key": [name[:9] for name, _ in files], column[0]: column[1]}), tmp_path / "some.parquet")
    done = promptmlr("predict", trained, tmp_path / "some.parquet", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    check(rows(tmp_path / "out"), {key: row for key, row in expected.items() if int(key) < EACH})


def test_a_folder_in_pieces_and_a_part_of_them(promptmlr, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sources, "FILES_AT_ONCE", 2)
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, content in drawn_files(0, 5):
        if name.endswith(".png"):
            (tmp_path / ("a" if name < "000000002" else "a/b") / name).write_bytes(content)
    for part in ("0/2", "1/2"):
        done = promptmlr("predict", trained, tmp_path / "a", "--out", tmp_path / "out", "--shard", part)
        assert done.code == 0, done.err
        found = sorted(Path(row["id"]).name for row in rows(tmp_path / "out"))
        expected = {"0/2": (0, 1, 4), "1/2": (0, 1, 2, 3, 4)}[part]
        assert found == [f"{number:09d}.png" for number in expected]
    done = promptmlr("predict", trained, tmp_path / "a", "--out", tmp_path / "out", "--shard", "2/2")
    refused(done, 2, "--shard 2/2: write it as 0/16")


def test_what_is_finished_is_skipped_and_what_changed_is_not(promptmlr, trained, tmp_path) -> None:
    tars, out = write_shards(tmp_path, 2, 2), tmp_path / "out"
    command = ("predict", trained, tmp_path / "0*.tar", "--out", out)
    assert promptmlr(*command).code == 0
    first = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    write_tar(tars[1], drawn_files(40, 3))
    done = promptmlr(*command)
    assert "2 shards finished, 1 of them before: 5 rows" in done.err
    second = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert [first[name] == second[name] for name in sorted(first)] == [True, False]
    assert [row["id"] for row in rows(out)] == [f"{number:09d}" for number in (0, 1, 40, 41, 42)]
    next(out.glob("00000*.parquet")).unlink()
    assert "2 shards finished, 1 of them before" in promptmlr(*command).err
    refused(promptmlr(*command, "--threshold", "0.9"), 2, "holds what another predict wrote (thresholds changed)")
    done = promptmlr(*command, "--threshold", "0.9", "--overwrite")
    assert "2 shards finished: 5 rows" in done.err


def test_a_changed_run_is_noticed(promptmlr, trained, loaded, tmp_path) -> None:
    write_shards(tmp_path, 1, 2)
    assert promptmlr("predict", trained, tmp_path / "*.tar", "--out", tmp_path / "out").code == 0
    done = promptmlr("predict", loaded[0].path, tmp_path / "*.tar", "--out", tmp_path / "out")
    refused(done, 2, "run", "changed", "--overwrite")


def test_an_interrupted_shard_begins_again(promptmlr, trained, tars, expected, tmp_path, monkeypatch) -> None:
    from promptmlr.run import Run

    seen, probabilities = [], Run.probabilities

    def interrupted(self, regions):
        seen.append(0)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return probabilities(self, regions)

    command = ("predict", trained, tars / "*.tar", "--out", tmp_path / "out", "--batch-size", "2")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "probabilities", interrupted)
        assert promptmlr(*command).code == 130
    assert [path.suffix for path in (tmp_path / "out").iterdir() if path.is_file()].count(".parquet") == 1
    assert not list((tmp_path / "out").glob(".*"))
    done = promptmlr(*command)
    assert "3 shards finished, 1 of them before" in done.err
    check(rows(tmp_path / "out"), expected)


def test_unreadable_images_are_rows_with_a_reason(promptmlr, trained, tmp_path) -> None:
    files = drawn_files(0, 3)
    files[3] = (files[3][0], b"no image")
    write_tar(tmp_path / "some.tar", [file for file in files if file[0] != "000000002.png"])
    command = ("predict", trained, tmp_path / "some.tar", "--out", tmp_path / "out")
    done = promptmlr(*command)
    assert done.code == 0, done.err
    assert "000000001: not an image, or damaged at its start" in done.err
    assert "1 shard finished: 3 rows, unreadable: 2" in done.err
    assert [(row["error"] is None, row["labels"] is None, row["tree"] is None) for row in rows(tmp_path / "out")] == [
        (True, False, False),
        (False, True, True),
        (False, True, True),
    ]
    refused(promptmlr(*command, "--overwrite", "--strict", "--top", "1"), 2, "000000001: not an image")


def spoil(kind: str, path: Path) -> None:
    files = drawn_files(0, 4)
    if kind == "twice":
        files += drawn_files(1, 1)
    if kind == "neighbours":
        files[3:3] = drawn_files(0, 1)
    if kind == "no image":
        files = [file for file in files if not file[0].endswith(".png")]
    write_tar(path, files)
    content = path.read_bytes()
    if kind == "cut in an image":
        path.write_bytes(content[: len(content) // 2])
    if kind == "cut between files":
        path.write_bytes(content.rstrip(b"\0") + bytes(-len(content.rstrip(b"\0")) % 512))
    if kind == "text":
        path.write_bytes(b"no tar at all")
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "missing":
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("twice", "two samples with the key '000000001'"),
        ("neighbours", "two files 000000000.png"),
        ("no image", "no image in it"),
        ("cut in an image", "cut short"),
        ("cut between files", "cut short"),
        ("text", "no tar"),
        ("empty", "no tar"),
        ("missing", "no such file"),
    ],
)
def test_a_shard_that_is_bad_is_a_line_and_the_others_are_finished(promptmlr, trained, tmp_path, kind, word) -> None:
    write_shards(tmp_path, 3, 2)
    spoil(kind, tmp_path / "00001.tar")
    done = promptmlr("predict", trained, tmp_path / "{00000..00002}.tar", "--out", tmp_path / "out")
    refused(done, 2, "1 shard could not be processed", "00001.tar", word)
    assert [row["id"] for row in rows(tmp_path / "out")] == ["000000000", "000000001", "000000004", "000000005"]


def test_a_compressed_tar_that_is_cut_short(promptmlr, trained, tmp_path) -> None:
    path = write_tar(tmp_path / "some.tar.gz", drawn_files(0, 2))
    assert promptmlr("predict", trained, path, "--out", tmp_path / "whole").code == 0
    path.write_bytes(path.read_bytes()[:-2000])
    refused(promptmlr("predict", trained, path, "--out", tmp_path / "cut"), 2, "cut short")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("nothing/*.tar", "nothing"),
        ("nothing/{0..3}", "no such file or folder"),
        ("gopher://x/y.tar", "gopher"),
        ("pipe:false", "the command left with 1"),
        ("pipe:echo no tar", "copy it again"),
    ],
)
def test_what_names_nothing_is_a_line(promptmlr, trained, tmp_path, monkeypatch, source: str, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(promptmlr("predict", trained, source), 2, word)


def test_a_command_of_the_shell(promptmlr, trained, tars, expected, tmp_path) -> None:
    done = promptmlr("predict", trained, f"pipe:cat {tars}/{{00000..00002}}.tar", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    check(rows(tmp_path / "out"), expected)
    done = promptmlr("predict", trained, f"pipe:cat {tars}/00000.tar; exit 3", "--out", tmp_path / "bad")
    refused(done, 1, "the command left with 3")
    done = promptmlr("predict", trained, f"pipe:cat {tars}/{{00000..00003}}.tar", "--out", tmp_path / "missing")
    refused(done, 2, "00003.tar: the command left with 1", "others are finished")
    check(rows(tmp_path / "missing"), expected)


def test_a_place_below_a_file_cannot_be_written(promptmlr, trained, tars, tmp_path) -> None:
    (tmp_path / "file").touch()
    done = promptmlr("predict", trained, tars / "*.tar", "--out", tmp_path / "file" / "out")
    refused(done, 1, "Not a directory", "name another place")


def test_nothing_is_called_finished_where_nothing_is(promptmlr, trained, tmp_path) -> None:
    done = promptmlr("predict", trained, tmp_path / "{0..2}.tar", "--out", tmp_path / "out")
    refused(done, 2, "3 shards could not be processed", "the same command")
    assert "others are finished" not in done.err


def test_a_full_disk_keeps_what_is_finished(promptmlr, trained, tars, expected, tmp_path, monkeypatch) -> None:
    sync, synced = os.fsync, []

    def full(handle: int) -> None:
        synced.append(0)
        if len(synced) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    command = ("predict", trained, tars / "*.tar", "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(promptmlr(*command), 1, "No space left on device", "free some space")
    assert 0 < len(rows(tmp_path / "out")) < SHARDS * EACH
    assert promptmlr(*command).code == 0
    check(rows(tmp_path / "out"), expected)


def test_no_archive_for_classes_alone(promptmlr, tars) -> None:
    refused(promptmlr("predict", tars / "*.tar", "--classes", "tree"), 2, "make a run")


def test_regions_of_an_archive(promptmlr, tars, tmp_path) -> None:
    command = (
        "cache",
        tars / "{00000..00001}.tar",
        tars / "00002.tar",
        "--backbone",
        "scenes",
        "--out",
        tmp_path / "out",
    )
    done = promptmlr(*command)
    assert done.code == 0, done.err
    found = rows(tmp_path / "out")
    assert len(found) == SHARDS * EACH
    assert json.loads(found[0]["json"])["key"] == found[0]["id"]
    assert len(found[0]["regions"]) == 17
    assert "3 of them before" in promptmlr(*command).err
    refused(promptmlr(*command, "--storage", "int8"), 2, "float16 or float32")


class _Served(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tars: Path) -> Iterator[str]:
    handler = functools.partial(_Served, directory=tars)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_shards_on_the_web(promptmlr, trained, web: str, expected, tmp_path) -> None:
    done = promptmlr("predict", trained, web + "/{00000..00002}.tar", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    check(rows(tmp_path / "out"), expected)
    refused(promptmlr("predict", trained, web + "/00009.tar", "--out", tmp_path / "out"), 2, "no such file")
