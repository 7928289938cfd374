"""What `promptmlr inspect` says of missing labels, on labels that are missing in ways we choose."""

import shlex

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare, poisson

from promptmlr.advice.inspection.association import between_groups, cochran_q, likelihood_ratio, v_of_shares
from promptmlr.advice.inspection.labels import JointCounts
from promptmlr.advice.inspection.missingness import Missingness, missingness
from promptmlr.advice.inspection.missingness_outputs import MissingLabels
from promptmlr.advice.inspection.training_options import training_command
from promptmlr.cli import app
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels, Observation, hide
from promptmlr.report.findings import as_text

NAMES = tuple("abcdefgh")


def truth(rng: np.random.Generator, images: int = 400, classes: int = 8) -> Labels:
    """(N, C) complete labels; images differ in how much they show, so classes go together."""
    busy = 0.5 + rng.random((images, 1))
    return (rng.random((images, classes)) < rng.uniform(0.1, 0.4, classes) * busy).astype(np.int8)


def uniform(rng: np.random.Generator, labels: Labels) -> Labels:
    return hide(labels, rng.random(labels.shape) < 0.4)


def by_class(rng: np.random.Generator, labels: Labels) -> Labels:
    return hide(labels, rng.random(labels.shape) < np.linspace(0.25, 0.55, labels.shape[1]))


def by_image(rng: np.random.Generator, labels: Labels) -> Labels:
    return hide(labels, rng.random(labels.shape) < rng.choice([0.2, 0.6], (len(labels), 1)))


def by_label(rng: np.random.Generator, labels: Labels) -> Labels:
    """`b` is known more often where `a` is present, and the others anyhow."""
    shares = np.full(labels.shape, 0.5)
    shares[:, 1] = np.where(labels[:, 0] == PRESENT, 0.8, 0.4)
    return hide(labels, rng.random(labels.shape) < shares)


def by_itself(rng: np.random.Generator, labels: Labels) -> Labels:
    return hide(labels, rng.random(labels.shape) < np.where(labels == PRESENT, 0.6, 0.3))


def asked(parts: dict[str | None, Labels]) -> Missingness:
    trained = next(iter(parts))
    return missingness(parts, trained, JointCounts.of(parts[trained]))


def found(parts: dict[str | None, Labels]) -> set[str]:
    return {one.on for one in asked(parts).dependences if one.found}


def said(parts: dict[str | None, Labels]) -> str:
    missing = asked(parts)
    names = [f"class-{column}" for column in range(len(missing.trained.known))]
    return as_text(MissingLabels(missing, names, training_command(missing, "d.csv", [])).findings())


def options(parts: dict[str | None, Labels]) -> list[str]:
    words = shlex.split(training_command(asked(parts), "d.csv", []).command)
    return words[words.index("runs/d") + 1 :]


def test_v_is_that_of_pearson_with_bergsmas_correction() -> None:
    yes, of = np.array([20, 35, 5]), np.array([50, 60, 40])
    table = np.stack([yes, of - yes])
    n, (rows, columns) = of.sum(), table.shape
    phi = chi2_contingency(table, correction=False).statistic / n - (rows - 1) * (columns - 1) / (n - 1)
    corrected = min(size - (size - 1) ** 2 / (n - 1) for size in (rows, columns))
    assert v_of_shares(yes, of) == pytest.approx(np.sqrt(phi / (corrected - 1)))
    assert v_of_shares(np.array([50, 0]), np.array([50, 50])) == 1
    assert v_of_shares(np.array([5, 5, 0]), np.array([50, 50, 0])) == 0  # an empty group is none


def test_q_is_exact_in_mean_and_spread_and_that_of_chi_square_where_rows_have_one() -> None:
    ones = np.array([30, 10, 20, 40])  # of 100 rows with one each
    assert cochran_q(ones, np.ones(100, dtype=np.int64)) == pytest.approx(chisquare(ones).pvalue, rel=0.1)
    rng = np.random.default_rng(0)
    sparse = [rng.permuted(np.tile([1, 1] + [0] * 60, (12, 1)), axis=1) for _ in range(1_000)]
    p_values = [cochran_q(one.sum(axis=0), one.sum(axis=1)) for one in sparse]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert cochran_q(np.array([3, 3]), np.array([2, 2, 2])) == 1  # nothing could be otherwise


