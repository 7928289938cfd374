"""Cross-validation of a grid: folds, regions of some images, and scores over folds against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
import torch

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.evaluation import bootstrap_map
from promptmlr.paper.grid.folds import Fold, draw_folds, folds_of, hold_out_images
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.remarks import remarks_on
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.grid.scoring import score_folds
from promptmlr.regions import InMemoryRegions, SelectedRegions
from promptmlr.report.findings import as_text


def test_drawn_folds_are_equally_large_and_always_the_same() -> None:
    found = draw_folds(103, 5)
    assert sorted(np.bincount(found)) == [20, 20, 21, 21, 21]
    np.testing.assert_array_equal(found, draw_folds(103, 5))
    assert len(set(found[:20])) == 5  # not by their order
    with pytest.raises(UserError, match="--folds 5: there are 4 images"):
        draw_folds(4, 5)


def test_every_image_is_tested_once_by_what_was_not_trained_on_it() -> None:
    folds = folds_of(np.array([7, 3, 3, 7, 9]))
    assert np.sum([fold.tested for fold in folds], axis=0).tolist() == [1] * 5
    for fold in folds:
        np.testing.assert_array_equal(fold.trained, ~fold.tested)
    with pytest.raises(UserError, match="all images are in one fold"):
        folds_of(np.zeros(4, dtype=np.int64))


def test_a_fifth_of_the_training_images_is_held_out_and_of_no_others() -> None:
    trained = np.arange(60) % 6 > 0  # 50 of 60
    fold = hold_out_images(Fold(trained, ~trained))
    assert fold.validated is not None
    assert (fold.validated.sum(), fold.trained.sum()) == (10, 40)
    np.testing.assert_array_equal(fold.validated ^ fold.trained, trained)
    np.testing.assert_array_equal(fold.tested, ~trained)
    np.testing.assert_array_equal(fold.validated, hold_out_images(Fold(trained, ~trained)).validated)
    assert hold_out_images(Fold(trained[:4], ~trained[:4])).trained.sum() == 2
    with pytest.raises(UserError, match="of 1 training images none can be held out"):
        hold_out_images(Fold(trained[:2], ~trained[:2]))


class Patchy(InMemoryRegions):
    """Image 4 cannot be read."""

    def batches(self, plan, epoch=0):
        return super().batches([indices[indices != 4] for indices in plan], epoch)


def test_some_regions_are_those_of_their_images() -> None:
    regions = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
    some = SelectedRegions(Patchy(regions), np.array([1, 2, 4, 5]))
    assert len(some) == 4
    [(first, one), (second, other)] = some.batches([np.array([3, 0]), np.array([2, 1])])
    assert (first.tolist(), second.tolist()) == ([3, 0], [1])
    torch.testing.assert_close(one, regions[[5, 1]])
    torch.testing.assert_close(other, regions[[2]])


@pytest.fixture
def said() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Three folds of different sizes, with unknown labels, and scores on a level of their own in each."""
    rng = np.random.default_rng(0)
    labels = [(rng.random((count, 4)) < 0.4).astype(np.int8) for count in (40, 50, 45)]
    scores = [
        (0.5 * rng.random(one.shape) + 0.2 * one + level) for one, level in zip(labels, (0, 0.1, 0.3), strict=True)
    ]
    for one in labels:
        one[rng.random(one.shape) < 0.2] = -1
    return scores, labels


def test_map_is_the_mean_over_folds_and_all_else_pools_them(said) -> None:
    scores, labels = said
    found, resampled = score_folds(scores, labels, (0.25, 0.5))
    maps = [
        np.mean(
            [
                sklearn.metrics.average_precision_score(one[one[:, c] != -1, c], score[one[:, c] != -1, c])
                for c in range(4)
            ]
        )
        for score, one in zip(scores, labels, strict=True)
    ]
    assert found.mean_ap == pytest.approx(np.mean(maps))
    together, known = np.concatenate(scores), np.concatenate(labels)
    seen = known != -1
    assert found.log_loss == pytest.approx(sklearn.metrics.log_loss(known[seen], together[seen]))
    assert found.of1 == pytest.approx(sklearn.metrics.f1_score(known[seen], together[seen] > 0.5))
    assert (found.presence_displacement, found.absence_displacement) == (0.25, 0.5)
    apart = [bootstrap_map(*fold, 1000, seed=number) for number, fold in enumerate(zip(scores, labels, strict=True))]
    np.testing.assert_allclose(resampled, np.mean(apart, axis=0))
    alone, same = score_folds(scores[:1], labels[:1], (0.25, 0.5))
    assert alone.mean_ap == pytest.approx(maps[0])
    np.testing.assert_array_equal(same, apart[0])


def test_what_the_interval_covers_is_said() -> None:
    scores = np.full((2, 1, 3), 0.5)
    results = GridResults(["a", "b"], [0.1], scores, np.repeat(scores[..., None], 9, axis=3), [[1], [1]])
    text = " ".join(as_text(GridOutputs(results, "a", {}, "some images", folds=5).findings()).split())
    assert "95 % intervals over test images within their folds and 3 seeds" in text
    assert "mAP is the mean over 5 folds: each cell is trained 5 times" in text
    assert "No interval here includes how much other folds, or other training images, would change." in text
    assert "folds" not in as_text(GridOutputs(results, "a", {}, "some images").findings())


def test_classes_that_a_fold_does_not_show_are_counted() -> None:
    labels = np.zeros((120, 3), np.int8)
    labels[:, 0] = 1
    labels[::2, 1] = 1
    names = tuple(f"{index:03d}" for index in range(120))
    data = LabelledImages(names, names, labels, ("a", "b", "c"), "photos")
    empty, partly = remarks_on(data, np.arange(120) % 2)
    assert "1 of 3 classes have no test image" in empty
    assert partly.startswith("1 of 3 classes have a label present in some of the 2 folds alone")
    assert len(remarks_on(data, np.arange(120) // 60)) == 1
