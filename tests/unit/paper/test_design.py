"""The design: its cells and their starts, the rule that trains them, and the effects that are read off."""

import math

import numpy as np
import pytest
import torch

from promptmlr.backbone import Backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.files import write_text
from promptmlr.methods import create_recognizer
from promptmlr.paper.design.cells import CELLS, SATURATED, VARIANTS, build, saturated_share
from promptmlr.paper.design.choices import CellChoice, read_choices, write_choices
from promptmlr.paper.design.effects import EFFECTS, simple_effects
from promptmlr.paper.design.outputs import DesignOutputs
from promptmlr.paper.design.search import Choice, SearchRule, Trial, choose
from promptmlr.paper.design.training import Shared, saturated_at_start
from promptmlr.paper.grid.results import GridResults
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.report.findings import as_markdown, as_text
from promptmlr.report.page import as_page
from promptmlr.scenes import CLASS_NAMES
from support import csv_rows

RULE = SearchRule(epochs=10, most_epochs=80, gain=0.01, extensions=1)


@pytest.fixture(scope="module")
def regions(scenes_backbone: Backbone) -> torch.Tensor:
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=64))
    _, source = extract(FreshRegions(scenes_backbone, data.images))
    return source.regions.float()


def test_all_pairs_of_sides_are_there_once() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS) == len(VARIANTS) ** 2 == 25
    kinds = {(cell.method.presence, cell.method.absence) for cell in CELLS}
    assert len(kinds) == 9
    assert [cell.name for cell in CELLS if cell.method.weighting == "own"] == ["linear+linear"]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_no_cell_starts_saturated(scenes_backbone: Backbone, regions: torch.Tensor, cell) -> None:
    recipe = load_recipe("default", "dualcoop")
    recognizer = build(cell, scenes_backbone, CLASS_NAMES, regions, recipe, seed=3)
    assert saturated_share(recognizer, regions) <= 0.05
    for side, variant in ((recognizer.presence, cell.presence), (recognizer.absence, cell.absence)):
        assert variant.kind in type(side).__name__.lower()


def test_what_is_said_of_starts_is_measured(scenes_backbone: Backbone, regions: torch.Tensor) -> None:
    recipe = load_recipe("default", "dualcoop")
    labels = np.zeros((len(regions), len(CLASS_NAMES)), np.int8)
    source = InMemoryRegions(regions)
    shared = Shared(scenes_backbone, CLASS_NAMES, source, labels, source, labels, recipe, RULE, seeds=2)
    [cell] = [cell for cell in CELLS if cell.name == "prompt+linear"]
    starts = [build(cell, scenes_backbone, CLASS_NAMES, regions, recipe, seed) for seed in range(2)]
    expected = np.mean([saturated_share(start, regions) for start in starts])
    assert saturated_at_start(shared, cell) == pytest.approx(expected)
    assert expected > 0


def test_some_cells_would_start_saturated(scenes_backbone: Backbone, regions: torch.Tensor) -> None:
    """What `build` is there for; and where it does nothing, it changes nothing."""
    recipe = load_recipe("default", "dualcoop")

    def shares(name: str) -> tuple[float, float]:
        [cell] = [cell for cell in CELLS if cell.name == name]
        plain = create_recognizer(cell.method, scenes_backbone, CLASS_NAMES, **recipe.start_options())
        built = build(cell, scenes_backbone, CLASS_NAMES, regions, recipe, seed=0)
        return saturated_share(plain, regions), saturated_share(built, regions)

    for name in ("prompt+embedding-random", "prompt+linear", "linear+embedding-agnostic"):
        before, after = shares(name)
        assert before > 0.2 > after
    assert len(set(shares("prompt+embedding-agnostic"))) == 1


def test_a_linear_side_starts_level_with_the_other_in_every_class(
    scenes_backbone: Backbone, regions: torch.Tensor
) -> None:
    recipe = load_recipe("default", "dualcoop")
    for name in ("prompt+linear", "linear+prompt"):
        [cell] = [cell for cell in CELLS if cell.name == name]
        absence, presence = build(cell, scenes_backbone, CLASS_NAMES, regions, recipe, seed=0)(regions).unbind(dim=1)
        torch.testing.assert_close(absence.mean(dim=0), presence.mean(dim=0), rtol=0, atol=1e-3)


def test_a_margin_counts_as_saturated_beyond_the_limit() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, regions: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
            presence = torch.tensor([[SATURATED + 1, SATURATED - 1, -SATURATED - 1, 0.0]])
            return torch.stack([torch.zeros_like(presence), presence], dim=1)

    assert saturated_share(Fixed(), torch.zeros(1, 1, 1)) == 0.5


