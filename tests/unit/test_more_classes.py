"""Classes added by name: where they stand, what their margins mean, and that the others stay as they were."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from promptmlr import functional, scenes
from promptmlr.backbone import ensemble_features
from promptmlr.data import DataOptions, load_data
from promptmlr.data.images import ImageFile
from promptmlr.errors import UserError
from promptmlr.more_classes import MEAN_COUNTS, SPREAD_COUNTS, with_classes
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.pooling import POOLINGS, Pooling
from promptmlr.prior.zero_shot import Moments, fit_scaling
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.run import Run, load_run
from promptmlr.tagging import zero_shot_run
from support import draw_photos, scenes_run

OLD, NEW = ("tree", "house", "cloud", "car", "flower"), ("moon", "umbrella")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    return [path for path, _ in draw_photos(tmp_path_factory.mktemp("drawn") / "photos", 60)]


@pytest.fixture(scope="module")
def run(scenes_backbone, files) -> Run:
    return zero_shot_run(scenes_backbone, files, OLD, workers=0)


def run_on_scenes(backbone, out: Path, method: str, recipe: Recipe) -> Run:
    """On all labels of five classes of 100 drawn scenes."""
    few = load_data("scenes", options=DataOptions(scenes_train=100))
    columns = [few.class_names.index(name) for name in OLD]
    some = type(few)(few.image_ids, few.images, few.labels[:, columns], OLD, "drawn scenes")
    job = TrainingJob(method, recipe, some, np.ones(some.labels.shape, bool))
    found = load_run(train_run(job, backbone, out, workers=0))
    found.adopt(backbone)
    return found


@pytest.fixture(scope="module")
def trained(scenes_backbone, tmp_path_factory) -> Run:
    recipe = load_recipe("default", "anchored", epochs=5)
    return run_on_scenes(scenes_backbone, tmp_path_factory.mktemp("runs") / "run", "anchored", recipe)


def margins_by_hand(run: Run, names, files: list[Path]) -> np.ndarray:
    """Class texts against the background, weighted by regions of presence, as the equations say."""
    _, regions = extract(FreshRegions(run.backbone, [ImageFile(path) for path in files], workers=0))
    texts = run.backbone.encode_text([f"a photo of a {name}." for name in names])
    background = run.zero_shot.absence.embedding[:1].expand(len(names), -1)
    presence, absence = (functional.cosine_map(regions.regions, side) for side in (texts, background))
    weights = functional.region_weights(presence)
    return (functional.aggregate(presence, weights) - functional.aggregate(absence, weights)).double().numpy()


def test_the_classes_of_the_run_stay_as_they_were(trained: Run, files) -> None:
    more = with_classes(trained, NEW, files, workers=0)
    assert more.class_names == (*OLD, *NEW)
    assert more.predict(files)[:, :5] == pytest.approx(trained.predict(files), abs=1e-6)
    assert more.thresholds[:5] == pytest.approx(trained.thresholds)
    assert trained.class_names == OLD


def test_new_classes_are_on_the_common_line(trained: Run, files) -> None:
    """The line once more, from its four numbers."""
    more = with_classes(trained, NEW, files, workers=0)
    common, margins = trained.prior.common, margins_by_hand(trained, NEW, files)
    count = len(files)
    mean = (count * margins.mean(axis=0) + MEAN_COUNTS * common["mean"]) / (count + MEAN_COUNTS)
    usual = math.exp(2 * common["log_spread"])
    spread = np.sqrt((count * margins.var(axis=0) + SPREAD_COUNTS * usual) / (count + SPREAD_COUNTS))
    scale = np.exp(common["log_scale"] - common["evening"] * (np.log(spread) - common["log_spread"]))
    level = common["shift"] + scale * (1 - common["centring"]) * (mean - common["mean"])
    assert more.predict(files)[:, 5:] == pytest.approx(expit(scale * (margins - mean) + level), abs=1e-4)


def test_new_classes_are_ranked_by_their_names(trained: Run, files) -> None:
    found = with_classes(trained, NEW, files, workers=0).predict(files)[:, 5:]
    for column, name in zip(found.T, NEW, strict=True):
        place = scenes.CLASS_NAMES.index(name)
        there = np.array([scenes.draw_scene(7, index).labels[place] == 1 for index in range(len(files))])
        assert column[there].mean() > 1.5 * column[~there].mean()


def test_new_classes_are_put_into_the_sentences_of_the_run(scenes_backbone, files) -> None:
    texts = {"tree": ("trees",)}
    several = zero_shot_run(scenes_backbone, files, OLD, templates="simple", texts=texts, workers=0)
    assert (several.config.recipe.templates, several.config.recipe.texts) == ("simple", texts)
    more = with_classes(several, NEW, files, workers=0)
    found = torch.nn.functional.normalize(more.recognizer.presence.embedding[5:], dim=-1)
    torch.testing.assert_close(found, ensemble_features(scenes_backbone, NEW, "simple"))


def test_the_level_of_the_run_is_theirs(scenes_backbone, files) -> None:
    seldom, often = (
        with_classes(zero_shot_run(scenes_backbone, files, OLD, share=share, workers=0), NEW, files, workers=0)
        for share in (0.05, 0.5)
    )
    assert seldom.predict(files)[:, 5:].mean() < 0.12
    assert often.predict(files)[:, 5:].mean() > 0.35


def test_classes_are_added_one_after_the_other(run: Run, files) -> None:
    together = with_classes(run, NEW, files, workers=0)
    apart = with_classes(with_classes(run, NEW[:1], files, workers=0), NEW[1:], files, workers=0)
    assert apart.class_names == together.class_names
    assert apart.predict(files) == pytest.approx(together.predict(files), abs=1e-6)
    regions = extract(FreshRegions(run.backbone, load_data("scenes", options=DataOptions(scenes_train=4)).images))[1]
    before, after = (one.zero_shot(regions.regions) for one in (run, together))
    torch.testing.assert_close(after[:, :, :5], before)
    assert len(together.prior.centre) == 7


def test_the_zero_shot_beside_a_run_pools_as_it_did(scenes_backbone, files, tmp_path: Path, monkeypatch) -> None:
    """Without a prior, the recipe's pooling is that of the run alone."""
    even = Pooling("all regions alike", "this test", lambda found: torch.full_like(found, 1 / found.shape[-1]))
    monkeypatch.setitem(POOLINGS, "even", even)
    recipe = load_recipe("default", "dualembedding", epochs=1).model_copy(update={"pooling": "even"})
    run = run_on_scenes(scenes_backbone, tmp_path / "run", "dualembedding", recipe)
    more = with_classes(run, NEW, files, workers=0)
    _, found = extract(FreshRegions(scenes_backbone, [ImageFile(path) for path in files[:4]], workers=0))
    for before, after in ((run.zero_shot, more.zero_shot), (run.recognizer, more.recognizer)):
        torch.testing.assert_close(after(found.regions)[:, :, :5], before(found.regions))


