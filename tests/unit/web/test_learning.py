"""Rankings: what a run thinks first, what it thinks once it has learned, and who must not learn."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptmlr.data import DataOptions
from promptmlr.errors import UserError
from promptmlr.features import RegionCache
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.recipes import load_recipe
from promptmlr.reporting import Reporter
from promptmlr.scenes import draw_scene
from promptmlr.web.asking import Asked, label_queue
from promptmlr.web.learning import Learner, learning_by, probabilities_of, run_on, why_not
from support import Heard
from web_support import Asker, labelled_of

CLASSES = ("tree", "cat")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty scenes, of which nothing is known; the last three are of the test split."""
    rows = ["image,split,tree,cat"]
    for number in range(40):
        Image.fromarray(draw_scene(7, number).image).save(tmp_path / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{'test' if number > 36 else 'train'},,")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> RegionCache:
    return RegionCache(tmp_path / "cache")


def test_a_run_ranks_training_rows(loaded, table: Path, cache: RegionCache) -> None:
    run = loaded[0]
    (table.parent / "05.png").write_bytes(b"no image")
    labelled, heard = labelled_of(table), Heard()
    found = probabilities_of(run, labelled, cache, 0, heard)
    assert found.shape == (37, 2)
    assert np.isnan(found[5]).all()
    assert any("05.png" in note for note in heard.notes)
    expected = run.predict([table.parent / f"{number:02d}.png" for number in (0, 36)])
    columns = [run.class_names.index(name) for name in CLASSES]
    assert np.allclose(found[[0, 36]], expected[:, columns], atol=1e-3)


def test_classes_that_a_run_does_not_know_are_not_asked(loaded, table: Path, cache: RegionCache) -> None:
    labelled = replace(labelled_of(table), class_names=("tree", "unicorn"))
    found = probabilities_of(loaded[0], labelled, cache, 0)
    assert np.isnan(found[:, 1]).all()
    assert not np.isnan(found[:, 0]).any()
    with pytest.raises(UserError, match="knows none of the classes"):
        probabilities_of(loaded[0], replace(labelled, class_names=("gnome", "unicorn")), cache, 0)


def test_from_no_label_at_all(scenes_backbone, table: Path, cache: RegionCache) -> None:
    """Zero-shot proposals; and labels of trees move what is thought of trees."""
    labelled = labelled_of(table)
    run = run_on(labelled, scenes_backbone, cache, workers=0)
    first = probabilities_of(run, labelled, cache, 0)
    truth = np.array([draw_scene(7, number).labels for number in range(37)])[:, [run_class("tree"), run_class("cat")]]
    best = np.argsort(-first[:, 0])[:8]
    assert truth[best, 0].mean() > truth[:, 0].mean()
    labels = labelled.labels.copy()
    labels[:30, 0] = ABSENT
    learned = probabilities_of(
        run_on(replace(labelled, labels=labels), scenes_backbone, cache, run), labelled, cache, 0
    )
    assert learned[30:, 0].mean() < 0.7 * first[30:, 0].mean()


def run_class(name: str) -> int:
    from promptmlr.scenes import CLASS_NAMES

    return CLASS_NAMES.index(name)


def test_answers_move_the_ranking_in_the_background(scenes_backbone, table: Path, cache: RegionCache) -> None:
    queue = label_queue(Asked(str(table), random_share=0, reading=DataOptions()), None, Reporter())
    run = run_on(queue.labelled, scenes_backbone, cache, workers=0)
    learner = Learner(queue, learning_by(run, queue.labelled, cache, 0, Reporter()), Reporter())
    learner.rank()
    me = Asker(queue, mode="grid")
    with learner:
        shown = me.pages()
        me.answer("absent")
        for _ in range(400):
            if me.standing().ranked_with == 24:
                break
            threading.Event().wait(0.05)
        assert me.standing().ranked_with == 24
        assert me.pages()[0] == shown[1]
        learned = queue._proposals
        me.answer("absent")
        newest = me.pages()[-1].cells[0]
        assert newest.probability == learned.probability(newest.place)
    assert not learner._thread.is_alive()


def test_who_does_not_learn_from_a_session(loaded, table: Path) -> None:
    few = np.full((40, 2), UNKNOWN, dtype=np.int8)
    run = loaded[0]
    assert "only under a prior" in why_not(run, few)
    recipe = load_recipe("default", "anchored")
    seen = run.config.model_copy(update={"recipe": recipe, "method": "anchored"})
    other = type(run)(run.path, seen, run.recognizer)
    assert f"learned from {seen.data.known_labels:,} labels" in why_not(other, few)
    many = np.full((40, 40), PRESENT, dtype=np.int8)
    assert why_not(other, many) is None
    moving = seen.model_copy(update={"recipe": recipe.model_copy(update={"augmentation": "released"})})
    assert "takes too long" in why_not(type(run)(run.path, moving, run.recognizer), many)


def test_a_failure_leaves_the_ranking_as_it_is(table: Path) -> None:
    heard = Heard()
    queue = label_queue(Asked(str(table)), None, heard)
    told = threading.Event()

    def learn(_labels, _follower):
        told.set()
        raise UserError("the disk is gone")

    with Learner(queue, learn, heard):
        queue.changed.set()
        assert told.wait(5)
    assert "no new ranking: the disk is gone" in heard.notes
    assert Asker(queue).standing().problem is None
