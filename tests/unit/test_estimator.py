"""`MultiLabelRecognizer` keeps scikit-learn's manners, and trains what `promptmlr train` trains."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.utils import estimator_checks

import promptmlr as pm
from promptmlr import scenes
from promptmlr.data.targets import HeldImage, labels_from
from promptmlr.errors import UserError
from promptmlr.labels import UNKNOWN
from promptmlr.recipes import load_recipe
from support import draw_photos

NAMES = ["tree", "house", "cloud"]
NAN = float("nan")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[list[Path], np.ndarray]:
    """Paths of 120 drawn scenes, and their labels of which a half is unknown."""
    columns = [scenes.CLASS_NAMES.index(name) for name in NAMES]
    paths, labels = zip(*draw_photos(tmp_path_factory.mktemp("drawn") / "photos", 120, seed=0), strict=True)
    y = np.array(labels, dtype=float)[:, columns]
    y[np.random.default_rng(0).random(y.shape) < 0.5] = NAN
    return list(paths), y


@pytest.fixture
def small(tmp_path_factory) -> pm.MultiLabelRecognizer:
    cache = tmp_path_factory.getbasetemp() / "estimator-cache"
    return pm.MultiLabelRecognizer(
        "dualembedding", backbone="scenes", class_names=NAMES, epochs=2, cache=cache, workers=0
    )


def test_fit_and_predict_take_three_lines(small, drawn) -> None:
    paths, y = drawn
    recognizer = small.fit(paths[:100], y[:100])
    probabilities = recognizer.predict_proba(paths[100:])
    assert probabilities.shape == (20, 3)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    predicted = recognizer.predict(paths[100:])
    assert (predicted == (probabilities > recognizer.run_.thresholds)).all()
    assert recognizer.predict_names(paths[100:])[3] == [
        n for n, there in zip(NAMES, predicted[3], strict=True) if there
    ]
    assert 0.5 < recognizer.score(paths[100:], y[100:]) <= 1
    assert list(recognizer.classes_) == list(recognizer.class_names_) == NAMES


def test_paths_images_and_arrays_are_the_same_to_it(small, drawn) -> None:
    paths, y = drawn
    recognizer = small.fit(paths, y)
    expected = recognizer.predict_proba(paths[:4])
    images = [Image.open(path) for path in paths[:4]]
    arrays = np.stack([np.asarray(image) for image in images])
    for same in ([str(path) for path in paths[:4]], images, arrays, list(arrays)):
        assert recognizer.predict_proba(same) == pytest.approx(expected, abs=1e-6)


def test_saved_loaded_and_pickled_it_says_the_same(small, drawn, tmp_path) -> None:
    paths, y = drawn
    recognizer = small.fit(paths, y)
    expected = recognizer.predict_proba(paths[:5])
    recognizer.save(tmp_path / "run")
    loaded = pm.MultiLabelRecognizer.load(tmp_path / "run", cache=False)
    assert loaded.predict_proba(paths[:5]) == pytest.approx(expected, abs=1e-3)  # the other read stored halves
    assert loaded.get_params()["method"] == "dualembedding"
    assert (pickle.loads(pickle.dumps(recognizer)).predict_proba(paths[:5]) == expected).all()
    with pytest.raises(UserError, match="exists already"):
        recognizer.save(tmp_path / "run")
    assert pm.load_run(tmp_path / "run").class_names == tuple(NAMES)


def test_new_labels_change_their_own_classes_alone(small, drawn) -> None:
    paths, y = drawn
    recognizer = small.fit(paths, y)
    before, calibration = recognizer.run_.recognizer.presence.embedding.clone(), recognizer.run_.calibration
    probabilities = recognizer.predict_proba(paths)
    recognizer.partial_fit(paths, [[NAN, 1 - i % 2, NAN] for i in range(120)])
    after = recognizer.run_.recognizer.presence.embedding
    assert [(before[c] == after[c]).all().item() for c in range(3)] == [True, False, True]
    assert recognizer.run_.calibration.thresholds[0] == calibration.thresholds[0]
    assert recognizer.run_.calibration.scale[1] != calibration.scale[1]
    same = recognizer.predict_proba(paths) == probabilities
    assert same.all(axis=0).tolist() == [True, False, True]


def test_classes_without_labels_stay_as_they_are_without_a_calibration_too(small, drawn) -> None:
    paths, y = drawn
    recognizer = small.set_params(calibrate=False).fit(paths, y)
    before = recognizer.predict_proba(paths), recognizer.run_.thresholds
    recognizer.set_params(calibrate=True).partial_fit(paths, [[i % 2, NAN, NAN] for i in range(120)])
    assert recognizer.run_.calibration is not None
    np.testing.assert_allclose(recognizer.predict_proba(paths)[:, 1:], before[0][:, 1:], atol=1e-7)
    assert (recognizer.run_.thresholds[1:] == before[1][1:]).all()


def test_loaded_ones_learn_on_as_fitted_ones_do(small, drawn, tmp_path) -> None:
    paths, y = drawn
    small.fit(paths[:60], y[:60]).save(tmp_path / "run")
    other = pm.MultiLabelRecognizer.load(tmp_path / "run", cache=small.cache)
    small.partial_fit(paths[60:], y[60:])
    other.partial_fit(paths[60:], y[60:])
    assert (small.run_.recognizer.absence.embedding == other.run_.recognizer.absence.embedding).all()


def test_a_loaded_one_has_the_recipe_that_it_was_trained_with(small, drawn, tmp_path) -> None:
    paths, y = drawn
    recipe = load_recipe("default", "positivecoop", epochs=1, context_length=6)
    small.set_params(method="positivecoop", recipe=recipe, epochs=None).fit(paths, y).save(tmp_path / "run")
    other = pm.MultiLabelRecognizer.load(tmp_path / "run", cache=small.cache)
    assert other.run_.config.recipe == other.recipe == recipe
    other.partial_fit(paths, y)
    with pytest.raises(UserError, match="another shape"):
        other.set_params(recipe="default").partial_fit(paths, y)
    with pytest.raises(UserError, match="goes on with positivecoop, and method is baseline"):
        other.set_params(method="baseline").partial_fit(paths, y)


def test_the_first_partial_fit_is_fit(small, drawn) -> None:
    paths, y = drawn
    first = clone(small).partial_fit(paths, y).run_.recognizer.presence.embedding
    assert (first == small.fit(paths, y).run_.recognizer.presence.embedding).all()


def test_cross_validation_and_grids(small, drawn) -> None:
    paths, y = drawn
    scores = cross_val_score(small, paths, y, cv=KFold(3), error_score="raise")
    assert scores.shape == (3,)
    assert (scores > 0.5).all()
    grid = GridSearchCV(
        small, {"calibrate": np.array([True, False]), "epochs": np.array([1, 3])}, cv=2, error_score="raise"
    )
    grid.fit(paths, y)
    assert len(grid.cv_results_["params"]) == 4
    assert grid.best_estimator_.predict(paths[:2]).shape == (2, 3)


@pytest.mark.parametrize("seed", [None, -1, 0.5, np.random.RandomState(0)])
def test_seeds_are_whole_numbers(small, drawn, seed) -> None:
    with pytest.raises(UserError, match="a seed is an integer from 0"):
        small.set_params(random_state=seed).fit(*drawn)


@pytest.mark.parametrize("argument", [{"method": None}, {"method": ["auto"]}, {"device": 3}, {"select": "best"}])
def test_an_argument_that_is_none_is_refused_by_name(small, drawn, argument: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(argument))}="):
        small.set_params(**argument).fit(*drawn)


def test_what_lists_leave_out_has_to_be_said(small, drawn) -> None:
    paths, y = drawn
    lists = [[name for name, value in zip(NAMES, row, strict=True) if value == 1] for row in y]
    with pytest.raises(UserError, match="unlisted='unknown' if nobody looked"):
        clone(small).fit(paths, lists)
    recognizer = clone(small).set_params(unlisted="absent").fit(paths, lists)
    assert recognizer.predict(paths[:2]).shape == (2, 3)
    assert 0 < recognizer.score(paths, lists) <= 1


def test_before_it_is_fitted_it_says_so(small, drawn) -> None:
    for call in (small.predict, small.predict_proba, small.predict_names):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            call(drawn[0])
    with pytest.raises(NotFittedError):
        small.save("nowhere")


def test_a_loaded_backbone_is_shared_by_clones(scenes_backbone, small) -> None:
    one = clone(small).set_params(backbone=scenes_backbone)
    assert clone(one).backbone is scenes_backbone


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_tags_renamed,
    ],
    ids=lambda check: check.__name__,
)
def test_the_contract_of_scikit_learn(check) -> None:
    check("MultiLabelRecognizer", pm.MultiLabelRecognizer())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1, 0, -1]], "-1 means absent to some and unknown to others"),
        ([[1, 0, 0.3]], r"y\[0, 2\] is 0.3"),
        ([[1, 0]], "2 cells, and there are 3 classes"),
        ([["tree", "hause"]], "did you mean 'house'"),
        (["tree"], "write a list of class names for each image"),
        (3, "must be an"),
    ],
)
def test_labels_that_mean_nothing_are_refused(y, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labels_from(y, NAMES, "unknown" if "tree" in str(y) else None)


def test_labels_as_python_holds_them() -> None:
    pandas = pytest.importorskip("pandas")
    expected = np.array([[1, 0, -1], [-1, 1, 1]], np.int8)
    cells = [[1, 0, NAN], [None, True, 1.0]]
    table = pandas.DataFrame(cells, columns=NAMES)
    for y in (cells, np.array(cells, dtype=object), np.array(cells, dtype=float), table, table[NAMES[::-1]]):
        labels, names = labels_from(y, NAMES, None)
        assert (labels == expected).all()
        assert names == tuple(NAMES)
    assert labels_from(table[NAMES[::-1]], None, None)[1] == tuple(NAMES[::-1])
    assert (labels_from([["tree"], []], NAMES, "unknown")[0] == [[1, UNKNOWN, UNKNOWN], [UNKNOWN] * 3]).all()
    assert (labels_from([["tree"], []], None, "absent")[0] == [[1], [0]]).all()


def test_images_in_memory_are_known_by_their_pixels() -> None:
    one, other = Image.new("RGB", (4, 2), "red"), Image.new("RGB", (2, 4), "red")
    assert HeldImage("a", one).fingerprint() == HeldImage("b", one.copy()).fingerprint()
    assert HeldImage("a", one).fingerprint() != HeldImage("a", other).fingerprint()


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60 vectors, each the sum of its classes' texts and noise; labels of which a part is unknown; and the texts."""
    rng = np.random.default_rng(0)
    text = np.eye(3, 8)
    there = rng.random((60, 3)) < 0.4
    y = np.where(rng.random((60, 3)) < 0.3, NAN, there)
    return (there @ text + 0.2 * rng.normal(size=(60, 8))).astype(np.float32), y, text


