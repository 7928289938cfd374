"""Trials of bench/: a relation that is there is found, one that is not is not; the rules decide as they are written."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import relations
import torch
import tower_tuning
import trial
import unknown_costs
from scipy.special import expit
from scipy.stats import ttest_1samp

from promptmlr.backbone import load_backbone
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.methods import create_recognizer
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, C) log odds without a word on class 1, their probabilities, and labels: class 1 follows class 0."""
    rng = np.random.default_rng(0)
    labels = (rng.random((600, 3)) < 0.3).astype(np.int8)
    labels[:, 1] = np.where(rng.random(600) < 0.9, labels[:, 0], 1 - labels[:, 0])
    odds = np.where(labels == PRESENT, 2.0, -2.0) + rng.normal(size=labels.shape)
    odds[:, 1] = -0.8
    return odds, expit(odds), labels


def test_pairs_find_what_occurs_together(planted: tuple[np.ndarray, ...]) -> None:
    labels = planted[2]
    graph = relations.pairs_graph(labels)
    assert graph[0, 1] == graph[1, 0] > 0.5
    assert abs(graph[0, 2]) < 0.3
    assert not graph.diagonal().any()


def test_pairs_that_are_never_known_together_say_nothing(planted: tuple[np.ndarray, ...]) -> None:
    labels = planted[2].copy()
    labels[::2, 0] = UNKNOWN
    labels[1::2, 1] = UNKNOWN
    assert relations.pairs_graph(labels)[0, 1] == pytest.approx(0)


def test_neighbours_are_shares_of_the_positive_entries() -> None:
    graph = np.array([[0.0, 3.0, -2.0], [3.0, 0.0, 1.0], [-2.0, 0.0, 0.0]])
    np.testing.assert_allclose(relations.neighbours(graph), [[0, 1, 0], [0.75, 0, 0.25], [0, 0, 0]])


def test_ridge_finds_a_relation_and_an_infinite_penalty_none(planted: tuple[np.ndarray, ...]) -> None:
    odds, p, labels = planted
    inputs = p - p.mean(axis=0)
    weights, penalty = relations.chosen_ridge(odds, inputs, labels, seed=0)
    assert np.isfinite(penalty)
    assert weights[1, 0] > 1 > abs(weights[1, 2])
    assert not weights.diagonal().any()
    assert relations.cross_entropy(odds + inputs @ weights.T, labels) < 0.9 * relations.cross_entropy(odds, labels)
    assert not relations.ridge(odds, inputs, labels, np.inf).any()


def test_ridge_learns_nothing_of_unknown_labels(planted: tuple[np.ndarray, ...]) -> None:
    odds, p, labels = planted
    hidden = labels.copy()
    hidden[::3] = UNKNOWN
    known = np.arange(len(labels)) % 3 != 0
    found = relations.ridge(odds, p, hidden, 10.0)
    np.testing.assert_allclose(found, relations.ridge(odds[known], p[known], labels[known], 10.0), atol=1e-9)


def test_the_weight_of_a_graph_is_zero_where_it_misleads(planted: tuple[np.ndarray, ...]) -> None:
    odds, _, labels = planted
    towards = np.where(labels == PRESENT, 1.0, -1.0)
    assert relations.graph_weight(odds, towards, labels) > 1
    assert relations.graph_weight(odds, -towards, labels) == 0


def test_intervals_are_those_of_the_t_test() -> None:
    values = [0.5, 1.5, -0.25, 2.0]
    assert trial.interval(values) == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval(0.95)))
    assert trial.shown(values) == "+0.94 (−0.67 to +2.54)"
    assert trial.shown([0.5]) == "+0.50"


def rows_of(gain: dict[str, float], kind: str) -> list[dict[str, str]]:
    rows = []
    for world, points in gain.items():
        for seed in range(3):
            place = {"world": world, "observed": "0.1", "seed": str(seed)}
            for name, score in (("anchored", 60.0), (kind, 60.0 + points + seed / 100)):
                rows.append(place | {"kind": name, "mean_ap": str(score)})
    return rows


