"""Numbers in the documents are numbers that a command wrote, and those follow from the cells beside them."""

import re
from pathlib import Path

import missing
import numpy as np
import pytest
import relations
import scale
import tower_tuning
import trial
import unknown_costs
from scipy.stats import t as student

from promptmlr.paper.absence.plan import BASELINE, METHODS
from promptmlr.paper.claim.plan import COMPARISONS, SIDES, Plan, cell_name, effect
from promptmlr.paper.design.effects import EFFECTS
from support import csv_rows

DOCS = Path(__file__).parent.parent / "docs"
METHODS_OF_CUTOUTS = ("anchored", "dualembedding", "positivecoop", "negativecoop", "dualcoop", "baseline")
DECIMAL = re.compile(r"\d+\.\d+")  # words may carry the sign


PARTS_OF_CLAIM = {
    "": "claim/claim.md",
    "What was done": "claim/claim.md",
    "What was found": "claim/claim.md",
    "What this does not say": "claim/claim.md",
    "Captions of absence, without a prior": "absence/absence.md",
    "Text on each side, without a prior": "design/design.md",
    "Two embeddings, without a prior": "beyond/*/table.md",
}
"""Heading → the files that its command wrote. Real photos are not here."""


def test_every_part_of_the_claim_is_held_to_a_table() -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "claim.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"", *headings} == {*PARTS_OF_CLAIM, "Real photos"}


@pytest.mark.parametrize("heading", PARTS_OF_CLAIM)
def test_every_number_of_the_claim_is_printed_by_its_command(heading: str) -> None:
    page = "\n## \n" + (DOCS / "claim.md").read_text(encoding="utf-8")
    parts = {part.split("\n", 1)[0]: part for part in page.split("\n## ")}
    said = set(DECIMAL.findall(parts[heading]))
    tables = list(DOCS.glob(PARTS_OF_CLAIM[heading]))
    assert len(tables) == (8 if "*" in PARTS_OF_CLAIM[heading] else 1)
    assert said or heading in ("What this does not say",)
    assert not said - {number for table in tables for number in DECIMAL.findall(table.read_text(encoding="utf-8"))}


def test_effects_of_the_claim_follow_from_its_cells() -> None:
    scores: dict[tuple[str, str], list[float]] = {}
    for cell in csv_rows(DOCS / "claim" / "cells.csv"):
        scores.setdefault((cell["method"], cell["observed"]), []).append(float(cell["mean_ap"]))
    assert {len(found) for found in scores.values()} == {5}
    stated = {one.name: one.weights(Plan()) for one in COMPARISONS}
    rows = [row for row in csv_rows(DOCS / "claim" / "effects.csv") if row["of"] == "pre-stated"]
    assert [(row["side"], row["comparison"]) for row in rows] == [(side, name) for side in SIDES for name in stated]
    for row in rows:
        points = sum(
            100 * weight * share * np.mean(scores[cell_name("+".join(pair), condition), f"{condition.observed:g}"])
            for pair, weight in effect(row["side"]).items()
            for condition, share in stated[row["comparison"]].items()
        )
        assert float(row["points"]) == pytest.approx(points, abs=1e-9)


def test_every_number_of_few_labels_is_printed_by_its_command() -> None:
    """But for the method's own, and for those of photos that are not here."""
    page = (DOCS / "few-labels.md").read_text(encoding="utf-8")
    parts = {part.split("\n", 1)[0]: part for part in page.split("\n## ")}
    tables = [DOCS / "few-labels" / "few-labels.md", *(DOCS / "few-labels" / "unknown").glob("*/table.md")]
    printed = {number for table in tables for number in DECIMAL.findall(table.read_text(encoding="utf-8"))}
    for name in ("Drawn worlds", "Ticks"):
        said = set(DECIMAL.findall(parts[name].replace("(1.5 − p) p²", "")))
        assert said
        assert not said - printed, name