def on_features(text: np.ndarray | None, method: str = "zeroshot", **arguments) -> pm.MultiLabelRecognizer:
    return pm.MultiLabelRecognizer(method, class_names=NAMES, text=text, **arguments)


@pytest.mark.parametrize("regions", [False, True])
def test_features_instead_of_images(vectors, regions: bool, tmp_path: Path) -> None:
    x, y, text = vectors
    shown = np.stack([x, x], axis=1) if regions else x
    recognizer = on_features(text, "baseline").fit(shown, y)
    probabilities = recognizer.predict_proba(shown)
    assert recognizer.score(shown, y) > 0.9
    np.testing.assert_allclose(probabilities, recognizer.predict_proba(x), rtol=1e-5)  # two regions alike are one
    again = pm.MultiLabelRecognizer.load(recognizer.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.predict_proba(shown), probabilities)
    recognizer.partial_fit(shown[:20], y[:20])
    assert recognizer.predict(shown).shape == (60, 3)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_labels_that_scikit_learn_numbered_anew_are_refused(small, drawn, method: str, n_jobs: int | None) -> None:
    """Of a column of 1 and NaN it makes 0 and 1, which nothing tells afterwards."""
    paths, y = drawn
    ticks = np.where(y == 1, 1, NAN)[:24]
    with pytest.raises(UserError, match=r"cross_val_predict\(method='\w+'\).*predict_proba_out_of_fold"):
        cross_val_predict(small, paths[:24], ticks, cv=2, method=method, n_jobs=n_jobs)