def asked(best: float, plateau: int):
    """A training whose best rate is `best` and which gains until `plateau` epochs; and what it was asked for."""
    calls = []

    def train(factors, epochs):
        calls.append((tuple(factors), epochs))
        return [
            0.5 - 0.1 * abs(math.log(factor / best, 4)) + 0.02 * math.log2(min(epochs, plateau)) for factor in factors
        ]

    return train, calls


def test_the_best_rate_is_found_and_epochs_are_doubled_to_the_plateau() -> None:
    train, calls = asked(best=1.0, plateau=40)
    choice = choose(train, RULE)
    assert (choice.factor, choice.epochs, choice.plateau) == (1.0, 40, True)
    assert calls == [((0.25, 1.0, 4.0), 10), ((1.0,), 20), ((1.0,), 40), ((1.0,), 80), ((0.25, 4.0), 40)]
    assert [trial.epochs for trial in choice.trials if trial.factor == 1.0] == [10, 20, 40, 80]


@pytest.mark.parametrize(("best", "found"), [(16.0, 16.0), (1 / 16, 1 / 16), (64.0, 64.0), (4.0, 4.0)])
def test_rates_go_further_where_the_best_is_the_last(best: float, found: float) -> None:
    assert choose(asked(best, plateau=10)[0], RULE).factor == found


def test_a_rate_that_is_fast_and_ends_low_is_left_for_a_slower_one() -> None:
    def train(factors, epochs):
        """A fourth of the rates takes twice the epochs, and ends 0.1 higher."""
        return [0.9 - 0.1 * math.log(factor, 4) - 1 / (epochs * math.sqrt(factor)) for factor in factors]

    rule = SearchRule(epochs=1, most_epochs=64, gain=0.01, extensions=0)
    choice = choose(train, rule)
    assert max(choice.trials[:3], key=lambda trial: trial.held_out_map).factor == 4.0
    assert choice.factor < 1
    assert len({(trial.factor, trial.epochs) for trial in choice.trials}) == len(choice.trials)  # none is trained twice


def test_a_cell_that_still_gains_at_the_end_says_so() -> None:
    choice = choose(asked(1.0, plateau=1000)[0], RULE)
    assert (choice.epochs, choice.plateau) == (80, False)


def test_choices_are_read_as_they_were_written(tmp_path) -> None:
    assert read_choices(tmp_path) == []
    trials = (Trial(0.25, 20, 0.5), Trial(1.0, 20, 0.6125))
    found = [
        CellChoice("prompt+linear", 0.1, Choice(1.0, 20, True, trials), 0.0),
        CellChoice("prompt+linear", 0.9, Choice(0.25, 160, False, trials[:1]), 0.031),
    ]
    write_choices(tmp_path, found)
    assert read_choices(tmp_path) == found


def planted(seeds: int = 4) -> GridResults:
    """Presence: a prompt is worth 3 points, starting from text 2 more. Absence: a prompt is worth 1."""
    worth = {"prompt": 0.05, "embedding-text": 0.02, "embedding-agnostic": 0.0, "embedding-random": 0.0, "linear": 0.0}
    rng = np.random.default_rng(0)
    means = [worth[cell.presence.name] + (0.01 if cell.absence.name == "prompt" else 0.0) for cell in CELLS]
    noise = rng.normal(0, 1e-4, (len(CELLS), 2, seeds))
    scores = 0.5 + np.array(means)[:, None, None] + rng.normal(0, 0.02, (1, 2, seeds)) + noise
    resampled = (
        scores[..., None] + rng.normal(0, 0.02, (1, 1, 1, 300)) + rng.normal(0, 1e-4, (len(CELLS), 2, seeds, 300))
    )
    return GridResults([cell.name for cell in CELLS], [0.1, 0.9], scores, resampled, [[7, 7]] * len(CELLS))


def test_planted_effects_are_found_and_add_up() -> None:
    results = planted()
    found = {(e.side, e.name): results.contrast(e.weights, None) for e in EFFECTS}
    assert all(sum(effect.weights.values()) == pytest.approx(0) for effect in EFFECTS)

    expected = {
        ("presence", "prompt − embedding-agnostic"): 0.05,
        ("presence", "embedding-text − embedding-agnostic"): 0.02,
        ("presence", "prompt − embedding-text"): 0.03,
        ("absence", "prompt − embedding-text"): 0.01,
        ("absence", "embedding-text − embedding-agnostic"): 0.0,
        ("interaction", "prompt × linear"): 0.0,
    }
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, abs=1e-3)
        assert found[key].low <= value <= found[key].high
    for side in ("presence", "absence"):
        whole, start, learning = (
            found[side, name].value
            for name in (
                "prompt − embedding-agnostic",
                "embedding-text − embedding-agnostic",
                "prompt − embedding-text",
            )
        )
        assert whole == pytest.approx(start + learning)


