"""Counting captions of absence: the rule, its two paths, the file formats, the samples."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from promptmlr.errors import UserError
from promptmlr.paper.captions.check import PARTS, agreement, sentences
from promptmlr.paper.captions.counting import Sample, count_captions
from promptmlr.paper.captions.files import choose_column, find_files, read_captions
from promptmlr.paper.captions.report import CaptionOutputs
from promptmlr.paper.captions.words import TRIGGERS, WORDS, Use, absence_uses
from promptmlr.paper.share import Share
from support import csv_rows

CAPTIONS = [
    "a dog, no cat",
    "size no. 5",
    None,
    'the "red" house',
    "",
    "snow\nwithout skiers, no trees",
    "Ünï, no sky",
    '"no" and an open quote',
]


@pytest.mark.parametrize(
    ("caption", "uses"),
    [
        ("a street with no cars", [("no", True)]),
        ("Chanel No. 5", [("no", False)]),
        ("a man WITHOUT a hat, not only in winter", [("without", True), ("not", False)]),
        ("There isn’t a cat; there is no one", [("n't", True), ("nobody", True)]),
        ("nothing but trouble", [("nothing", False)]),
        ("a no parking sign", [("no", False)]),
        ("with or without handles", [("without", False)]),
        ("knot, north, piano, notable, another", []),
        ("lacks a wheel", [("lacking", True)]),
        ("free wallpaper, free of people", [("free of", True)]),
        ("", []),
    ],
)
def test_each_use_of_a_word_is_an_absence_or_not(caption: str, uses: list[tuple[str, bool]]) -> None:
    assert absence_uses(caption) == [Use(*use) for use in uses]


def test_the_rule_agrees_with_the_sentences_as_far_as_it_says() -> None:
    """A floor under what the command prints; no sentence is named, for the held-out part must stay unread."""
    for part, floor in zip(PARTS, (0.9, 0.95), strict=True):
        one = agreement(part)
        assert one.sentences >= 100
        assert one.precision.value >= floor
        assert one.recall.value >= floor


def test_sentences_are_enough_and_well_formed() -> None:
    everything = [sentence for part in PARTS for sentence in sentences(part)]
    assert len({sentence.text for sentence in everything}) == len(everything) >= 200
    assert 0.4 < sum(sentence.absence for sentence in everything) / len(everything) < 0.6
    for sentence in everything:
        said = {use.word for use in absence_uses(sentence.text)}
        assert sentence.word in said or (not sentence.word and not said), sentence
    assert {sentence.word for sentence in everything} == {*WORDS, ""}


_PIECES = st.sampled_from(
    ["no", "No.", "one", "NOT", "n't", "isn’t", "én't", "free", "of", "from", "w/o", "a", "dog", " ", "  ", "-", "/",
     "é", "\u00a0", "\n", "miſſing", "MİSSING", "lac\u212a", "5", "without", "_", "cannot", "\u0301"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_the_fast_path_misses_nothing(caption: str) -> None:
    candidate = pc.match_substring_regex(pa.array([caption]), TRIGGERS, ignore_case=True)[0].as_py()
    assert candidate or not absence_uses(caption)


@given(st.lists(st.lists(_PIECES, max_size=6).map("".join), max_size=6))
def test_counts_are_those_of_one_caption_at_a_time(captions: list[str]) -> None:
    count = count_captions([pa.array(captions[:3], pa.string()), pa.array(captions[3:], pa.string())])
    uses = [absence_uses(caption) for caption in captions]
    assert count.captions + count.blank == len(captions)
    assert count.with_word == sum(bool(one) for one in uses)
    assert count.absences == sum(any(use.of_a_thing for use in one) for one in uses)
    with_word = Counter(word for one in uses for word in {use.word for use in one})
    assert {word: one.captions for word, one in count.by_word.items()} == {word: with_word[word] for word in WORDS}


def test_a_caption_counts_once_per_word_and_once_in_all() -> None:
    count = count_captions([pa.array(["no dog, no. 5, without a cat", "no. 5, no dog"])])
    assert (count.with_word, count.absences) == (2, 2)
    assert [(count.by_word[word].captions, count.by_word[word].absences) for word in ("no", "without")] == [
        (2, 2),
        (1, 1),
    ]


def test_a_bad_byte_ends_no_count() -> None:
    data = b"no dog\xff"
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 7], pa.int32()).buffers()[1], pa.py_buffer(data)]
    )
    assert count_captions([broken]).absences == 1


def _write(path: Path, captions: list[str | None]) -> None:
    """`captions` beside another column, in the format that the name says."""
    rows = [{"url": f"u{index}", "TEXT": caption} for index, caption in enumerate(captions)]
    table = pa.Table.from_pylist(rows, pa.schema([("url", pa.string()), ("TEXT", pa.string())]))
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=3)
        return
    if kind == "csv":
        sink = pa.BufferOutputStream()
        pacsv.write_csv(table, sink)
        content = sink.getvalue().to_pybytes()
    elif kind == "tsv":
        lines = ["url\tTEXT", *(f"{row['url']}\t{(row['TEXT'] or '').replace(chr(10), ' ')}" for row in rows)]
        content = "\n".join(lines).encode()
    elif kind == "jsonl":
        content = "\n".join(map(json.dumps, rows)).encode()
    else:
        content = json.dumps({"annotations": [{"caption": row["TEXT"], "id": 1} for row in rows]}).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "name",
    ["a.parquet", "a.csv", "a.tsv", "a.jsonl", "a.json", "a.csv.gz", "a.tsv.gz", "a.jsonl.gz", "a.json.gz", "A.CSV"],
)
def test_every_format_reads_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    _write(path if name != "A.CSV" else tmp_path / "a.csv", CAPTIONS)
    if name == "A.CSV":
        (tmp_path / "a.csv").rename(path)
    column = choose_column(path, None)
    assert column == ("caption" if ".json" in name and ".jsonl" not in name else "TEXT")
    read = [text for batch in read_captions(path, column) for text in batch.to_pylist()]
    expected = [text.replace("\n", " ") if text and "tsv" in name else text for text in CAPTIONS]
    assert [text or None for text in read] == [text or None for text in expected]
    count = count_captions(read_captions(path, column))
    assert (count.captions, count.blank, count.with_word, count.absences) == (6, 2, 5, 3)


def test_other_kinds_of_text_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({
        "plain": pa.array(["no dog", "x"], pa.large_string()),
        "caption": pa.array(["no dog", "no dog"]).dictionary_encode(),
        "several": pa.array([["no dog", "a cat"], ["no cat"]], pa.list_(pa.string())),
        "number": [1, 2],
    })  # fmt: skip
    pq.write_table(table, path)
    assert choose_column(path, None) == "caption"
    for name, captions in (("plain", 2), ("caption", 2), ("several", 3)):
        assert count_captions(read_captions(path, choose_column(path, name))).captions == captions
    with pytest.raises(UserError, match="no text column 'number'"):
        choose_column(path, "number")


@pytest.mark.parametrize(
    ("header", "column"),
    [("url,Caption", "Caption"), ("only", "only"), ("text,number", "text"), ("\ufefftext,b", "text")],
)
def test_the_column_is_found(tmp_path: Path, header: str, column: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\nno dog,no dog\n".replace("only\nno dog,", "only\n"), encoding="utf-8")
    path = tmp_path / "a.csv"
    assert choose_column(path, None) == column
    assert count_captions(read_captions(path, column)).captions == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "caption,text\nx,y\n", "--column: 'caption', 'text'"),
        ("a.csv", "a,b\nx,y\n", "--column: 'a', 'b'"),
        ("a.csv", "caption,b\nx,y\nx\n", "Row #3: Expected 2 columns, got 1"),
        (
            "a.csv",
            "caption,b\n" + '"dog\n\n\n\n\n\ncat",y\n' * 700_000 + "x\n",
            "Row #700002: Expected 2 columns, got 1",
        ),
        ("a.csv", b"caption\n\xff\xfe\n", "'utf-8' codec can't decode"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.jsonl", '{"caption": "x"}\n{"caption": \n', "in row 2"),
        ("a.jsonl", '{"caption": "x"}\n{"caption": 5}\n', "number in row 2"),
        ("a.jsonl", '{"caption": "x"}\n' * 300_000 + '{"caption": 5}\n', "number in row 300001"),
        ("a.jsonl", "[1]\n", "not a JSON object"),
        ("a.jsonl", '{"n": 1}\n', "no column"),
        ("a.json", "[1]", "no captions file"),
        ("a.json", '{"annotations": [{"caption": 5}]}', "annotation 1"),
        ("a.json", '{"annotations": [{"bbox": [1, 2, 3, 4]}]}', "no column"),
        ("a.txt", "x", "captions are read from"),
        ("a.csv", "", "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", 'caption\n"' + "no dog " * 3_000_000, "a row is longer than 4 MB; is a quote left open?"),
        ("a.jsonl", '{"caption": "' + "no dog " * 3_000_000 + '"}\n', "a row is longer than 4 MB"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        count_captions(read_captions(path, choose_column(*find_files([str(path)]), None)))
    assert re.search(re.escape(words), str(error.value), re.IGNORECASE), error.value
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_globs_find_each_file_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "[x].csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("caption\nx\n")
    found = find_files([f"{tmp_path}/[ab].csv", str(tmp_path / "a.csv"), str(tmp_path / "[x].csv")])
    assert [path.name for path in found] == ["a.csv", "b.csv", "[x].csv"]
    assert len(find_files([f"{tmp_path}/**/*.csv"])) == 4
    for pattern, words in ((f"{tmp_path}/*.tsv", "no file"), (str(tmp_path), "is a folder")):
        with pytest.raises(UserError, match=words):
            find_files([pattern])


def test_samples_are_even_and_seeded() -> None:
    drawn = Counter()
    for seed in range(2000):
        sample = Sample(3, str(seed))
        for item in "abcdefgh":
            sample.offer(item)
        assert len(set(sample.kept)) == 3
        drawn.update(sample.kept)
    assert all(binomtest(drawn[item], 2000, 3 / 8).pvalue > 1e-4 for item in "abcdefgh")
    batches = [pa.array([f"no dog {index}" for index in range(50)])]
    first, again, other = (count_captions(batches, samples=4, seed=seed).by_word["no"] for seed in (1, 1, 2))
    assert first.of_a_thing.kept == again.of_a_thing.kept != other.of_a_thing.kept
    assert first.other.kept == []


@pytest.mark.parametrize(("part", "whole"), [(0, 10), (10, 10), (3, 405), (2, 7), (470, 100_000)])
def test_the_interval_is_wilsons(part: int, whole: int) -> None:
    expected = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    assert Share(part, whole).interval == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_small_shares_keep_their_digits() -> None:
    assert str(Share(1, 4)).startswith("25.00 % (")
    assert str(Share(3, 400_000_000)).startswith("7.5e-07 % (")
    assert str(Share(0, 0)) == "nan % (nan to nan)"


def test_how_far_to_trust_the_rule_is_a_file(tmp_path: Path) -> None:
    CaptionOutputs(count_captions([])).write(tmp_path)
    rows = {(row["part"], row["measure"]): row for row in csv_rows(tmp_path / "agreement.csv")}
    assert set(rows) == {(part, measure) for part in PARTS for measure in ("precision", "recall")}
    held_out = agreement("held out")
    row = rows["held out", "recall"]
    assert (int(row["right"]), int(row["of"])) == (held_out.recall.part, held_out.recall.whole)
    assert float(row["low"]) < float(row["value"]) < float(row["high"])


def test_counts_and_samples_are_written(tmp_path: Path) -> None:
    count = count_captions([pa.array(["no dog", "no. 5", 'a "b", no\ncat', "a cat"])], samples=5)
    CaptionOutputs(count).write(tmp_path / "out")
    rows = {row["word"]: row for row in csv_rows(tmp_path / "out" / "counts.csv")}
    assert list(rows) == [*WORDS, "any"]
    assert [rows["no"][key] for key in ("captions", "with_word", "absence_of_thing", "share")] == ["4", "3", "2", "0.5"]
    assert float(rows["any"]["share_low"]) == pytest.approx(Share(2, 4).interval[0])
    samples = {(row["word"], row["use"], row["caption"]) for row in csv_rows(tmp_path / "out" / "samples.csv")}
    absences = {("no", "absence of a thing", caption) for caption in ("no dog", 'a "b", no\ncat')}
    assert samples == {*absences, ("no", "other", "no. 5")}