def test_predictions_of_cross_val_predict_are_what_they_were(small, drawn) -> None:
    """These it leaves as they are."""
    paths, y = drawn
    predicted = cross_val_predict(small, paths[:40], y[:40], cv=KFold(2))
    expected = clone(small).fit(paths[20:40], y[20:40]).predict(paths[:20])
    np.testing.assert_array_equal(predicted[:20], expected)


@pytest.mark.parametrize("method", ["dualembedding", "anchored"])
def test_probabilities_out_of_fold_are_of_labels_that_were_not_seen(small, drawn, method: str) -> None:
    """A wrong label does not speak for itself: what was turned round is doubted more than what was not."""
    paths, y = drawn
    recognizer = small.set_params(method=method, epochs=20)
    wrong = np.zeros(y.shape, dtype=bool)
    wrong[::7] = ~np.isnan(y[::7])
    found = recognizer.predict_proba_out_of_fold(paths, np.where(wrong, 1 - y, y))
    assert found.shape == y.shape
    assert ((found > 0) & (found < 1)).all()
    right = np.where(y == 1, found, 1 - found)
    assert right[wrong].mean() > 0.6
    assert right[~np.isnan(y)].mean() > 0.6
    assert not hasattr(recognizer, "run_")


def test_probabilities_out_of_fold_of_ticks_alone(small, drawn) -> None:
    paths, y = drawn
    found = small.predict_proba_out_of_fold(paths, np.where(y == 1, 1, NAN))
    assert found[y == 1].mean() > found[y == 0].mean()


