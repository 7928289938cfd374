"""How labels go missing in life: each pattern of `--observed` keeps what it promises."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from patterns import comparison, parameters, read_lvis
from PIL import Image

from promptmlr.data import DataOptions, load_data
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels, Observation, hide
from promptmlr.labels.patterns import PATTERNS, Sizes, Truth, propensities
from promptmlr.labels.patterns.federated import FITTED
from promptmlr.labels.patterns.report import COUNTED, MENTIONED, absent_mentions
from support import require_shared
from test_readme import ROOT

ALL = pytest.mark.parametrize("name", PATTERNS)


def world(images: int = 3000, classes: int = 14, unknown: float = 0.0) -> tuple[Labels, Sizes]:
    """Labels of classes that are present in 5 to 40 % of the images, and the sizes of their objects."""
    rng = np.random.default_rng(5)
    labels = (rng.random((images, classes)) < np.linspace(0.05, 0.4, classes)).astype(np.int8)
    labels[rng.random(labels.shape) < unknown] = UNKNOWN
    return labels, np.where(labels == PRESENT, rng.uniform(0.01, 0.2, labels.shape), 0.0)


def seen(name: str, share: float, seed: int = 0, **of: float) -> tuple[Labels, Labels, Sizes]:
    """The truth, what is left of it, and the sizes."""
    labels, sizes = world(**of)
    return labels, hide(labels, Observation(name, share).keep(labels, seed, sizes)), sizes


@ALL
@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_the_asked_share_of_the_known_labels_is_kept(name: str, share: float) -> None:
    labels, left, _ = seen(name, share, unknown=0.2)
    known = int((labels != UNKNOWN).sum())
    assert (left != UNKNOWN).sum() == pytest.approx(share * known, abs=5 * (share * known) ** 0.5)
    assert Observation(name, share).share(labels) == pytest.approx(share * known / labels.size)
    assert (left[left != UNKNOWN] == labels[left != UNKNOWN]).all()


@ALL
def test_a_larger_share_keeps_all_of_a_smaller_one(name: str) -> None:
    few, more = (seen(name, share)[1] != UNKNOWN for share in (0.05, 0.3))
    assert not (few & ~more).any()
    assert (seen(name, 0.05)[1] == seen(name, 0.05)[1]).all()
    assert (seen(name, 0.05, seed=1)[1] != seen(name, 0.05)[1]).any()


@ALL
def test_a_pattern_is_not_a_random_choice(name: str) -> None:
    """Its propensities differ from cell to cell."""
    labels, sizes = world()
    rates = PATTERNS[name].rates(Truth(labels, sizes), np.random.default_rng(0))
    assert rates.shape == labels.shape
    assert (rates >= 0).all()
    found = propensities(rates, labels != UNKNOWN, 0.1)
    assert found.mean() == pytest.approx(0.1, rel=1e-6)
    assert found.std() > 0.01


def test_propensities_follow_from_rates_by_one_effort() -> None:
    rates = np.array([[0.0, 1.0], [2.0, 7.0]])
    found = propensities(rates, np.array([[True, True], [True, False]]), 0.4)
    effort = -np.log1p(-found[0, 1])
    assert found[1, 0] == pytest.approx(1 - np.exp(-2 * effort))
    assert found[:, 0].sum() + found[0, 1] == pytest.approx(3 * 0.4)
    assert found[0, 0] == found[1, 1] == 0  # nobody labels the first, and the last is unknown


def test_federated_verifies_as_many_absent_labels_as_lvis_for_each_present_one() -> None:
    labels, left, _ = seen("federated", 0.01, images=20_000)
    present, absent = (left == PRESENT).sum(axis=0), (left == ABSENT).sum(axis=0)
    assert absent.sum() / present.sum() == pytest.approx(FITTED["absent_per_present"], rel=0.1)
    spotted = present / (labels == PRESENT).sum(axis=0)
    np.testing.assert_allclose(spotted, spotted.mean(), atol=5 * (spotted.mean() / 1000) ** 0.5)
    verified = [
        (seen("federated", 0.02, seed, classes=40)[1] == ABSENT).sum(axis=0) for seed in range(6)
    ]  # by class, whether it is rare or not
    assert np.std(verified) / np.mean(verified) == pytest.approx(FITTED["class_spread"], rel=0.2)
    assert abs(np.corrcoef(np.mean(verified, axis=0), np.arange(40))[0, 1]) < 0.6


def test_reports_mention_presence_alike_and_absence_by_class_as_chexpert() -> None:
    """At the share that was assumed to be mentioned, the counts of its labels come out."""
    habits, effort = absent_mentions(), -np.log1p(-MENTIONED)
    for rate, counts in zip(habits, COUNTED["classes"].values(), strict=True):
        absent = COUNTED["images"] - counts["present"] / MENTIONED
        assert absent * -np.expm1(-effort * rate) == pytest.approx(counts["absent"])
    labels, left, _ = seen("report", 0.2)
    without_absent = (left == ABSENT).sum(axis=0) == 0
    assert without_absent.sum() == sum(counts["absent"] == 0 for counts in COUNTED["classes"].values()) == 1
    mentioned = (left == PRESENT).sum(axis=0) / (labels == PRESENT).sum(axis=0)
    np.testing.assert_allclose(mentioned, mentioned.mean(), atol=0.15)
    assert mentioned.mean() > 4 * (left == ABSENT).sum() / (labels == ABSENT).sum()
    assert (left == PRESENT).sum() > (left == ABSENT).sum()


def test_the_counts_of_chexpert_are_those_of_all_its_images() -> None:
    counts = COUNTED["classes"].values()
    assert {sum(one.values()) for one in counts} == {COUNTED["images"]}
    blank = np.array([one["blank"] for one in counts]) / COUNTED["images"]
    assert [round(100 * share, 1) for share in (blank.mean(), blank.min(), blank.max())] == [72.8, 40.4, 97.1]


def test_salient_objects_are_the_large_ones_of_their_image() -> None:
    labels, left, sizes = seen("salient", 0.1, images=8000)
    present = labels == PRESENT
    covered = sizes / np.maximum(sizes.sum(axis=1, keepdims=True), 1e-9)
    shares = [(left[present & (low <= covered) & (covered < high)] != UNKNOWN).mean() for low, high in EDGES]
    assert shares == sorted(shares)
    assert shares[-1] > 4 * shares[0]
    kept = [(left[labels == kind] != UNKNOWN).mean() for kind in (PRESENT, ABSENT)]
    assert kept[0] == pytest.approx(kept[1], rel=0.1)  # by size, and not by presence


EDGES = [(0.0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1.01)]


def test_ten_annotators_differ_in_diligence_classes_and_absence() -> None:
    labels, sizes = world()
    rates = PATTERNS["annotators"].rates(Truth(labels, sizes), np.random.default_rng(0))
    by_class = [np.unique(rates[labels[:, column] == ABSENT, column]) for column in range(labels.shape[1])]
    assert {len(found) for found in by_class} == {10}  # the rate of each of them
    assert max(found[-1] / found[0] for found in by_class) > 10
    known = (seen("annotators", 0.3)[1] != UNKNOWN).mean(axis=1)
    assert known.std() > 1.2 * (0.3 * 0.7 / labels.shape[1]) ** 0.5  # of images: more than by chance


def test_an_annotator_notes_absence_no_more_often_than_presence() -> None:
    labels, left, _ = seen("annotators", 0.1)
    kept = [(left[labels == kind] != UNKNOWN).mean() for kind in (PRESENT, ABSENT)]
    assert kept[0] > 1.5 * kept[1]


def test_candidates_are_the_classes_that_go_with_the_others_of_the_image() -> None:
    rng = np.random.default_rng(0)
    sea = rng.random(6000) < 0.5
    labels = (rng.random((6000, 4)) < np.where(sea[:, None], [0.6, 0.6, 0.1, 0.1], [0.1, 0.1, 0.6, 0.6])).astype(
        np.int8
    )
    left = hide(labels, Observation("candidates", 0.2).keep(labels, 0))
    with_sea, without = (
        [(left[(labels[:, 0] == there) & (labels[:, 1] == kind), 1] != UNKNOWN).mean() for kind in (PRESENT, ABSENT)]
        for there in (PRESENT, ABSENT)
    )
    assert min(with_sea) > 1.2 * max(without)  # boats are asked about where there are fish, and found or not


def test_what_nobody_labels_cannot_be_asked_for() -> None:
    labels = np.tile(np.eye(14, dtype=np.int8), (20, 1))  # of 14 classes, one has no absent label in reports
    assert Observation("report", 0.93).keep(labels, 0).mean() == pytest.approx(0.93, abs=0.02)
    with pytest.raises(UserError, match=r"^report:0\.94: nobody labels the other 6\.6% of the known labels, so 94\.0%"):
        Observation("report", 0.94).keep(labels, 0)


@pytest.mark.parametrize("labels", [np.zeros((5, 3)), np.full((5, 3), UNKNOWN), np.zeros((0, 3))])
@ALL
def test_labels_of_one_kind_or_none_are_no_crash(name: str, labels: np.ndarray) -> None:
    labels = labels.astype(np.int8)
    try:
        kept = Observation(name, 0.1).keep(labels, 0, np.zeros(labels.shape))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
    else:
        assert not kept[labels == UNKNOWN].any()


def test_scenes_say_how_large_their_objects_are_and_tables_do_not(tmp_path: Path) -> None:
    scenes = load_data("scenes", options=DataOptions(scenes_train=1000))
    salient = Observation.parse("salient:0.2")
    left = hide(scenes.labels, scenes.kept(salient, 0))
    sizes = np.array([[image.object_sizes().get(name, 0.0) for name in scenes.class_names] for image in scenes.images])
    np.testing.assert_array_equal(sizes > 0, scenes.labels == PRESENT)
    assert sizes[left == PRESENT].mean() > 1.05 * sizes[scenes.labels == PRESENT].mean()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("image,dog,cat\na.png,1,0\n")
    with pytest.raises(
        UserError, match=r"labels\.csv.*: salient:0\.2 is by the sizes of objects, and only drawn scenes say them"
    ):
        load_data(str(tmp_path / "labels.csv")).kept(salient, 0)


@pytest.mark.parametrize("text", ["salient", "federated:", "report:x", "federated:0:1", "salience:0.1"])
def test_what_is_no_pattern_is_refused_with_their_names(text: str) -> None:
    with pytest.raises(UserError, match=r"no way to hide labels; .*federated, report, salient:0\.1, annotators:0\.1"):
        Observation.parse(text)


@pytest.mark.parametrize("text", ["federated:1", "salient:0", "report:nan", "annotators:-0.1"])
def test_shares_are_between_0_and_1(text: str) -> None:
    with pytest.raises(UserError, match=f"{text.split(':')[0]}:.* is outside"):
        Observation.parse(text)


def test_a_share_that_was_published_needs_no_number() -> None:
    for name, pattern in PATTERNS.items():
        if pattern.share is not None:
            found = Observation.parse(name)
            assert (found.name, found.amount) == (name, pattern.share)
            assert found == Observation.parse(f"{name}:{pattern.share}")
    assert Observation.parse("federated").amount == pytest.approx(0.01, abs=5e-4)
    assert Observation.parse("report").amount == pytest.approx(1 - 0.728 - 0.045, abs=1e-3)


def test_the_parameters_are_those_of_lvis_and_match_as_is_said() -> None:
    path = require_shared("labels", "lvis_val_100.json")
    labels, frequency = read_lvis(path)
    assert tomllib.loads(parameters(labels, path.name)) == FITTED
    printed = (ROOT / "docs" / "failure-modes" / "patterns.md").read_text(encoding="utf-8")
    assert comparison(labels, frequency) == printed


def test_every_pattern_is_described_where_protocols_are() -> None:
    page = (ROOT / "docs" / "how-to" / "compare.md").read_text(encoding="utf-8")
    for name, pattern in PATTERNS.items():
        assert f"`--observed {name}" in page
        assert pattern.source
