"""A grid's numbers: means, paired differences, what Holm leaves of them, and the paper's beside them."""

import csv
import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from promptmlr.paper.grid.figure import scores_figure
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.published import published_scores
from promptmlr.paper.grid.results import OTHER_METRICS, GridResults
from promptmlr.report.findings import as_markdown, as_text


@pytest.fixture
def results() -> GridResults:
    """Three methods, two fractions, three seeds; "good" is five points above "plain", "same" is the same but noise."""
    rng = np.random.default_rng(0)
    common = rng.normal(0.5, 0.02, (1, 2, 3))
    images = rng.normal(0, 0.02, (1, 2, 1, 400))
    scores = (
        common + np.array([0, 0.05, 0]).reshape(3, 1, 1) + rng.normal(0, [[[0.001]], [[0.001]], [[0.01]]], (3, 2, 3))
    )
    return GridResults(
        ["plain", "good", "same"],
        [0.1, 0.5],
        scores,
        scores[..., None] + images + rng.normal(0, 0.001, (3, 2, 3, 400)),
        [[5, 5], [6, 6000], [7, 7]],
    )


def test_means_are_over_seeds_and_fractions(results: GridResults) -> None:
    assert results.mean("good", 0.5).value == pytest.approx(results.scores[1, 1].mean())
    assert results.mean("good", None).value == pytest.approx(results.scores[1].mean())
    assert results.seeds == 3


def test_methods_share_what_they_show_of_the_variance_over_seeds() -> None:
    """Two seeds leave one degree of freedom; beside other methods and fractions, an interval is narrower by far."""
    rng = np.random.default_rng(3)
    scores = 0.5 + 0.01 * rng.standard_normal((4, 3, 2))
    many = GridResults(list("abcd"), [0.1, 0.3, 0.5], scores, scores[..., None] + np.zeros(100), [[1] * 3] * 4)
    few = GridResults(["a", "b"], [0.1], scores[:2, :1], many.resampled[:2, :1], [[1]] * 2)
    for fraction, methods in product([0.1, 0.3, 0.5], "bcd"):
        found = many.contrast({methods: 1.0, "a": -1.0}, fraction)
        assert found.high - found.low < 0.3
    difference, mean = np.zeros((4, 3)), np.zeros((4, 3))
    difference[:2, 0], mean[0] = (1, -1), 1 / 3
    assert many._alike(difference).independent == 3 * 3
    assert many._alike(mean).independent == 4
    shared, alone = (grid.contrast({"b": 1.0, "a": -1.0}, 0.1) for grid in (many, few))
    assert shared.value == pytest.approx(alone.value)
    assert shared.high - shared.low < (alone.high - alone.low) / 2


def test_what_stands_beside_is_of_one_method_and_its_fractions(results: GridResults) -> None:
    of1 = np.arange(18.0).reshape(3, 2, 3)
    other_metrics = replace(results, other_metrics={"of1": of1})
    assert other_metrics.other_metrics_of("good", 0.5) == {"of1": pytest.approx(of1[1, 1].mean())}
    assert other_metrics.other_metrics_of("good", None) == {"of1": pytest.approx(of1[1].mean())}


def test_differences_are_paired_and_corrected_together(results: GridResults) -> None:
    found = {(one.method, one.observed): one for one in results.comparisons("plain")}
    assert set(found) == {(method, share) for method in ("good", "same") for share in (0.1, 0.5, None)}
    for share in (0.1, 0.5, None):
        good, same = found["good", share], found["same", share]
        assert good.verdict == "higher"
        assert same.verdict in ("within noise", "undecided")
        alone = results.mean("good", share)
        assert good.estimate.high - good.estimate.low < (alone.high - alone.low) / 3
        assert good.p_holm >= good.estimate.p
    assert {one.verdict for one in results.comparisons("good")} == {"lower"}


