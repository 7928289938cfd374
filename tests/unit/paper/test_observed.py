"""Places of a grid by what training sees: kept, shown, drawn and asked for in the same words."""

import numpy as np
import pytest

from promptmlr.labels import Observation
from promptmlr.paper.grid.figure import scores_figure
from promptmlr.paper.grid.observed import as_asked, column, in_words, kind_of, observation_of, observed_as
from promptmlr.paper.grid.plan import Grid, with_zero_shot
from promptmlr.paper.grid.results import GridResults

FRACTIONS, NUMBERS = [0.1, 1.0], ["150 labels", "4000 labels"]
PROTOCOLS = [0.1, "single-positive", "positive-only:0.3"]


@pytest.mark.parametrize("observed", [*FRACTIONS, *NUMBERS, *PROTOCOLS])
def test_what_is_kept_is_the_protocol_again(observed) -> None:
    assert observed_as(observation_of(observed)) == observed
    assert observed_as(str(observed)) == observed


def test_fractions_stay_numbers_and_all_else_is_a_name() -> None:
    found = [observed_as(Observation("fraction", 1)), observed_as("1"), observed_as(Observation("labels", 1))]
    assert [repr(one) for one in found] == ["1.0", "1.0", "'1 label'"]


@pytest.mark.parametrize(
    ("observed", "kind", "columns", "asked"),
    [
        (FRACTIONS, "fraction", ["10 %", "100 %"], "--observed 0.1,1"),
        (NUMBERS, "number", ["150 labels", "4,000 labels"], "--labels 150,4000"),
        (PROTOCOLS, "protocol", ["10 %", *PROTOCOLS[1:]], "--observed 0.1,single-positive,positive-only:0.3"),
        (["single-positive"], "protocol", ["single-positive"], "--observed single-positive"),
    ],
)
def test_words_of_a_table(observed, kind: str, columns: list[str], asked: str) -> None:
    assert kind_of(observed) == kind
    assert [column(one) for one in observed] == columns
    assert as_asked(observed) == asked
    assert column(None) == "mean"


def test_every_protocol_but_fractions_is_explained_once() -> None:
    assert in_words(FRACTIONS) == []
    assert len(in_words(NUMBERS)) == 1
    assert [line.split(":")[0] for line in in_words(PROTOCOLS)] == ["single-positive", "positive-only"]


@pytest.mark.parametrize(("observed", "scale"), [(FRACTIONS, "linear"), (NUMBERS, "log"), (PROTOCOLS, "linear")])
def test_the_figure_is_drawn_over_what_training_saw(observed, scale: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.4, 0.6, (2, len(observed), 3))
    results = GridResults(["a", "b"], observed, scores, np.repeat(scores[..., None], 50, axis=3), [[1], [1]])
    axes = scores_figure(results, {}).axes[0]
    assert axes.get_xscale() == scale
    means = 100 * scores.mean(axis=2)
    drawn = [line for line in axes.lines if len(line.get_xdata()) == len(observed) and line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in drawn] == [pytest.approx(row) for row in means]
    if observed is NUMBERS:
        assert list(drawn[0].get_xdata()) == [150, 4000]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["150", "4,000"]
    if observed is PROTOCOLS:
        assert all(line.get_linestyle() == "None" for line in drawn)  # nothing lies between them


def test_recipes_of_numbers_are_those_of_their_share() -> None:
    labels = np.tile(np.array([[1, 0, 0, -1]], np.int8), (100, 1))
    half, tenth = "200 labels", "40 labels"
    recipes = Grid(["dualembedding"], [half, tenth, 0.5], 1, 0, "default", {}).recipes(labels)
    assert recipes["dualembedding", half].epochs == recipes["dualembedding", 0.5].epochs == 80
    assert recipes["dualembedding", tenth].epochs == 20


def test_zero_shot_is_always_there_and_once() -> None:
    assert with_zero_shot(["baseline"]) == ["baseline", "zeroshot"]
    assert with_zero_shot(("zeroshot", "baseline")) == ["zeroshot", "baseline"]