def test_the_likelihood_ratio_is_right_in_the_tail_where_pearson_is_not() -> None:
    table = np.array([[17, 49_983], [50, 499_950]])  # 5 expected instead of 17, nearly
    exact = poisson.sf(16, 67 * 50_000 / 550_000)
    assert likelihood_ratio(table) / 2 == pytest.approx(exact, rel=1)
    assert chi2_contingency(table, correction=False).pvalue / 2 < exact / 20
    assert likelihood_ratio(np.array([[10, 20], [20, 40]])) == pytest.approx(1)


def test_group_means_against_permutations() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat([0, 1, 2], [30, 40, 50])
    scores = rng.random(120) + 0.05 * groups

    def spread(values: np.ndarray) -> float:
        return sum(values[groups == g].sum() ** 2 / (groups == g).sum() for g in range(3))

    beyond = np.mean([spread(rng.permutation(scores)) >= spread(scores) for _ in range(4_000)])
    assert 0.02 < beyond < 0.5
    assert between_groups(scores, groups) == pytest.approx(beyond, abs=0.02)
    assert between_groups(np.ones(120), groups) == 1


@pytest.mark.parametrize(
    ("way", "on", "follows"),
    [
        (by_class, "class", set()),
        (by_image, "image", set()),
        (by_label, "other labels", {"class", "image"}),  # for one class is known more often, where images show another
    ],
    ids=["class", "image", "label"],
)
def test_what_being_known_depends_on_is_found(way, on: str, follows: set[str]) -> None:
    hits = [found({None: way(rng, truth(rng, 600))}) for rng in map(np.random.default_rng, range(40))]
    assert sum(on in one for one in hits) >= 38
    assert sum(bool(one - {on} - follows) for one in hits) <= 6  # 2 expected


def test_the_pair_is_named() -> None:
    rng = np.random.default_rng(5)
    first = asked({None: by_label(rng, truth(rng))}).dependent_pairs[0]
    assert (first.known, first.given) == (1, 0)
    assert (first.if_present, first.if_absent) == (pytest.approx(0.8, abs=0.1), pytest.approx(0.4, abs=0.1))


def test_splits_that_differ_are_found() -> None:
    hits = []
    for rng in map(np.random.default_rng, range(40)):
        labels = truth(rng)
        train, test = labels[::2], labels[1::2]
        hits.append(found({"train": uniform(rng, train), "test": hide(test, rng.random(test.shape) < 0.5)}))
    assert sum("split" in one for one in hits) >= 38
    assert sum(bool(one - {"split"}) for one in hits) <= 6


def test_one_class_that_is_known_in_one_split_alone_is_named() -> None:
    rng = np.random.default_rng(0)
    test = uniform(rng, truth(rng))
    test[:, 3] = UNKNOWN
    test[:, 4:] = hide(truth(rng)[:, 4:], rng.random((400, 4)) < 0.5)  # so that there are as many in all
    (split,) = (
        one for one in asked({"train": uniform(rng, truth(rng)), "test": test}).dependences if one.on == "split"
    )
    assert split.found
    assert split.column == 3


def test_what_depends_on_the_label_itself_shows_only_beside_another_split() -> None:
    hits = []
    for rng in map(np.random.default_rng, range(40)):
        labels = truth(rng)
        train = by_itself(rng, labels[::2])
        assert "label itself" not in {one.on for one in asked({None: train}).dependences}
        hits.append(found({"train": train, "test": labels[1::2]}))
    assert sum("label itself" in one for one in hits) >= 38


@pytest.mark.parametrize(("images", "classes", "share"), [(60, 6, 0.1), (60, 6, 0.6), (100, 60, 0.3), (300, 20, 0.1)])
def test_nothing_is_found_where_labels_are_missing_completely_at_random(
    images: int, classes: int, share: float
) -> None:
    loud = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, images, classes])
        labels = truth(rng, images, classes)
        labels = hide(labels, rng.random(labels.shape) < share)
        loud += bool(found({"train": labels[::2], "test": labels[1::2]}))
    assert loud <= 11  # 5 expected, for all questions together


