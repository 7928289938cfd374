"""Out-of-fold margins are of recognizers that did not see the label; choice, audit and curve are built on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from promptmlr import crossvalidation
from promptmlr.advice.audit import label_qualities, write_label_qualities
from promptmlr.choice import Candidate, choose_method, described, taken, write_candidates
from promptmlr.crossvalidation import FOLDS, Subject, folds_of, out_of_fold
from promptmlr.data import DataOptions, load_data
from promptmlr.errors import UserError
from promptmlr.evaluation import PairedDifference, evaluate
from promptmlr.labels import UNKNOWN, hide, keep_mask
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.reporting import Reporter
from promptmlr.training import fit_runs
from support import csv_rows


@pytest.fixture(scope="module")
def data():
    return load_data("scenes", options=DataOptions(scenes_train=400))


@pytest.fixture(scope="module")
def subject(scenes_backbone, data) -> Subject:
    _, source = extract(FreshRegions(scenes_backbone, data.images))
    labels = hide(data.labels, keep_mask(data.labels.shape, 0.5, 0))
    return Subject(scenes_backbone, data.class_names, source, labels)


def test_folds_share_the_known_labels_of_both_kinds() -> None:
    labels = np.random.default_rng(0).integers(-1, 2, (40, 6)).astype(np.int8)
    folds = folds_of(labels, seed=1)
    assert ((folds == -1) == (labels == UNKNOWN)).all()
    for value in (0, 1):
        counts = np.bincount(folds[labels == value], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    assert (folds_of(labels, seed=2) != folds).any()
    with pytest.raises(UserError, match="4 labels are present"):
        folds_of(np.array([[1] * 4 + [0] * 9], np.int8), seed=0)


def test_no_label_is_seen_by_whoever_judges_it(subject: Subject, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(crossvalidation, "fit_runs", lambda runs, *_, **__: seen.extend(run.labels for run in runs))
    out_of_fold(subject, "dualembedding", load_recipe("default", "dualembedding", epochs=1))
    fold = folds_of(subject.labels, subject.seed)
    assert len(seen) == FOLDS
    for number, labels in enumerate(seen):
        assert (labels[fold == number] == UNKNOWN).all()
        assert (labels[fold != number] == subject.labels[fold != number]).all()


def test_margins_are_those_of_their_fold(subject: Subject, monkeypatch) -> None:
    """Run k is made to say k everywhere."""

    def constant(runs, *args, **options) -> None:
        for number, run in enumerate(runs):
            run.recognizer.fold = lambda number=number: (
                lambda regions: torch.stack(
                    [torch.zeros(len(regions), 20), torch.full((len(regions), 20), float(number))], dim=1
                )
            )

    monkeypatch.setattr(crossvalidation, "fit_runs", constant)
    margins = out_of_fold(subject, "dualembedding", load_recipe("default", "dualembedding", epochs=1))
    fold = folds_of(subject.labels, subject.seed)
    assert (np.where(fold == -1, -1, np.nan_to_num(margins)) == fold).all()
    assert (np.isnan(margins) == (fold == -1)).all()


def test_the_best_method_is_found_and_the_others_are_behind(subject: Subject, tmp_path) -> None:
    recipes = {
        "zeroshot": load_recipe("default", "zeroshot"),
        "dualembedding": load_recipe("default", "dualembedding", epochs=10),
        "baseline": load_recipe("default", "baseline", epochs=1),
    }
    found = choose_method(subject, recipes, resamples=100)
    assert found[0].method == "dualembedding"
    assert found[0].behind is None
    for one in found[1:]:
        assert one.behind is not None
        assert one.behind.mean == pytest.approx(found[0].mean_ap - one.mean_ap, abs=0.02)
        assert one.log_loss > found[0].log_loss
    write_candidates(tmp_path / "methods.csv", found)
    assert [row["method"] for row in csv_rows(tmp_path / "methods.csv")] == [one.method for one in found]
    assert described(found)[-1].startswith("dualembedding is taken")


def test_ties_are_called_noise(subject: Subject, monkeypatch) -> None:
    monkeypatch.setattr(
        "promptmlr.choice.out_of_fold",
        lambda subject, *_, **__: np.where(
            subject.labels == UNKNOWN, np.nan, np.random.default_rng(0).normal(size=subject.labels.shape)
        ),
    )
    recipes = dict.fromkeys(("zeroshot", "baseline"), load_recipe("default", "zeroshot"))
    assert "within noise of it" in described(choose_method(subject, recipes, resamples=50))[-1]


def candidate(method: str, behind: tuple[float, float] | None) -> Candidate:
    return Candidate(method, 0.5, (0.4, 0.6), 0.2, None if behind is None else PairedDifference(0.1, *behind))


@pytest.mark.parametrize(
    ("candidates", "method", "said"),
    [
        ([("baseline", None), ("anchored", (-0.1, 0.3))], "anchored", "within noise of baseline, and holds on to CLIP"),
        ([("baseline", None), ("anchored", (0.1, 0.3))], "baseline", "all others are behind by more than noise"),
        ([("anchored", None), ("baseline", (-0.1, 0.3))], "anchored", "within noise of it: baseline"),
        ([("baseline", None)], "baseline", "all others"),
    ],
)
def test_among_equals_what_holds_on_to_clip_is_taken(candidates, method: str, said: str) -> None:
    found = [candidate(*one) for one in candidates]
    assert taken(found).method == method
    assert said in described(found)[-1]


def ticked(subject: Subject, classes: slice) -> Subject:
    """The subject without what is absent in some of its classes."""
    labels = subject.labels.copy()
    labels[:, classes][labels[:, classes] == 0] = UNKNOWN
    return replace(subject, labels=labels)


def test_among_ticks_a_method_that_collapses_is_not_chosen(subject: Subject, data, tmp_path) -> None:
    """Where what is unknown costs nothing, every class ends up everywhere: among ticks alone all would be perfect."""
    ticks, said = ticked(subject, slice(None)), []
    recipes = {
        "zeroshot": load_recipe("default", "zeroshot"),
        "anchored": load_recipe("default", "anchored", epochs=20, prior_strength=300.0),
        "dualembedding": load_recipe("default", "dualembedding", epochs=20, unknown="ignore"),
    }
    found = choose_method(ticks, recipes, resamples=50, reporter=Heard(said))
    assert [one.method for one in found] == ["anchored", "zeroshot", "dualembedding"]
    assert found[0].mean_ap < 0.8
    assert "what nobody ticked counts as absent" in said[0]
    truth = {}
    for method, recipe in recipes.items():
        margins = out_of_fold(ticks, method, recipe, everywhere=True)
        truth[method] = evaluate(margins, data.labels, data.class_names, resamples=0).mean_ap
    assert sorted(truth, key=truth.get, reverse=True) == [one.method for one in found]  # complete labels agree
    assert all(np.isnan(one.log_loss) for one in found)
    assert "–" in described(found)[1]
    write_candidates(tmp_path / "methods.csv", found)
    assert {row["log_loss"] for row in csv_rows(tmp_path / "methods.csv")} == {""}


def test_ticks_of_some_classes_leave_the_log_loss_of_the_others(subject: Subject) -> None:
    some = ticked(subject, slice(0, 10))
    zero_shot = {"zeroshot": load_recipe("default", "zeroshot")}
    whole, part = (choose_method(one, zero_shot, resamples=10)[0] for one in (subject, some))
    assert 0 < part.mean_ap < whole.mean_ap
    others = replace(subject, class_names=subject.class_names[10:], labels=subject.labels[:, 10:])
    assert part.log_loss == pytest.approx(choose_method(others, zero_shot, resamples=10)[0].log_loss, abs=0.02)


class Heard(Reporter):
    def __init__(self, said: list[str]) -> None:
        self.note = said.append


def test_planted_errors_are_found(subject: Subject, data, tmp_path) -> None:
    rng = np.random.default_rng(0)
    known = np.flatnonzero(subject.labels != UNKNOWN)
    wrong = rng.choice(known, len(known) // 20, replace=False)
    dirty = subject.labels.copy()
    dirty.flat[wrong] = 1 - dirty.flat[wrong]
    planted = replace(subject, labels=dirty)
    margins = out_of_fold(planted, "dualembedding", load_recipe("default", "dualembedding", epochs=10))
    found = label_qualities(replace(data, labels=dirty), margins)
    assert len(found) == len(known)
    rows = {name: row for row, name in enumerate(data.image_ids)}
    places = [rows[one.image_id] * 20 + data.class_names.index(one.class_name) for one in found]
    right = np.isin(places, wrong)
    issues = np.array([one.issue for one in found])
    assert right[issues].mean() > 0.35  # one in twenty by chance
    assert right[issues].sum() > 0.5 * len(wrong)
    assert right[:100].mean() > 0.5
    assert not issues[issues.sum() :].any()
    quality = [one.quality for one in found]
    assert sorted(quality[: issues.sum()]) == quality[: issues.sum()]
    write_label_qualities(tmp_path / "label-quality.csv", found)
    written = csv_rows(tmp_path / "label-quality.csv")
    assert [row["issue"] for row in written] == ["yes" if one.issue else "" for one in found]
    assert {row["label"] for row in written} == {"0", "1"}


def test_wrong_ticks_rank_first_and_nothing_is_said_of_absences(subject: Subject, data) -> None:
    rng = np.random.default_rng(0)
    ticks = ticked(subject, slice(None)).labels
    wrong = rng.choice(np.flatnonzero(data.labels == 0), 40, replace=False)
    ticks.flat[wrong] = 1
    recipe = load_recipe("default", "anchored", epochs=20, prior_strength=300.0)
    found = label_qualities(
        replace(data, labels=ticks), out_of_fold(replace(subject, labels=ticks), "anchored", recipe)
    )
    assert len(found) == (ticks == 1).sum()
    assert {one.label for one in found} == {1}
    assert not any(one.issue for one in found)
    rows = {name: row for row, name in enumerate(data.image_ids)}
    places = [rows[one.image_id] * 20 + data.class_names.index(one.class_name) for one in found]
    right = np.isin(places, wrong)
    assert right[:40].mean() > 0.3  # 8 in a hundred by chance
    assert right[: len(found) // 2].sum() > 0.85 * len(wrong)


def test_issues_are_of_classes_whose_labels_are_of_both_kinds(subject: Subject, data) -> None:
    labels = ticked(subject, slice(0, 10)).labels
    truth = np.random.default_rng(0).random(labels.shape) < 0.05
    labels[truth & (labels != UNKNOWN)] = 1
    margins = out_of_fold(replace(subject, labels=labels), "zeroshot", load_recipe("default", "zeroshot"))
    issues = [one for one in label_qualities(replace(data, labels=labels), margins) if one.issue]
    assert issues
    assert {one.class_name for one in issues} <= set(data.class_names[10:])


def test_audits_say_what_they_need(monkeypatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    from promptmlr.advice.audit import require_cleanlab

    with pytest.raises(UserError, match=r"pip install 'promptmlr\[audit\]'"):
        require_cleanlab()


def test_five_trainings_side_by_side_are_five_trainings(subject: Subject) -> None:
    recipe = load_recipe("default", "dualembedding", epochs=2)
    margins = out_of_fold(subject, "dualembedding", recipe)
    from promptmlr.methods import create_recognizer
    from promptmlr.prediction import predict_margins
    from promptmlr.training import TrainingRun

    fold = folds_of(subject.labels, subject.seed)
    recognizer = create_recognizer(
        "dualembedding", subject.backbone, subject.class_names, seed=0, **recipe.start_options()
    )
    labels = np.where(fold == 3, np.int8(UNKNOWN), subject.labels)
    fit_runs([TrainingRun(recognizer, labels, recipe)], subject.source)
    alone = predict_margins(recognizer.fold(), subject.source)[1]
    assert margins[fold == 3] == pytest.approx(alone[fold == 3], abs=2e-2)