def test_every_number_of_cutouts_is_printed_by_its_commands() -> None:
    """And the table has each method's row as the three grids have it."""
    page = re.sub(r"```.*?```", "", (DOCS / "cutouts.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    tables = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "cutouts").glob("*.md")}
    said = set(DECIMAL.findall(page))
    assert len(said) > 50
    assert not said - {number for table in tables.values() for number in DECIMAL.findall(table)}
    for method in ("zeroshot", *METHODS_OF_CUTOUTS):
        row = re.search(rf"^\| {method} \|((?: [\d.]+ \|){{6}})$", page, re.MULTILINE)
        assert row, method
        wanted = [
            score
            for name in ("seen", "apart", "new")
            for score in re.findall(r"([\d.]+) \(", re.search(rf"^\| {method} \|(.*)", tables[name], re.MULTILINE)[1])[
                :2
            ]
        ]
        assert re.findall(r"[\d.]+", row[1]) == wanted, method


def test_few_labels_are_never_worth_less_than_none() -> None:
    """On every world, at every number of labels, and on the worst mask."""
    rows = {(row["world"], row["labels"], row["method"]): row for row in csv_rows(DOCS / "few-labels" / "cells.csv")}
    gains = [
        (100 * (float(row["mean_ap"]) - float(plain["mean_ap"])), 100 * (float(row["worst"]) - float(plain["worst"])))
        for (world, labels, method), row in rows.items()
        if method == "anchored"
        for plain in [rows[world, labels, "zeroshot"]]
    ]
    assert len(gains) == 4 * (6 + 3)
    assert min(gain for gain, _ in gains) >= -0.3
    assert min(worst for _, worst in gains) >= -1.5


def test_the_means_of_the_experiment_follow_from_its_cells() -> None:
    cells = csv_rows(DOCS / "absence" / "cells.csv")
    for row in csv_rows(DOCS / "absence" / "methods.csv"):
        cell = BASELINE.name if row["method"] == "baseline" else METHODS[row["method"]].name
        scores = [
            float(one["mean_ap"])
            for one in cells
            if one["method"] == (cell if row["rate"] == "" else f"{one['method'].split()[0]} {cell}")
            and (row["rate"] == "" or one["method"].startswith(f"q{float(row['rate']):g}-"))
            and row["observed"] in ("mean", one["observed"])
        ]
        assert len(scores) in (5, 15, 20, 60)
        assert float(row["mean_ap"]) == pytest.approx(np.mean(scores), abs=1e-9)


def test_effects_of_the_design_follow_from_its_cells() -> None:
    scores: dict[tuple[str, str], list[float]] = {}
    for cell in csv_rows(DOCS / "design" / "cells.csv"):
        scores.setdefault((cell["method"], cell["observed"]), []).append(float(cell["mean_ap"]))
    assert {len(found) for found in scores.values()} == {5}
    means = {place: float(np.mean(found)) for place, found in scores.items()}
    effects = {(effect.side, effect.name): effect for effect in EFFECTS}
    rows = csv_rows(DOCS / "design" / "effects.csv")
    assert len(rows) == 3 * len(effects)
    for row in rows:
        shares = ["0.1", "0.9"] if row["observed"] == "mean" else [row["observed"]]
        weights = effects[row["side"], row["effect"]].weights
        points = np.mean(
            [100 * sum(weight * means[cell, share] for cell, weight in weights.items()) for share in shares]
        )
        assert float(row["points"]) == pytest.approx(points, abs=1e-9)


def test_effects_are_the_means_of_their_parts() -> None:
    effects = {(row["side"], row["effect"], row["observed"]): row for row in csv_rows(DOCS / "design" / "effects.csv")}
    parts: dict[tuple[str, str, str], list[float]] = {}
    for row in csv_rows(DOCS / "design" / "simple-effects.csv"):
        parts.setdefault((row["side"], row["effect"], row["observed"]), []).append(float(row["points"]))
    assert len(parts) == 24
    for place, points in parts.items():
        assert len(points) == 5
        assert float(effects[place]["points"]) == pytest.approx(np.mean(points), abs=1e-9)


@pytest.mark.parametrize("world", ["crowded1", "strangers2", "grainy3", "usual4"])
def test_beyond_positivecoop_costs_less(world: str) -> None:
    seconds = {
        (row["method"], row["observed"]): float(row["seconds"])
        for row in csv_rows(DOCS / "beyond" / world / "cells.csv")
    }
    assert seconds["dualembedding", "0.1"] < seconds["positivecoop", "0.1"] / 4
    assert seconds["dualembedding", "0.9"] < seconds["positivecoop", "0.9"]


def test_what_suggestions_gain_follows_from_their_scores() -> None:
    scores: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in csv_rows(DOCS / "suggestions" / "suggestions.csv"):
        ways = scores.setdefault((row["world"], row["seed"]), {"random": {}, "suggested": {}})
        ways[row["way"]][int(row["labels"])] = 100 * float(row["mean_ap"])
    assert len(scores) == 18
    page = (DOCS / "how-to" / "what-to-label-next.md").read_text(encoding="utf-8")
    gains = np.array([ways["suggested"][1200] - ways["random"][1200] for ways in scores.values()])
    half = student.ppf(0.975, 17) * gains.std(ddof=1) / np.sqrt(18)
    assert f"bring {gains.mean():.1f} points" in page
    assert f"interval {gains.mean() - half:.1f} to {gains.mean() + half:.1f}" in page
    assert f"single pairs gained {gains.min():.1f} to {gains.max():.1f} points" in page


def test_what_missing_labels_cost_follows_from_the_scores() -> None:
    printed = (DOCS / "failure-modes" / "missing.md").read_text(encoding="utf-8")
    rows = csv_rows(DOCS / "failure-modes" / "missing.csv")
    assert len({(row["world"], row["pattern"], row["seed"]) for row in rows}) == 2 * 6 * 3
    assert printed == missing.tables(rows)
    page = (DOCS / "failure-modes.md").read_text(encoding="utf-8")
    (section,) = [part for part in page.split("\n## ") if part.startswith("Labels missing not at random")]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) >= 8
    assert set(lines) <= set(printed.splitlines())
    matched = (DOCS / "failure-modes" / "patterns.md").read_text(encoding="utf-8")
    assert not set(DECIMAL.findall(section)) - set(DECIMAL.findall(printed + matched))


@pytest.mark.slow
def test_the_plan_past_this_machine_is_what_its_command_prints() -> None:
    page, printed = (DOCS / "scale.md").read_text(encoding="utf-8"), scale.report()
    parts = page.split("```\n")
    prose, blocks = parts[::2], parts[1::2]
    assert len(blocks) == 4
    assert "".join(blocks) == printed + "\n"
    said = set(DECIMAL.findall("".join(prose)))
    assert said
    assert not said - set(DECIMAL.findall(printed))


def test_what_is_said_of_intervals_was_printed_by_the_simulation() -> None:
    tables = {path.stem: csv_rows(path) for path in (DOCS / "intervals").glob("*.csv")}
    assert set(tables) == {"map", "pairs", "grids", "holm", "winner", "ahead"}
    of_all, pairs = numbers_of(tables["map"], "population: held"), numbers_of(tables["pairs"], "held")
    wrong = numbers_of(tables["holm"], "grids with a verdict, of methods that are equal")
    printed = {cell for rows in tables.values() for row in rows for cell in DECIMAL.findall(" ".join(row.values()))}
    printed |= {f"{end:.1f}" for end in (min(pairs), max(pairs), np.mean(pairs), max(wrong))}
    for world in {row["world"] for row in tables["map"]}:
        for column in ("population: held", "the test's own: held"):
            held = numbers_of([row for row in tables["map"] if row["world"] == world], column)
            printed |= {f"{min(held):.1f}", f"{np.mean(held):.1f}"}
    assert not set(DECIMAL.findall((DOCS / "intervals.md").read_text(encoding="utf-8"))) - printed
    assert np.mean(of_all) >= 93
    assert sum(held < 93 for held in of_all) <= 4  # of 40, by chance: of 100 test sets, 90 or fewer hold one time in 30
    assert np.mean(pairs) >= 93
    assert max(wrong) <= 5


def numbers_of(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows]


def test_the_tables_of_trials_follow_from_their_cells() -> None:
    page, folder = (DOCS / "trials.md").read_text(encoding="utf-8"), DOCS / "trials"
    choice, tested = (trial.read_cells(folder / f"{name}.csv") for name in ("relations-choice", "relations"))
    tuned, costs = (trial.read_cells(folder / f"{name}.csv") for name in ("tower-tuning", "unknown-costs"))
    tables = [relations.table(choice), relations.table(tested), tower_tuning.table(tuned)]
    tables += [unknown_costs.table(costs, world) for world in dict.fromkeys(row["world"] for row in costs)]
    verdicts = [relations.verdict(tested, kind) for kind in ("odds-text", "odds-pairs", "ridge", "ridge-odds")]
    verdicts += [tower_tuning.verdict(tuned, setting) for setting in ("0:1", "0.003:1")]
    assert all(found in page for found in (*tables, *verdicts))
    assert all(verdict.endswith("does not pass") for verdict in verdicts)
