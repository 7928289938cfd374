"""`promptmlr demo`, small: its table, its page, its picture."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from promptmlr.demo import running as demo
from promptmlr.demo.page import DemoResult
from promptmlr.demo.summary import all_lines, screen_lines
from promptmlr.files import replacing
from promptmlr.methods import METHODS

SMALL = {"train_scenes": 60, "test_scenes": 40, "epochs": 2}
ROW = re.compile(r"(\w+) +(–|agnostic|text) +([\d.]+) +([\d.]+) to ([\d.]+) +([\d,]+) +[\d.]+$")


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> DemoResult:
    """A small demo, whose folder held a page and another file before."""
    out = tmp_path_factory.mktemp("demo") / "deep" / "report"
    out.mkdir(parents=True)
    (out / "index.html").write_text("an older page")
    (out / "mine.txt").write_text("kept")
    return demo.run_demo(out, seed=3, **SMALL)


@pytest.fixture(scope="module")
def small(result) -> tuple[Path, list[str]]:
    """Its folder, and all lines of it."""
    return result.page.parent, all_lines(result)


def table(lines: list[str]) -> dict[tuple[str, str], tuple[float, float, float, int]]:
    found = [match.groups() for line in lines if (match := ROW.match(line))]
    return {
        (method, start): (float(score), float(low), float(high), int(learned.replace(",", "")))
        for method, start, score, low, high, learned in found
    }


def test_table_has_every_method_and_both_starts_of_embeddings(small) -> None:
    rows = table(small[1])
    once = {("zeroshot", "–"), ("anchored", "–"), ("baseline", "–"), ("dualcoop", "–")}
    learned = ("positivecoop", "negativecoop", "dualembedding")
    assert set(rows) == once | {(method, start) for method in learned for start in ("agnostic", "text")}
    assert {method for method, _ in rows} <= set(METHODS)
    for score, low, high, _ in rows.values():
        assert 0 <= low <= high <= 100
        assert 0 < score <= 100


def test_what_training_makes_too_sure_is_put_right(tmp_path: Path, monkeypatch) -> None:
    done: list[str] = []
    real = demo.recalibrate
    monkeypatch.setattr(demo, "recalibrate", lambda begun: done.append(begun.run.recipe.prior) or real(begun))
    demo.run_demo(tmp_path, seed=3, **SMALL)
    assert done.count("zero-shot") == 1  # of anchored; others have no prior, and stay


def test_learned_parameters_are_those_of_the_method(small) -> None:
    classes, context, width, features = 20, 4, 128, 128  # the context starts from "a photo of a"
    prompt, embedding, linear = classes * context * width, classes * features, classes * (features + 1)
    learned = {method: row[3] for (method, _), row in table(small[1]).items()}
    assert learned == {
        "zeroshot": 0,
        "anchored": 2 * embedding + 2 * classes,
        "baseline": 2 * linear,
        "dualcoop": 2 * prompt,
        "positivecoop": prompt + embedding,
        "negativecoop": prompt + embedding,
        "dualembedding": 2 * embedding,
    }


def test_one_screen_says_what_labels_gain_and_where_the_page_is(result, small) -> None:
    lines = [line.replace(str(result.page), "report/index.html") for line in screen_lines(result)]
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    scores = {key: f"{row[0]:.1f}" for key, row in table(small[1]).items()}
    compared = [line.split() for line in lines if line.startswith(("CLIP alone", "trained on"))]
    assert [line[-4] for line in compared] == [scores["zeroshot", "–"], scores["anchored", "–"]]
    assert any(line.startswith("report/index.html") for line in lines)


@pytest.mark.parametrize("chosen", [all_lines, screen_lines])
def test_ends_with_the_three_lines_for_own_data(result, chosen) -> None:
    out, lines = result.page.parent, chosen(result)
    commands = [line.split()[:2] for line in lines[-3:]]
    assert commands == [["promptmlr", "train"], ["promptmlr", "evaluate"], ["promptmlr", "predict"]]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert all(line.strip() in page for line in lines[-3:])


def test_page_holds_table_findings_and_pictures(small) -> None:
    out, lines = small
    page = (out / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]+\"", page)) == page.count("<img ") == demo.EXAMPLES + 2
    assert not re.search(r"https?:|<script |<link", page)
    for (method, start), (score, *_) in table(lines).items():
        assert f'<th scope="row">{method}</th><td>{start}</td><td class="number">{score:.1f}</td>' in page
    for mark in ("✓", "✗", "○"):
        assert mark in page
    assert "within noise" in page
    assert "one drawn world, one mask, one seed" in page
    assert "one drawn world, one mask, one seed" in " ".join(lines)


def test_only_two_files_are_written(small) -> None:
    out, _ = small
    assert sorted(path.name for path in out.iterdir()) == ["demo.jpg", "index.html", "mine.txt"]
    assert (out / "mine.txt").read_text() == "kept"


def test_picture_for_the_readme(small) -> None:
    content = (small[0] / "demo.jpg").read_bytes()
    assert len(content) < 500_000
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert (image.format, image.width) == ("JPEG", 1660)


def test_a_seed_gives_the_same_table(small, tmp_path: Path) -> None:
    again = demo.run_demo(tmp_path / "again", seed=3, **SMALL)
    assert table(all_lines(again)) == table(small[1])
    other = demo.run_demo(tmp_path / "other", seed=4, **SMALL)
    assert table(all_lines(other)) != table(small[1])


def test_interrupted_while_writing_leaves_the_old_page(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "index.html").write_text("an older page")
    monkeypatch.setattr(demo, "VARIANTS", demo.VARIANTS[:2])
    monkeypatch.setattr(demo, "findings", lambda *_: [])

    def interrupted(path, content) -> None:
        with replacing(path, "w") as file:
            file.write(content[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr("promptmlr.demo.running.write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "an older page"


def test_a_file_in_place_of_the_folder_is_refused_at_once(promptmlr, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    outcome = promptmlr("demo", "--out", tmp_path / "report")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "is a file" in outcome.err