def test_one_image_does_not_say_what_is_usual(run: Run, files) -> None:
    """Alone it would have no spread, and be its own mean."""
    one = with_classes(run, NEW, files[0], workers=0)
    margins = margins_by_hand(run, NEW, files[:1])[0]
    centre = np.array(one.prior.centre[5:])
    assert ((centre - margins) * (run.prior.common["mean"] - centre) > 0).all()
    assert np.exp(one.prior.log_scale[5:]).max() < 3


def test_a_run_without_calibration_keeps_its_logits(scenes_backbone, files, run: Run) -> None:
    plain = Run(run.path, run.config, run.recognizer, None, run.prior, run.zero_shot)
    plain.adopt(scenes_backbone)
    more = with_classes(plain, NEW, files, workers=0)
    assert more.predict(files)[:, :5] == pytest.approx(plain.predict(files), abs=1e-6)
    assert more.predict(files)[:, 5:] == pytest.approx(with_classes(run, NEW, files, workers=0).predict(files)[:, 5:])
    assert (more.thresholds[:5] == 0.5).all()


def test_what_all_classes_share_is_in_the_common_line() -> None:
    """Where classes are alike, a class to come is like them, however far that is from what was assumed."""
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(2000, 6))
    labels = (rng.random(margins.shape) < expit(1.5 * margins + 1.0)).astype(np.int8)
    moments = Moments.of(margins)
    log_scale, shift = fit_scaling(margins, labels, moments)[1].lines(moments)
    assert log_scale.exp().numpy() == pytest.approx(1.5, abs=0.15)
    assert shift.numpy() == pytest.approx(1.0, abs=0.15)


def test_what_cannot_be_added_to_is_named(run: Run, files, tmp_path: Path, scenes_backbone) -> None:
    for names, said in (
        (("moon", "tree"), "has the class 'tree' already"),
        (("a_b", "a b"), "duplicate"),
        ((), "no class"),
    ):
        with pytest.raises(UserError, match=said):
            with_classes(run, names, files)
    with pytest.raises(UserError, match=r"no prior\.json.*train it again"):
        with_classes(Run(run.path, run.config, run.recognizer), NEW, files)
    linear = load_run(scenes_run(tmp_path / "linear", "baseline", epochs=1, backbone=scenes_backbone, calibrate=False))
    with pytest.raises(UserError, match=r"linear sides \(baseline\)"):
        with_classes(linear, ("lamp",), files)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="no image could be read"):
        with_classes(run, NEW, tmp_path / "broken.png", workers=0)