def test_kinds_are_recognised_by_name() -> None:
    rng = np.random.default_rng(0)
    labels = truth(rng)
    labels[labels.sum(axis=1) == 0, 0] = PRESENT
    seen = {
        name: hide(labels, Observation.parse(name).keep(labels, 0))
        for name in ("single-positive", "positive-only:0.5", "positive-only:0.02", "0.3")
    }
    few = labels[:6].copy()
    few[:] = UNKNOWN
    few[0, 0] = few[1, 1] = PRESENT  # two ticks on six images say little of one per image
    kinds = {name: asked({None: part}).trained.kind for name, part in seen.items()}
    assert kinds == {
        "single-positive": "single positive",
        "positive-only:0.5": "positive-only",
        "positive-only:0.02": "positive-only",
        "0.3": "partial",
    }
    assert asked({None: few}).trained.kind == "positive-only"
    assert asked({None: labels}).trained.kind == "complete"
    assert asked({None: np.eye(8, dtype=np.int8)}).trained.kind == "one label each"
    assert asked({None: np.full((5, 2), UNKNOWN, dtype=np.int8)}).trained.kind == "nothing known"


def test_what_is_said_names_the_kind_and_its_limits() -> None:
    rng = np.random.default_rng(0)
    labels = truth(rng)
    assert "none is missing" in said({None: labels})
    assert "Cole et al., 2021" in said({None: hide(labels, Observation("single-positive").keep(labels, 0))})
    assert "positive-unlabelled" in said({None: hide(labels, Observation("positive-only", 0.5).keep(labels, 0))})
    ways = (uniform, by_class, by_image, by_label)
    random, classes, images, others = (said({None: way(rng, truth(rng, 600))}).replace("\n", " ") for way in ways)
    assert "may be missing completely at random (MCAR): nothing here speaks against it" in random
    assert "(MCAR), each class at a rate of its own: nothing" in classes
    assert "(MCAR), if it was chance which images have more of them: nothing" in images
    assert "not missing completely at random (MCAR): being known depends on other labels" in others
    for text in (random, classes, images, others):
        assert "known labels cannot tell" in text
    beside = said({"train": by_itself(rng, labels[::2]), "test": labels[1::2]}).replace("\n", " ")
    assert "being known depends on the label itself (missing not at random, MNAR): these labels cannot tell" in beside
    assert "nothing here speaks against it" not in beside
    halved = labels.copy()
    halved[:, 2] = np.where(halved[:, 2] == ABSENT, UNKNOWN, halved[:, 2])
    halved[:, 5] = ABSENT
    text = said({"train": halved, "test": labels})
    assert "never known to be absent in train: 1 of 8 classes: class-2" in text
    assert "never known to be present in train: 1 of 8 classes: class-5" in text
    assert "Positive-only classes: 1;" in text


def test_the_options_that_follow() -> None:
    rng = np.random.default_rng(0)
    labels = truth(rng)
    ticks = hide(labels, Observation("positive-only", 0.5).keep(labels, 0))
    some = uniform(rng, labels)
    some[:, 0] = ticks[:, 0]
    assert options({None: labels}) == []
    assert options({None: uniform(rng, labels)}) == ["--unknown", "ignore"]
    assert options({None: ticks}) == ["--unknown", "hill"]
    assert options({None: some}) == ["--unknown", "auto"]
    share = f"{(labels == PRESENT).mean():.2g}"
    assert options({"train": ticks, "test": labels}) == ["--unknown", "hill", "--share", share]
    assert options({"train": by_itself(rng, labels), "test": labels}) == ["--unknown", "ignore", "--share", share]
    assert options({"train": uniform(rng, labels), "test": labels}) == ["--unknown", "ignore"]


def test_the_command_is_one_that_train_reads() -> None:
    rng = np.random.default_rng(0)
    labels = truth(rng)
    missing = asked({None: hide(labels, Observation("positive-only", 0.5).keep(labels, 0))})
    words = shlex.split(training_command(missing, "my labels.csv", ["--unlisted", "unknown"]).command)
    assert words[:3] == ["promptmlr", "train", "my labels.csv"]
    _, bound, _ = app.parse_args(words[1:])
    assert bound.arguments["reading"].unlisted == "unknown"
    assert bound.arguments["recipe"].unknown == "hill"


def test_absent_labels_alone_have_a_word() -> None:
    labels = np.full((30, 3), UNKNOWN, dtype=np.int8)
    labels[::2] = ABSENT
    assert "absent-only" in said({None: labels})
    assert options({None: labels}) == ["--unknown", "ignore"]
    labels[0, 0] = PRESENT
    assert "absent-only" not in said({None: labels})