def test_effects_are_the_means_of_their_parts() -> None:
    results = planted()
    for effect in EFFECTS:
        found = [results.contrast(weights, 0.9).value for weights in simple_effects(effect).values()]
        assert len(found) == (0 if effect.side == "interaction" else 5)
        if found:
            assert np.mean(found) == pytest.approx(results.contrast(effect.weights, 0.9).value)


def test_an_effect_of_one_pair_is_seen_beside_it_alone(tmp_path) -> None:
    results = planted()
    row = list(results.methods).index("linear+prompt")
    results.scores[row] -= 0.2
    results.resampled[row] -= 0.2
    choice = Choice(1.0, 20, True, (Trial(1.0, 20, 0.5),))
    choices = [CellChoice(cell.name, share, choice, 0.0) for cell in CELLS for share in (0.1, 0.9)]
    outputs = DesignOutputs(results, choices, SearchRule(most_epochs=40), "some images")
    outputs.write(tmp_path)
    records = [one for one in csv_rows(tmp_path / "simple-effects.csv") if one["effect"] == "prompt − embedding-text"]
    found = {
        one["other_side"]: float(one["points"])
        for one in records
        if (one["side"], one["observed"]) == ("absence", "0.9")
    }
    assert found == pytest.approx(
        {"prompt": 1, "embedding-text": 1, "embedding-agnostic": 1, "embedding-random": 1, "linear": -19}, abs=0.1
    )
    assert "| prompt − embedding-text | +1.0 (" in (tmp_path / "design.md").read_text(encoding="utf-8")


def test_an_interaction_is_found_where_there_is_one() -> None:
    results = planted()
    row = list(results.methods).index("prompt+prompt")
    results.scores[row] -= 0.04
    results.resampled[row] -= 0.04
    [effect] = [effect for effect in EFFECTS if effect.name == "prompt × linear"]
    assert results.contrast(effect.weights, 0.9).value == pytest.approx(-0.04, abs=1e-3)


def test_a_saturated_start_is_called_one() -> None:
    choice = Choice(1.0, 40, True, (Trial(1.0, 20, 0.5), Trial(1.0, 40, 0.5)))
    choices = [
        CellChoice(cell.name, share, choice, 0.2 if cell.name == "prompt+linear" else 0.0)
        for cell in CELLS
        for share in (0.1, 0.9)
    ]
    outputs = DesignOutputs(planted(), choices, SearchRule(most_epochs=40), "some images")
    text = " ".join(as_text(outputs.findings()).split())
    assert "20.0 % of margins exceeded 10 (prompt+linear), so that one began saturated" in text


def test_what_is_shown_of_a_design(tmp_path) -> None:
    trials = (Trial(1.0, 20, 0.5), Trial(1.0, 40, 0.6))
    choices = [
        CellChoice(cell.name, share, Choice(1.0, 40, cell.name != "prompt+linear", trials), 0.01)
        for cell in CELLS
        for share in (0.1, 0.9)
    ]
    outputs = DesignOutputs(planted(), choices, SearchRule(most_epochs=40), "some images")
    outputs.write(tmp_path)
    write_text(tmp_path / "report.html", as_page(outputs.title, outputs.lead, outputs.findings()))
    text = (tmp_path / "design.md").read_text()
    assert text == as_markdown(outputs.findings())
    assert "prompt+linear  10 %" not in as_text(outputs.findings())  # 50 rows are for the page
    assert "| prompt − embedding-text | +3.0 (" in text
    assert "2 of 50 were still gaining at 40 epochs: prompt+linear (10 % observed)" in text
    lines = (tmp_path / "effects.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * len(EFFECTS)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 3 * 25
    verdicts = {tuple(line.split(",")[:3]): line.split(",")[8] for line in lines[1:]}
    assert verdicts["presence", "prompt − embedding-text", "mean"] == "gain"
    assert verdicts["absence", "embedding-text − linear", "mean"] == "within noise"
    page = (tmp_path / "report.html").read_text()
    assert "effects.csv" in page
    assert page.count("<img") == 2