def test_tables_say_what_the_numbers_say(results: GridResults, tmp_path) -> None:
    published = {("good", 0.1): 0.798, ("same", 0.1): 0.4, ("same", 0.5): 0.6}
    outputs = GridOutputs(results, "plain", published, "some images", ["beware"], ["how it came"])
    text = as_markdown(outputs.findings())
    lines = text[text.index("| method") :].splitlines()
    assert lines[0] == "| method | 10 % | 50 % | mean | learned |"
    mean = results.mean("plain", 0.1)
    assert lines[2].startswith(f"| plain | {100 * mean.value:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f}) | ")
    assert lines[2].endswith(" | 5 |")
    assert lines[3].endswith(" | 6 to 6,000 |")
    assert "| good, paper | 79.8 |  |  |  |" in lines
    away = f"{100 * (results.mean('good', 0.1).value - 0.798):+.1f}".replace("-", "−")
    assert f"| good, ours − paper | {away} |  |  |  |" in lines
    assert "| same, paper | 40.0 | 60.0 | 50.0 |  |" in lines
    assert lines.index("beware") < next(i for i, line in enumerate(lines) if line.startswith("| minus plain"))
    assert lines[-1] == "how it came"
    assert "95 % intervals over test images and 3 seeds" in text
    outputs.write(tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [row["published"] for row in rows if row["method"] == "good"] == ["0.798", "", ""]
    assert [row["learned_parameters"] for row in rows if row["method"] == "good"] == ["6", "6000", ""]
    assert [row["learned_parameters"] for row in rows if row["method"] == "same"] == ["7", "7", "7"]
    minus = [row["minus_published"] for row in rows if row["method"] == "good"]
    assert minus[1:] == ["", ""]
    assert float(minus[0]) == pytest.approx(results.mean("good", 0.1).value - 0.798)
    differences = list(csv.DictReader(io.StringIO((tmp_path / "differences.csv").read_text())))
    assert {row["verdict"] for row in differences if row["method"] == "good"} == {"higher"}
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_zero_shot_is_a_second_reference(results: GridResults, tmp_path) -> None:
    known = replace(results, methods=["plain", "good", "zeroshot"])
    outputs = GridOutputs(known, "plain", {}, "some images")
    lines = as_text(outputs.findings()).splitlines()
    assert [line for line in lines if line.startswith("Differences")] == [
        "Differences to plain",
        "Differences to zeroshot",
    ]
    outputs.write(tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "differences.csv").read_text())))
    places = [(row["method"], row["reference"]) for row in rows if row["observed"] == "mean"]
    expected = [("good", "plain"), ("zeroshot", "plain"), ("plain", "zeroshot"), ("good", "zeroshot")]
    assert places == expected
    by_place = {(row["method"], row["reference"], row["observed"]): float(row["difference"]) for row in rows}
    gain = known.scores[1, 0].mean() - known.scores[2, 0].mean()
    assert by_place["good", "zeroshot", "0.1"] == pytest.approx(gain)
    alone = GridOutputs(known, "zeroshot", {}, "some images")
    assert as_text(alone.findings()).count("Differences to") == 1


def test_intervals_of_one_seed_say_so(results: GridResults) -> None:
    one = GridResults(results.methods, [0.1], results.scores[:, :1, :1], results.resampled[:, :1, :1], [[1]] * 3)
    found = GridOutputs(one, "plain", {}, "some images").findings()
    assert "test images alone, as there is one seed" in as_markdown(found)
    assert "mean" not in next(line for line in as_text(found).splitlines() if line.startswith("method"))


def test_the_papers_table() -> None:
    coco, voc = published_scores("coco2014"), published_scores("voc2007")
    assert (coco["positivecoop", 0.1], voc["dualcoop", 0.9]) == pytest.approx((0.798, 0.942))
    methods = ("dualcoop", "scpnet", "baseline", "negativecoop", "positivecoop")
    shares = [round(0.1 * step, 1) for step in range(1, 10)]
    assert set(coco) == set(voc) == {(method, share) for method in methods for share in shares}
    printed = {"dualcoop": 81.9, "scpnet": 83.2, "baseline": 82.0, "negativecoop": 81.6, "positivecoop": 83.2}
    for method, average in printed.items():
        assert 100 * np.mean([coco[method, share] for share in shares]) == pytest.approx(average, abs=0.051)
    assert published_scores(None) == {}


def test_empty_classes_as_zero_are_named_beside_every_number(results: GridResults) -> None:
    left_out = replace(results, other_metrics=dict.fromkeys(OTHER_METRICS, results.scores / 2))
    zero = left_out.with_empty_as_zero(0.75)
    for method in results.methods:
        before, after = left_out.record(method, 0.1), zero.record(method, 0.1)
        for name in ("mean_ap", "low", "high", "cf1"):
            assert after[name] == pytest.approx(0.75 * before[name])
        assert after["of1"] == before["of1"]
    for found, name in ((left_out, "mAP"), (zero, "mAP with empty classes as 0")):
        outputs = GridOutputs(found, "plain", {}, "400 test images")
        text, files = as_text(outputs.findings()), outputs.files()
        for words in (f"{name} in percent (table.csv)", f"points of {name} (differences.csv)", f"{name} in percent on"):
            assert words in text
        assert ("CF1 (with empty classes as 0)" in text) == (found is zero)
        assert outputs.lead.startswith(f"{name} on")
        assert scores_figure(found, {}).axes[0].get_ylabel() == f"{name}, %"
        for table in ("table.csv", "differences.csv"):
            assert {row["empty_classes"] for row in files[table].rows} == {found.empty_classes}
