"""How alike maps are, against numpy and sets; over a data set, against sums and a bootstrap written out."""

from itertools import combinations

import numpy as np
import pytest
import torch

from promptmlr.maps import agreement
from promptmlr.maps.agreement import chance_overlap, image_agreements, map_agreement, top_regions
from promptmlr.maps.means import QUANTITIES, agreements
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide

NAMES = ("dog", "cat", "cup")


def overlap(a: np.ndarray, b: np.ndarray, lit: int) -> float:
    first, second = (set(np.argsort(-one)[:lit].tolist()) for one in (a, b))
    return len(first & second) / len(first | second)


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 17, generator=generator), 50 + 9 * torch.randn(4, 3, 17, generator=generator)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_measures_are_those_of_numpy_and_of_sets(maps, share: float) -> None:
    presence, absence = maps
    found = map_agreement(presence, absence, share).numpy()
    lit = top_regions(17, share)
    p, a = presence[..., 1:].numpy(), absence[..., 1:].numpy()  # without the global region
    for b in range(4):
        for c in range(3):
            others = [d for d in range(3) if d != c]
            expected = (
                np.corrcoef(p[b, c], a[b, c])[0, 1],
                overlap(p[b, c], a[b, c], lit),
                np.mean([np.corrcoef(p[b, c], p[b, d])[0, 1] for d in others]),
                np.mean([overlap(p[b, c], p[b, d], lit) for d in others]),
            )
            assert found[b, c] == pytest.approx(expected, abs=1e-6)


def test_lit_regions_are_a_share_of_the_grid() -> None:
    assert [top_regions(regions, 0.2) for regions in (17, 50, 197, 2)] == [3, 10, 39, 1]


def test_a_map_without_variation_agrees_with_nothing(maps) -> None:
    presence, absence = maps
    whole = map_agreement(presence[:, 1:], absence[:, 1:], 0.2)
    presence[:, 0, 1:] = 0.3  # the same everywhere but in the global region
    found = map_agreement(presence, absence, 0.2)
    assert found[:, 0].isnan().all()
    torch.testing.assert_close(found[:, 1:], whole)  # it is no reference for others
    absence[:, 1, 1:] = -2.0
    assert map_agreement(presence, absence, 0.2)[:, 1].isnan().all()


def test_one_class_has_no_reference(maps) -> None:
    presence, absence = maps
    found = map_agreement(presence[:, :1], absence[:, :1], 0.2)
    assert not found[..., :2].isnan().any()
    assert found[..., 2:].isnan().all()


@pytest.mark.parametrize(("grid", "share"), [(6, 0.35), (7, 0.6), (5, 0.2)])
def test_chance_overlap_is_the_mean_over_all_pairs_of_sets(grid: int, share: float) -> None:
    sets = [set(one) for one in combinations(range(grid), top_regions(grid + 1, share))]
    expected = np.mean([len(a & b) / len(a | b) for a in sets for b in sets])
    assert chance_overlap(grid + 1, share) == pytest.approx(expected)


def test_images_come_batch_by_batch(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(1)
    presence, absence, regions = (torch.randn(*shape, generator=generator) for shape in ((3, 8), (3, 8), (7, 10, 8)))
    recognizer = Recognizer(EmbeddingSide(presence), EmbeddingSide(absence), NAMES)
    monkeypatch.setattr(agreement, "BATCH", 3)
    kept, found = image_agreements(recognizer, InMemoryRegions(regions), 0.2)
    np.testing.assert_array_equal(kept, np.arange(7))
    with torch.no_grad():
        np.testing.assert_allclose(found, map_agreement(*recognizer.maps(regions), 0.2).numpy(), atol=1e-6)


def test_unknown_labels_and_flat_maps_do_not_count() -> None:
    measured = np.zeros((5, 2, 4), dtype=np.float32)
    measured[:, 0] = np.array([[0.1, 0.2, 0.0, 0.1]]) * np.arange(1, 6)[:, None]
    measured[2, 0] = np.nan
    labels = np.array([[1, 0], [1, 0], [1, 0], [-1, 0], [0, 0]], dtype=np.int8)
    present, dog, cat, absent, dog_absent, cat_absent = agreements(measured, labels, ("dog", "cat"), 50)
    assert (dog.class_name, dog.label, dog.images, dog.classes) == ("dog", "present", 2, 1)
    expected = (0.15, 0.3, 0.0, 0.15, 0.15, 0.15)  # the last two: with its absence less with other classes
    for key, value in zip(QUANTITIES, expected, strict=True):
        assert dog.quantities[key].value == pytest.approx(value, abs=1e-6)
    assert cat.images == 0
    assert np.isnan(cat.quantities["overlap"].value)
    assert (present.class_name, present.images, present.classes) == (None, 2, 1)  # no image of a cat to average
    assert present.quantities["overlap"].value == pytest.approx(0.3)
    assert dog_absent.images == 1
    assert np.isnan(dog_absent.quantities["overlap"].low)  # one image says nothing of others
    assert (absent.images, absent.classes, cat_absent.images) == (5, 2, 5)
    assert absent.quantities["correlation"].value == pytest.approx(0.25)  # classes weigh the same, images do not


def test_no_image_at_all_is_no_number() -> None:
    found = agreements(np.zeros((3, 2, 4)), np.full((3, 2), -1, dtype=np.int8), ("dog", "cat"), 10)
    assert all(np.isnan(one.quantities["correlation"].value) and one.images == 0 for one in found)


def test_intervals_are_those_of_a_bootstrap_written_out() -> None:
    rng = np.random.default_rng(3)
    images, classes = 300, 4
    common = rng.normal(0, 0.15, (images, 1, 1))  # of an image, in all its classes: they must be drawn together
    measured = 0.4 + common + rng.normal(0, 0.1, (images, classes, 4))
    labels = (rng.random((images, classes)) < [0.6, 0.3, 0.2, 0.1]).astype(np.int8)
    found = agreements(measured, labels, list("abcd"), 4000)
    present = labels == 1
    means, firsts = [], []
    for _ in range(4000):
        rows = rng.integers(images, size=images)
        per_class = [measured[rows, c, 0][present[rows, c]].mean() for c in range(classes)]
        means.append(np.mean(per_class))
        firsts.append(per_class[0])
    for one, expected in ((found[0], means), (found[1], firsts)):
        interval = one.quantities["correlation"]
        low, high = np.quantile(expected, [0.025, 0.975])
        assert interval.value == pytest.approx(np.mean(expected), abs=0.003)
        assert interval.high - interval.low == pytest.approx(high - low, rel=0.08)
        assert interval.low == pytest.approx(low, abs=0.005)