def test_cross_validation_on_features(vectors) -> None:
    x, y, text = vectors
    folds = KFold(3, shuffle=True, random_state=0)
    assert (cross_val_score(on_features(None, "baseline"), x, y, cv=folds) > 0.7).all()
    search = GridSearchCV(on_features(text), {"method": ["zeroshot", "baseline"]}, cv=folds).fit(x, y)
    assert search.best_params_["method"] == "baseline"  # noise without any class has a direction, too


def test_what_does_not_go_with_features_is_refused(vectors, drawn) -> None:
    x, y, text = vectors
    fitted = on_features(text).fit(x, y)
    for attempt, words in (
        (lambda: on_features(text, backbone="scenes").fit(x, y), "X holds features.*leave backbone= out"),
        (lambda: on_features(text, image_size=64).fit(x, y), "leave image_size= out"),
        (lambda: on_features(None).fit(x, y), "--method baseline"),
        (lambda: on_features(text[:2]).fit(x, y), r"text has shape \(2, 8\), where 3 classes"),
        (lambda: on_features(text, "positivecoop").fit(x, y), "features come without one"),
        (lambda: on_features(text).fit(x * NAN, y), r"X\[0\] holds NaN"),
        (lambda: on_features(text).fit(x.astype(int), y), r"features are one float array \(N, D\) or \(N, R, D\)"),
        (lambda: on_features(text, backbone="scenes").fit(drawn[0][:60], y), "text= is about features"),
        (lambda: fitted.predict_proba(drawn[0][:2]), "trained on features and sees no images"),
        (lambda: fitted.predict_proba(x[:, :4]), "features of width 8, and these have 4"),
    ):
        with pytest.raises(UserError, match=words):
            attempt()


def test_a_run_on_images_takes_no_features(small, drawn, vectors) -> None:
    paths, y = drawn
    fitted = small.fit(paths[:40], y[:40])
    with pytest.raises(UserError, match="leave backbone= out"):
        fitted.predict_proba(vectors[0])
    with pytest.raises(UserError, match="trained on images seen by scenes, and these are features"):
        pm.MultiLabelRecognizer.load(fitted.save(paths[0].parent / "run"), backbone=None, image_size=None).predict(
            vectors[0]
        )


def test_a_method_can_be_chosen_by_cross_validation(small, drawn, monkeypatch) -> None:
    paths, y = drawn
    monkeypatch.setattr("promptmlr.planning.usable_methods", lambda *_: ("baseline", "dualembedding"))
    recognizer = small.set_params(method="auto").fit(paths, y)
    assert recognizer.method_ in ("baseline", "dualembedding")
    assert recognizer.run_.config.method == recognizer.method_
    chosen = recognizer.method_
    assert recognizer.partial_fit(paths[:60], y[:60]).method_ == chosen
    assert clone(recognizer).method == "auto"
