"""The claim under a prior: one start for all pairs, effects that are read off, and what a design can see."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from promptmlr.backbone import Backbone
from promptmlr.paper.claim import training
from promptmlr.paper.claim.effects import detectable, gain, pre_stated, side_effect
from promptmlr.paper.claim.outputs import ClaimOutputs, in_words
from promptmlr.paper.claim.plan import (
    COMPARISONS,
    PAIRS,
    ROWS,
    SIDES,
    ZERO_SHOT,
    Condition,
    Pair,
    Plan,
    Side,
    cell_name,
    effect,
)
from promptmlr.paper.claim.power import Spread, minimal_detectable
from promptmlr.paper.claim.running import Results
from promptmlr.paper.claim.training import Images, build, learned, recipe_of
from promptmlr.paper.grid.folder import Cell, GridFolder
from promptmlr.prior.fitting import begin_run
from promptmlr.regions import InMemoryRegions
from promptmlr.report.outputs import Records
from promptmlr.sides import PromptSide
from promptmlr.uncertainty import Estimate, estimate

PLAN = Plan(seeds=3)
NAMES = ("red chair", "blue fish", "green tree")


@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_starts_where_anchored_starts(scenes_backbone: Backbone, pair: Pair) -> None:
    regions = torch.randn(4, 5, scenes_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    recipe = recipe_of(0.05)
    anchored = build(("embedding", "embedding"), scenes_backbone, NAMES, recipe)
    found = build(pair, scenes_backbone, NAMES, recipe)
    torch.testing.assert_close(found(regions), anchored(regions), rtol=1e-3, atol=1e-3)
    kinds = [type(side).__name__.removesuffix("Side").lower() for side in (found.presence, found.absence)]
    assert tuple(kinds) == pair


def test_what_leads_an_absence_prompt_to_its_start_is_not_learned(scenes_backbone: Backbone) -> None:
    found = build(("embedding", "prompt"), scenes_backbone, NAMES, recipe_of(0.05))
    assert isinstance(found.absence, PromptSide)
    context = found.absence.context.numel()
    assert learned(found) == sum(tensor.numel() for tensor in found.presence.parameters()) + context
    assert found.absence.offset is not None
    assert not found.absence.offset.requires_grad


def random_images(width: int) -> Images:
    draw = np.random.default_rng(0)
    train, test = (InMemoryRegions(torch.from_numpy(draw.normal(size=(30, 2, width))).float()) for _ in range(2))
    labels = draw.integers(0, 2, (2, 30, 3)).astype(np.int8)
    return Images(NAMES, train, labels[0], test, labels[1])


def test_all_pairs_have_the_masks_and_the_prior_of_anchored(scenes_backbone: Backbone, monkeypatch) -> None:
    begun = []

    def spied(recognizer, source, known, *rest, **options):
        found = begin_run(recognizer, source, known, *rest, **options)
        begun.append((options["seed"], known, found.record))
        return found

    monkeypatch.setattr(training, "begin_run", spied)
    images, recipe = random_images(scenes_backbone.feature_width), recipe_of(0.05).model_copy(update={"epochs": 1})
    found = training.train(images, scenes_backbone, recipe, 0.5, 2)
    assert sorted((one.name, one.seed) for one in found) == sorted((row, seed) for row in ROWS for seed in range(2))
    for seed in range(2):
        masks, priors = zip(*((known, prior) for of, known, prior in begun if of == seed), strict=True)
        assert len(masks) == len(PAIRS)
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
        assert all(prior == priors[0] for prior in priors)
    assert not np.array_equal(begun[0][1], begun[1][1])


def test_zero_shot_and_pairs_are_scored_on_the_test_images(scenes_backbone: Backbone) -> None:
    images, recipe = random_images(scenes_backbone.feature_width), recipe_of(0.05).model_copy(update={"epochs": 1})
    scores = {one.name: one.score for one in training.train(images, scenes_backbone, recipe, 0.5, 1)}
    assert scores[ZERO_SHOT].presence_displacement == 0 < scores["embedding+embedding"].presence_displacement
    margins = build(("embedding", "embedding"), scenes_backbone, NAMES, recipe)(images.test.regions).diff(dim=1)[:, 0]
    wanted = average_precision_score(images.test_labels, margins.detach().numpy())
    assert scores[ZERO_SHOT].mean_ap == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("spread", [Spread(0.02, 0.0), Spread(0.01, 0.01), Spread(0.002, 0.01)])
def test_a_detectable_effect_is_detected_in_four_of_five_simulations(spread: Spread) -> None:
    """By the interval that the experiment prints, on Gaussian masks and images."""
    rng, seeds, sets = np.random.default_rng(0), 5, 400
    true = minimal_detectable(spread, seeds)
    hits = 0
    for number in range(sets):
        of_images = rng.normal(0, spread.images)
        scores = true + of_images + rng.normal(0, spread.masks, (1, seeds))
        resampled = scores[..., None] + rng.normal(0, spread.images, (1, 1, 200))
        hits += not estimate(scores, resampled, [1.0], seed=number).within_noise
    assert hits / sets == pytest.approx(0.8, abs=0.08)


def test_more_power_takes_a_larger_effect_and_more_masks_a_smaller_one() -> None:
    spread = Spread(0.01, 0.005)
    usual = minimal_detectable(spread, 5)
    assert minimal_detectable(spread, 5, power=0.9) > usual
    assert minimal_detectable(spread, 5, level=0.05 / 10) > usual
    assert minimal_detectable(spread, 10) < usual
    assert minimal_detectable(spread.over(4), 5) == pytest.approx(usual / 2)
    assert minimal_detectable(Spread(0.0, 0.0), 5) == 0


def test_comparisons_are_means_and_differences_of_means() -> None:
    for comparison in COMPARISONS:
        weights = comparison.weights(PLAN)
        assert set(weights) <= set(PLAN.conditions)
        assert sum(weights.values()) == pytest.approx(1.0 if comparison.less is None else 0.0)
    assert len(set(PLAN.conditions)) == len(PLAN.conditions) == 3 * 3 + 3
    assert PLAN.pilot not in PLAN.conditions


def planted(tmp_path: Path, presence: dict[float, float], absence: float) -> Results:
    """Cells in which a prompt for presence is worth so much at a fraction, and one for absence the same everywhere."""
    folder, rng = GridFolder(tmp_path, "experiment claim"), np.random.default_rng(0)
    for condition in (*PLAN.conditions, PLAN.pilot):
        for row in ROWS:
            kinds = row.split("+")
            value = 0.6 if len(kinds) == 1 else 0.7
            if kinds[0] == "prompt":
                value += presence[condition.observed]
            if kinds[-1] == "prompt":
                value += absence
            for seed in range(PLAN.seeds):
                noise = rng.normal(0, 1e-4)
                name = cell_name(row, condition)
                cell = Cell(name, condition.observed, seed, value + noise, 0.5, 0.5, 1, 1, 9, 1, 0.1)
                folder.add(cell, value + noise + rng.normal(0, 1e-4, 50))
    return Results(PLAN, folder, detectable(PLAN, folder))


def test_planted_effects_are_what_is_reported(tmp_path: Path) -> None:
    results = planted(tmp_path, {0.02: 0.03, 0.1: 0.0, 0.5: -0.03}, -0.004)
    found = {(one.side, one.name): one for one in pre_stated(PLAN, results.folder)}
    assert list(found) == [(side, one.name) for side in SIDES for one in COMPARISONS]
    assert 100 * found["presence", "many labels − few"].estimate.value == pytest.approx(-6, abs=0.1)
    assert found["presence", "many labels − few"].verdict == "lower"
    assert 100 * found["presence", "mean effect"].estimate.value == pytest.approx(0, abs=0.1)
    assert 100 * found["absence", "mean effect"].estimate.value == pytest.approx(-0.4, abs=0.1)
    one = {Condition("scenes", PLAN.worlds[0], 0.02): 1.0}
    assert 100 * side_effect(results.folder, 3, "presence", one).value == pytest.approx(3, abs=0.1)
    assert 100 * gain(results.folder, 3, ("prompt", "prompt"), one).value == pytest.approx(10 + 3 - 0.4, abs=0.1)


@pytest.mark.parametrize("side", SIDES)
def test_power_is_that_of_the_pilot_shared_by_the_conditions_and_by_all_comparisons(tmp_path: Path, side: Side) -> None:
    results = planted(tmp_path, {0.02: 0.03, 0.1: 0.0, 0.5: -0.03}, -0.004)
    keys = [{pair: (cell_name("+".join(pair), PLAN.pilot), 0.1, seed, "all") for pair in PAIRS} for seed in range(3)]
    cells, resampled, weights = results.folder.cells, results.folder.resampled, effect(side)
    of_masks = [sum(weights[pair] * cells[key].mean_ap for pair, key in row.items()) for row in keys]
    of_images = np.mean([sum(weights[pair] * resampled[key] for pair, key in row.items()) for row in keys], axis=0)
    found = {one.of: one for one in results.power if one.side == side}
    one, mean, change = (found[name] for name in ("one condition", "mean effect", "many labels − few"))
    assert (one.masks, one.images) == pytest.approx((100 * np.std(of_masks, ddof=1), 100 * np.std(of_images)))
    for least, level in ((one.alone, 0.05), (one.among_all, 0.05 / 10)):
        assert least == pytest.approx(minimal_detectable(Spread(one.masks, one.images), PLAN.seeds, level=level))
    assert (mean.alone, mean.among_all) == pytest.approx((one.alone / 3, one.among_all / 3))  # over nine conditions
    assert change.alone == pytest.approx(one.alone * (2 / 3) ** 0.5)  # three less three


def test_the_report_holds_the_pre_stated_comparisons_and_no_others(tmp_path: Path) -> None:
    outputs = ClaimOutputs(planted(tmp_path, {0.02: 0.03, 0.1: 0.0, 0.5: -0.03}, -0.004))
    effects = outputs.files()["effects.csv"]
    assert isinstance(effects, Records)
    written = list(effects.rows)
    rows = [row for row in written if row["of"] == "pre-stated"]
    assert [(row["side"], row["comparison"]) for row in rows] == [
        (side, one.name) for side in SIDES for one in COMPARISONS
    ]
    assert all(row["p_holm"] >= row["p"] for row in rows)
    by_labels = [row["points"] for row in written if (row["side"], row["of"]) == ("presence", "labels")]
    assert by_labels == pytest.approx([3, 0, -3], abs=0.1)
    corrected = [row for row in written if "p_holm" in row]
    assert len(corrected) == len(rows)
    outputs.write(tmp_path)
    text = (tmp_path / "claim.md").read_text(encoding="utf-8")
    assert re.search(r"within noise \(no more than 0\.\d either way\)", text)
    assert "lower (no more than" not in text
    assert "Presence: the interval lies above 0 in 4 and below 0 in 4 of 12 conditions" in text
    assert (tmp_path / "claim.png").read_bytes().startswith(b"\x89PNG")


def test_only_an_interval_within_a_point_is_called_small() -> None:
    found = Estimate(0.001, -0.004, 0.006, 0.5, 5)
    assert in_words(found) == "(no more than 0.6 either way)"
    assert in_words(replace(found, low=-0.0101)) == ""
