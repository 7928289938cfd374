"""What is read off the experiment on captions of absence: planted effects are found, and words follow numbers."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from promptmlr.cli.paper.experiment import absence
from promptmlr.files import write_text
from promptmlr.paper.absence.outputs import AbsenceOutputs
from promptmlr.paper.absence.plan import BASELINE, GAINS, METHODS, Plan, Tower
from promptmlr.paper.absence.running import Results, row_name
from promptmlr.paper.absence.towers import Probe
from promptmlr.paper.design.choices import CellChoice
from promptmlr.paper.design.search import Choice, SearchRule, Trial
from promptmlr.paper.grid.results import GridResults
from promptmlr.report.findings import as_markdown, as_text
from promptmlr.report.page import as_page
from promptmlr.scenes.captions import ABSENCE_RATE
from promptmlr.scenes.text_side import TextSideConfig
from support import csv_rows

PLAN = Plan(rates=(0.0, ABSENCE_RATE, 0.6), observed=(0.1, 0.9), rule=SearchRule(most_epochs=40))


def made(growth: float, auc: float) -> Results:
    """NegativeCoOp and DualCoOp gain `growth` at a rate of 0.6; there "no X" has an AUC of `auc`, else of 0.7."""
    rng = np.random.default_rng(0)
    rows = [row_name(method, rate) for rate in PLAN.rates for method in METHODS] + ["baseline"]
    means = np.array(
        [0.6 + (growth if row.endswith("@ 0.6") and row.startswith(("negative", "dualcoop")) else 0) for row in rows]
    )
    sides = rng.normal(0, 0.02, (1, 1, PLAN.tower_seeds))
    scores = means[:, None, None] + sides + rng.normal(0, 2e-4, (len(rows), 2, PLAN.tower_seeds))
    resampled = scores[..., None] + rng.normal(0, 0.01, (1, 1, 1, 200))
    probes = [
        Probe(tower.rate, tower.seed, *([0.9, 0.95, 0.6, 0.8]), (auc if tower.rate == 0.6 else 0.7) + noise, 0.6, 0.6)
        for tower, noise in zip(PLAN.towers, rng.normal(0, 1e-3, len(PLAN.towers)), strict=True)
    ]
    choice = Choice(1.0, 40, True, (Trial(1.0, 20, 0.5), Trial(1.0, 40, 0.5)))
    choices = [
        CellChoice(cell.name, share, choice, 0.0) for cell in (*METHODS.values(), BASELINE) for share in (0.1, 0.9)
    ]
    return Results(PLAN, probes, choices, GridResults(rows, PLAN.observed, scores, resampled, [1] * len(rows)))


def test_the_plan_holds_all_text_sides_and_laions() -> None:
    assert len(PLAN.towers) == 9
    assert PLAN.reference in PLAN.towers
    assert len({tower.name for tower in Plan().towers}) == 15
    assert Tower(0.3, 1).name == "q0.3-seed1"


def test_every_gain_compares_two_methods() -> None:
    for gain in GAINS:
        assert {gain.more, gain.less} <= METHODS.keys()
        assert METHODS[gain.more].absence.kind == "prompt"
        assert METHODS[gain.less].absence.kind == "embedding"


def test_a_growth_of_three_points_is_found() -> None:
    outputs = AbsenceOutputs(made(growth=0.03, auc=0.4))
    grown = [change for change in outputs.changes if change.rate == 0.6]
    assert {change.verdict for change in grown} == {"higher"}
    for change in grown:
        assert change.estimate.value == pytest.approx(0.03, abs=2e-3)
        assert change.estimate.low < 0.03 < change.estimate.high
    assert {change.verdict for change in outputs.changes if change.rate == 0.0} == {"within noise"}
    text, methods = outputs.conclusion()
    assert "“no X” speaks of absence" in text
    assert "grows with it in 6 of 6 comparisons" in methods


def test_where_nothing_grows_it_says_so() -> None:
    text, methods = AbsenceOutputs(made(growth=0.0, auc=0.7)).conclusion()
    assert "still fires on the object" in text
    assert "does not measurably grow with it in any of 6 comparisons" in methods


def test_a_loss_is_no_growth() -> None:
    outputs = AbsenceOutputs(made(growth=-0.03, auc=0.5))
    assert {change.verdict for change in outputs.changes if change.rate == 0.6} == {"lower"}
    assert "does not measurably grow" in outputs.conclusion()[1]
    assert "no measurable relation to presence" in outputs.conclusion()[0]


def test_the_command_line_offers_the_plan_of_the_experiment() -> None:
    offered = {name: given.default for name, given in inspect.signature(absence).parameters.items()}
    plan = Plan()
    for name in ("seeds", "steps", "scenes", "train_scenes", "test_scenes"):
        assert offered[name] == getattr(plan, name)
    assert (offered["text_sides"], offered["epochs"], offered["most_epochs"]) == (
        plan.tower_seeds,
        plan.rule.epochs,
        plan.rule.most_epochs,
    )
    assert offered["rates"] == ",".join(f"{rate:g}" for rate in plan.rates)
    assert offered["observed"] == ",".join(f"{share:g}" for share in plan.observed)
    assert TextSideConfig().steps == plan.steps


def test_a_loss_is_named() -> None:
    assert "It shrinks in 6: " in AbsenceOutputs(made(growth=-0.03, auc=0.5)).conclusion()[1]


def test_one_text_side_claims_nothing_of_others() -> None:
    found = made(growth=0.03, auc=0.4)
    scores = found.scores
    one = GridResults(
        scores.methods, scores.observed, scores.scores[..., :1], scores.resampled[..., :1, :], scores.learned
    )
    plan = replace(PLAN, tower_seeds=1)
    probes = [probe for probe in found.probes if probe.seed == 0]
    outputs = AbsenceOutputs(Results(plan, probes, found.choices, one))
    text = " ".join(as_text(outputs.findings()).split())
    assert "allows no general statement" in outputs.conclusion()[0]
    assert "Intervals are over test images alone" in text
    assert "0.400 (" not in text


def test_epochs_that_were_left_alone_claim_no_plateau() -> None:
    found = made(growth=0.0, auc=0.5)
    outputs = AbsenceOutputs(replace(found, plan=replace(PLAN, rule=SearchRule(epochs=3, most_epochs=3))))
    text = " ".join(as_text(outputs.findings()).split())
    assert "epochs were left at 3, so it is unknown" in text


def test_an_experiment_writes_its_tables_and_its_page(tmp_path) -> None:
    outputs = AbsenceOutputs(made(growth=0.03, auc=0.4))
    outputs.write(tmp_path)
    write_text(tmp_path / "page.html", as_page(outputs.title, outputs.lead, outputs.findings()))
    assert (tmp_path / "absence.md").read_text() == as_markdown(outputs.findings())
    for name, rows in (("methods", 3 * (3 * 7 + 1)), ("gains", 6 * 3 * 3), ("changes", 6 * 2)):
        assert len(csv_rows(tmp_path / f"{name}.csv")) == rows
    first = next(row for row in csv_rows(tmp_path / "changes.csv") if row["rate"] == "0.6")
    assert float(first["points"]) == pytest.approx(3, abs=0.2)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 2
    assert all(f"{name}.csv" in page for name in ("probes", "methods", "gains", "changes"))
