"""Tags without labels: a sample of the images, and the run that training on none of their labels makes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptmlr as pm
from promptmlr import scenes
from promptmlr.data.classes import classes_of
from promptmlr.data.images import spread
from promptmlr.errors import UserError
from promptmlr.prior.zero_shot import assumed_share
from promptmlr.tagging import zero_shot_run
from support import draw_photos

NAMES = ("tree", "house", "cat")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    return [path for path, _ in draw_photos(tmp_path_factory.mktemp("drawn") / "photos", 48)]


@given(st.integers(0, 500), st.integers(1, 40))
def test_a_sample_is_spread_evenly(count: int, most: int) -> None:
    chosen = [int(path.name) for path in spread((Path(str(number)) for number in range(count)), most)]
    assert min(count, (most + 1) // 2) <= len(chosen) <= most
    assert len(set(np.diff(chosen).tolist())) <= 1
    assert chosen[:1] == [0][:count]
    assert not chosen or count - chosen[-1] <= (chosen[1] - chosen[0] if len(chosen) > 1 else 2 * count)


def test_classes_are_a_list_or_lines(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\ufeffdog\n\n traffic_light \n", encoding="utf-8")
    assert classes_of(str(tmp_path / "names")) == classes_of("dog, traffic light,") == ("dog", "traffic light")
    (tmp_path / "empty.txt").write_text("\n")
    for text, said in (
        (",", "--classes: no class"),
        ("dog,Dog,dog", "duplicate class name 'dog'"),
        ("names.txt", "names.txt: no such file"),
        (str(tmp_path / "empty.txt"), "empty.txt: no class"),
    ):
        with pytest.raises(UserError, match=said):
            classes_of(text)


def test_nothing_is_learned_and_the_level_is_assumed(scenes_backbone, files: list[Path]) -> None:
    run = zero_shot_run(scenes_backbone, [*files, files[0]], NAMES, workers=0)
    assert (run.config.method, run.config.data.images) == ("anchored", len(files))
    assert run.prior is not None
    assert (run.prior.strength, run.prior.level) == ("infinite", "assumed")
    assert run.calibration is not None
    assert run.calibration.basis == "prior"
    assert run.predict(files).mean() == pytest.approx(assumed_share(len(NAMES)), abs=1e-4)
    assert not run.path.exists()


def test_a_person_may_know_the_level(scenes_backbone, files: list[Path]) -> None:
    run = zero_shot_run(scenes_backbone, files, NAMES, share=(0.1, 0.3, 0.5), workers=0)
    assert run.predict(files).mean(axis=0) == pytest.approx([0.1, 0.3, 0.5], abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"templates": "simple", "texts": {"tree": ["trees", "the tree"]}}])
def test_the_estimator_fits_without_a_label(scenes_backbone, files: list[Path], options) -> None:
    recognizer = pm.MultiLabelRecognizer(backbone=scenes_backbone, class_names=NAMES, cache=False, workers=0, **options)
    recognizer.fit(files, np.full((len(files), 3), np.nan))
    run = zero_shot_run(scenes_backbone, files, NAMES, workers=0, **options)
    assert recognizer.predict_proba(files) == pytest.approx(run.predict(files), abs=1e-5)
    assert recognizer.predict(files).any()


def test_it_ranks_what_it_never_saw_a_label_of(scenes_backbone, files: list[Path]) -> None:
    truth = np.stack([scenes.draw_scene(7, index).labels[:3] for index in range(len(files))])
    run = zero_shot_run(scenes_backbone, files, scenes.CLASS_NAMES[:3], workers=0)
    found = run.predict(files)
    assert all(
        column[label == 1].mean() > column[label == 0].mean() for column, label in zip(found.T, truth.T, strict=True)
    )
