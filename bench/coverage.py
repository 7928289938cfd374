"""How often intervals hold what they are about.

    python bench/coverage.py [map pairs grids holm winner ahead] [--sets 200] [--out FOLDER]

Test sets are drawn from worlds whose true mAP is known, and every interval is computed by the functions that print it.
A 95 % interval should hold the true value in 95 % of the sets; with 200 sets, that is known to about 3 points.

map: the mAP on all images (`population_map`), and today's interval of the test's own mAP for comparison.
pairs: the difference of two recognizers that saw the same images (`paired_difference`).
grids: a difference between methods over 2, 3 and 5 seeds (`GridResults.comparisons`), and how often 3 points are told.
holm: how often a grid of methods that are equal has a verdict at all.
winner: what `--method auto` says of the method that it takes, against what that method is worth.
ahead: what `learning-curve` says of twice and ten times the labels.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from coverage_worlds import WORLDS, World, drawn, noise
from numpy.typing import NDArray
from scipy.optimize import brentq

from promptmlr.advantage import leads
from promptmlr.advice.learning_curve import curve_of
from promptmlr.evaluation import bootstrap_map, evaluate, paired_difference
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.paper.grid.results import GridResults
from promptmlr.report.tables import markdown_table, write_csv

Array = NDArray[np.float64]
RESAMPLES, RESAMPLES_OF_CELLS = 200, 100
SIZES, CLASSES = (100, 300, 1000, 5000), (5, 20)


def of_map(sets: int) -> Iterator[tuple[str, ...]]:
    yield "world", "classes", "images", "population: held", "its width", "its bias", "the test's own: held"
    for (name, make), classes, images in product(WORLDS.items(), CLASSES, SIZES):
        rng, world, found = np.random.default_rng(images), make(classes), []
        names = [str(c) for c in range(classes)]
        for number in range(sets):
            labels, truth = drawn(world, images, rng)
            result = evaluate(world.scores(truth, rng), labels, names, resamples=RESAMPLES, seed=number)
            true = world.true_map((labels == PRESENT).any(axis=0))
            (low, high), (first, last) = result.population_interval, result.mean_ap_interval
            found.append((low <= true <= high, high - low, result.population_map - true, first <= true <= last))
        held, width, bias, own = np.mean(found, axis=0)
        yield name, str(classes), f"{images:,}", _percent(held), _percent(width), f"{100 * bias:+.1f}", _percent(own)


def of_pairs(sets: int) -> Iterator[tuple[str, ...]]:
    yield "world", "classes", "images", "held", "width"
    for (name, make), classes, images in product(WORLDS.items(), CLASSES, SIZES):
        rng, world, found = np.random.default_rng(images), make(classes), []
        for number in range(sets):
            labels, truth = drawn(world, images, rng)
            own, more = (noise(*truth.shape, world.dependent, rng) for _ in range(2))
            means = world.means(truth, rng)
            scores = own + means
            other = np.sqrt(0.7) * own + np.sqrt(0.3) * more + means + (truth == PRESENT) * 0.2
            scored = (labels == PRESENT).any(axis=0)
            true = world.true_map(scored, 0.2) - world.true_map(scored)
            one = paired_difference(other, scores, labels, RESAMPLES, number)
            found.append((one.low <= true <= one.high, one.high - one.low))
        yield name, str(classes), f"{images:,}", *map(_percent, np.mean(found, axis=0))


SPREAD = 0.05  # of a method's distance over seeds: about a point of mAP, as in grids of scenes
METHODS = ("a", "b", "c", "d")
FRACTIONS = (0.1, 0.3, 0.5)
GRIDS = (("as the others", 1.0, 0.81), ("varies 3 times as much", 3.0, 0.81), ("as the others", 1.0, 0.95))
"""How the last method varies over seeds, in words and times the others, and how scores of two methods correlate within
a class."""


def grid(
    world: World,
    images: int,
    seeds: int,
    more: Array,
    rng: np.random.Generator,
    restless: float = 1.0,
    alike: float = 0.81,
) -> GridResults:
    """A grid whose methods differ by (M,) `more` in distance; masks are common to them, and so is most of the noise.

    Over seeds, the last method varies `restless` times as much as the others.
    """
    labels, truth = drawn(world, images, rng)
    shared = world.scores(truth, rng)
    shape = (len(more), len(FRACTIONS), seeds)
    scores, resampled = np.empty(shape), np.empty((*shape, RESAMPLES_OF_CELLS))
    spreads = SPREAD * np.array([*[1.0] * (len(more) - 1), restless])
    masks = SPREAD * rng.standard_normal((len(FRACTIONS), seeds))
    names = [str(c) for c in range(world.classes)]
    for method, fraction, seed in np.ndindex(shape):
        off = more[method] + masks[fraction, seed] + spreads[method] * rng.standard_normal()
        own = _like(world, shared, truth, off, rng, alike)
        scores[method, fraction, seed] = evaluate(own, labels, names, resamples=0).mean_ap
        resampled[method, fraction, seed] = bootstrap_map(own, labels, RESAMPLES_OF_CELLS, 0)
    return GridResults(METHODS, FRACTIONS, scores, resampled, [[1] * len(FRACTIONS)] * len(METHODS))


def of_grids(sets: int) -> Iterator[tuple[str, ...]]:
    yield (
        "last method",
        "scores correlate",
        "seeds",
        "images",
        "held",
        "held, last method",
        "width",
        "3 points decided",
        "mean over fractions",
    )
    world = World(20, 1.5)
    every = np.ones(world.classes, bool)
    apart = _distance_of(world, 0.03)
    better = world.true_map(every, apart) - world.true_map(every)
    for (said, restless, alike), seeds, images in product(GRIDS, (2, 3, 5), (300, 1000)):
        rng, held, last, width, single, overall = np.random.default_rng(seeds), [], [], [], [], []
        for _ in range(sets):
            drawn_grid = grid(world, images, seeds, np.array([0.0, apart, 0.0, 0.0]), rng, restless, alike)
            for one in drawn_grid.comparisons("a"):
                true = better if one.method == "b" else 0.0
                (last if one.method == "d" else held).append(one.estimate.low <= true <= one.estimate.high)
                width.append(one.estimate.high - one.estimate.low)
                if one.method == "b":
                    (overall if one.observed is None else single).append(one.verdict == "higher")
        parts = held, last, width, single, overall
        yield said, f"{alike}", str(seeds), f"{images:,}", *(_percent(float(np.mean(part))) for part in parts)


def of_holm(sets: int) -> Iterator[tuple[str, ...]]:
    yield "seeds", "images", "grids with a verdict, of methods that are equal"
    for seeds, images in product((1, 2, 3, 5), (300, 1000)):
        rng = np.random.default_rng(seeds)
        wrong = [
            any(
                one.verdict in ("higher", "lower")
                for one in grid(World(20, 1.5), images, seeds, np.zeros(len(METHODS)), rng).comparisons("a")
            )
            for _ in range(sets)
        ]
        yield str(seeds), f"{images:,}", _percent(float(np.mean(wrong)))


def of_winner(sets: int) -> Iterator[tuple[str, ...]]:
    yield "methods differ by", "images", "true lead", "lead that was seen", "lead that is said", "its interval held"
    world, every = World(10, 1.5), np.ones(10, bool)
    names = [str(c) for c in range(world.classes)]
    for points, images in product((0.0, 0.01, 0.03), (100, 300, 1000)):
        rng, found = np.random.default_rng(images), []
        more = _distance_of(world, points) * np.linspace(0, 1, len(METHODS))
        true = [world.true_map(every, one) for one in more]
        for number in range(sets):
            labels, truth = drawn(world, images, rng)
            shared = world.scores(truth, rng)
            each = [_like(world, shared, truth, float(one), rng) for one in more]
            scores = [evaluate(one, labels, names, resamples=0).mean_ap for one in each]
            best, *others = np.argsort(scores)[::-1]
            said = leads([each[one] for one in (best, *others)], labels, RESAMPLES, number)
            for other, lead in zip(others, said[1:], strict=True):
                seen, worth = scores[best] - scores[other], true[best] - true[other]
                found.append((worth, seen, lead.mean, lead.low <= worth <= lead.high))
        worth, seen, fair, held = np.mean(found, axis=0)
        yield _percent(points), f"{images:,}", *(f"{100 * one:+.1f}" for one in (worth, seen, fair)), _percent(held)


SHARES = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
LABELS = 2000  # all of them


def _power(share: float) -> float:
    """By how much scores are worse with a share of the labels: error falls as a power of their number."""
    return 0.8 - 0.55 * share**-0.3


def _levelling(share: float) -> float:
    """The same where hardly anything is gained past the labels there are."""
    return 0.9 * share / (share + 0.15) - 0.75


CURVES = {"a power of the labels": _power, "levels off sooner": _levelling}


def of_ahead(sets: int) -> Iterator[tuple[str, ...]]:
    yield "scores follow", "images", "twice: held", "its width", "ten times: held", "width of that", "back-test: held"
    world, seeds, counts = World(20, 1.5), 3, np.round(LABELS * np.array(SHARES)).astype(int)
    for (name, worse), images in product(CURVES.items(), (300, 1000)):
        rng, found, later = np.random.default_rng(images), [], []
        names = [str(c) for c in range(world.classes)]
        for _ in range(sets):
            labels, truth = drawn(world, images, rng)
            shared = world.scores(truth, rng)
            all_shares = (*SHARES, 2.0, 10.0)
            scores = np.empty((len(all_shares), seeds))
            resampled = np.empty((len(all_shares), seeds, RESAMPLES))
            for place, seed in np.ndindex(scores.shape):
                off = worse(all_shares[place]) + SPREAD * rng.standard_normal()
                own = _like(world, shared, truth, off, rng)
                scores[place, seed] = evaluate(own, labels, names, resamples=0).mean_ap
                resampled[place, seed] = bootstrap_map(own, labels, RESAMPLES, 0)
            curve = curve_of(SHARES, counts, scores[:-2], resampled[:-2], int((labels != UNKNOWN).sum()))
            found.append([*curve.ahead, curve.backtest])
            later.append([*scores[-2:].mean(axis=1), scores[-3].mean()])
        true = np.mean(later, axis=0)  # expected of a test of this size
        held = np.mean([[one.low <= t <= one.high for one, t in zip(row, true, strict=True)] for row in found], axis=0)
        wide = np.mean([[one.high - one.low for one in row] for row in found], axis=0)
        yield name, f"{images:,}", *map(_percent, (held[0], wide[0], held[1], wide[1], held[2]))


def _like(
    world: World,
    shared: Array,
    truth: NDArray[np.int8],
    more: float,
    rng: np.random.Generator,
    alike: float = 0.81,
) -> Array:
    """Scores of another recognizer on the same images; two of them correlate by `alike`, as they share `shared`."""
    part = np.sqrt(alike)
    own = part * shared + np.sqrt(1 - alike) * noise(*truth.shape, world.dependent, rng)
    return own + (truth == PRESENT) * ((1 - part) * world.distances + more)


def _distance_of(world: World, points: float) -> float:
    """How much larger a distance has to be for so much more mAP."""
    every = np.ones(world.classes, bool)
    none = world.true_map(every)
    return float(brentq(lambda more: world.true_map(every, more) - none - points, 0, 2))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


TABLES: dict[str, Callable[[int], Iterator[tuple[str, ...]]]] = {
    "map": of_map,
    "pairs": of_pairs,
    "grids": of_grids,
    "holm": of_holm,
    "winner": of_winner,
    "ahead": of_ahead,
}

WORDS = {"map": 1, "pairs": 1, "grids": 1, "ahead": 1}  # columns before the numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--out", type=Path, help="folder for a CSV of each table")
    asked = parser.parse_args()
    for name in asked.tables:
        rows = []
        for row in TABLES[name](asked.sets):
            rows.append(row)
            print(*row, sep="  ", flush=True)
        print(f"\n{name}: {asked.sets} test sets a row, in percent or points\n")
        print(markdown_table(rows[0], rows[1:], WORDS.get(name, 0)), flush=True)
        if asked.out:
            write_csv(asked.out / f"{name}.csv", rows[0], (dict(zip(rows[0], row, strict=True)) for row in rows[1:]))


if __name__ == "__main__":
    main()