@pytest.mark.parametrize(
    ("gain", "passes"),
    [
        ({"crowded": 0.8, "strangers": 0.0}, True),
        ({"crowded": 0.4, "strangers": 0.0}, False),
        ({"crowded": 0.8, "strangers": -0.4}, False),
        ({"crowded": 3.0, "grainy": -0.2, "strangers": 0.0}, False),  # the interval holds 0
    ],
)
def test_the_rule_of_relations(gain: dict[str, float], passes: bool) -> None:
    said = relations.verdict(rows_of(gain, "ridge"), "ridge")
    assert said.endswith("passes" if passes else "does not pass")


@pytest.mark.parametrize(("gains", "passes"), [((1.5, 2.0), True), ((0.5, 0.6), False), ((0.1, 4.0), False)])
def test_the_rule_of_the_tower(gains: tuple[float, float], passes: bool) -> None:
    rows = []
    for seed in range(2):
        for tower, points in zip(tower_tuning.TOWERS, gains, strict=True):
            for observed, more in (("0.1", points), ("0.5", 9.0)):  # only a tenth of the labels counts
                place = {"world": "scenes", "observed": observed, "seed": str(seed), "tower": tower}
                scores = (("frozen", 60.0), ("0.003:1", 60.0 + more))
                rows += [place | {"setting": name, "mean_ap": str(score)} for name, score in scores]
    said = tower_tuning.verdict(rows, "0.003:1")
    assert said.endswith(": passes" if passes else ": does not pass")


def test_cells_are_continued(tmp_path: Path) -> None:
    asked = argparse.Namespace(worlds="scenes", observed="0.1", seeds=1, images=2, cells=tmp_path / "cells.csv")
    loaded: list[str] = []

    def load(name: str, images: int) -> int:
        loaded.append(name)
        return images

    def cells(world: int, share: str, seed: int) -> list[dict[str, object]]:
        return [{"score": world * float(share) + seed}]

    assert [row["score"] for row in trial.measured(asked, load, cells)] == ["0.2"]
    asked.seeds = 2
    assert [row["score"] for row in trial.measured(asked, load, cells)] == ["0.2", "1.2"]
    assert [row["score"] for row in trial.measured(asked, load, cells)] == ["0.2", "1.2"]
    assert loaded == ["scenes", "scenes"]


def test_the_best_cost_is_bold() -> None:
    place = {"world": "scenes", "observed": "0.1", "seed": "0", "method": "anchored", "loss": "asymmetric"}
    rows = [
        place | {"unknown": name, "mean_ap": score, "log_loss": "0.25"} for name, score in (("a", "60"), ("b", "61"))
    ]
    table = unknown_costs.table(rows, "scenes")
    assert "| **61.0** |" in table
    assert "| 60.0 |" in table


@pytest.mark.parametrize("tower", tower_tuning.TOWERS)
def test_a_low_rank_change_begins_at_the_tower_itself_and_learns(tower: str) -> None:
    backbone, recipe = load_backbone(tower), load_recipe("default", "anchored", prior_strength=100.0, epochs=1)
    tail = tower_tuning.Tail(backbone.image_tower())
    images = torch.randn(24, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        below = tail.below(images)
    before = tower_tuning.regions(tail, below)
    torch.testing.assert_close(before, backbone.encode_image(images).float(), rtol=1e-4, atol=1e-4)
    labels = np.tile(np.array([PRESENT, ABSENT], dtype=np.int8), (24, 1))
    recognizer = create_recognizer("anchored", backbone, ["tree", "house"], **recipe.start_options())
    prior = begin_run(recognizer, InMemoryRegions(before), labels, recipe).run.prior
    names = {name for name, _ in tail.named_parameters()}
    tower_tuning.tune(tail, below, recognizer, prior, labels, rate=0.0, pull=1.0, seed=0)
    torch.testing.assert_close(tower_tuning.regions(tail, below), before)
    again = tower_tuning.Tail(backbone.image_tower())
    fixed = {name: tensor.clone() for name, tensor in again.named_parameters()}
    tower_tuning.tune(again, below, recognizer, prior, labels, rate=0.01, pull=1.0, seed=0)
    assert (tower_tuning.regions(again, below) - before).abs().max() > 1e-3
    kept = {name: tensor for name, tensor in again.named_parameters() if name in names}
    assert kept
    assert all(torch.equal(tensor, fixed[name]) for name, tensor in kept.items())
