"""Classes of which training sees no label: which they are, and that what is said of them is so."""

from pathlib import Path

import numpy as np
import pytest
import torch

from promptmlr.data.formats.coco import COCO_CLASS_NAMES
from promptmlr.errors import UserError
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.grid.unseen import (
    choose_classes,
    class_groups,
    harmonic_mean,
    unseen_findings,
    what_is_known,
)
from promptmlr.recipes import load_recipe
from promptmlr.report.findings import as_text

NAMES = ("cat", "dog", "traffic light", "hat", "tree")


def test_a_share_is_drawn_and_always_the_same() -> None:
    many = [f"class {index}" for index in range(50)]
    scored, unseen = choose_classes("0.2", many)
    assert scored == many
    assert len(unseen) == 10
    assert unseen == choose_classes("0.2", many)[1] != many[:10]


def test_names_are_read_from_a_list_and_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("traffic_light\n\nhat\n")
    for asked in ("traffic light, hat", str(tmp_path / "names.txt")):
        assert choose_classes(asked, NAMES) == (list(NAMES), ["traffic light", "hat"])
    assert choose_classes("hat", NAMES)[1] == ["hat"]


def test_the_split_of_coco() -> None:
    scored, unseen = choose_classes("coco48-17", COCO_CLASS_NAMES)
    assert (len(scored), len(unseen), len(COCO_CLASS_NAMES)) == (65, 17, 80)
    assert [name for name in COCO_CLASS_NAMES if name in scored] == scored
    assert {"airplane", "cat", "scissors", "umbrella"} <= set(unseen) <= set(scored)
    assert "traffic light" not in scored


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("0", "at least one is unseen"),
        ("1", "at least one is unseen"),
        ("0.01", "of 5 classes at least one"),
        ("nan", "at least one is unseen"),
        ("hat,catt", "no class 'catt' in the data; did you mean 'cat'"),
        ("hat,hat", "duplicate class name 'hat'"),
        (",", "no class; at least one is needed"),
        ("cat,dog,traffic light,hat,tree", "names all classes"),
        ("coco48-17", "the data have no class 'person'"),
    ],
)
def test_what_names_no_classes_is_refused(asked: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose_classes(asked, NAMES)


def test_seen_and_unseen_classes_are_groups_of_columns() -> None:
    groups = class_groups(NAMES, ["dog", "tree"])
    assert {name: columns.tolist() for name, columns in groups.items()} == {
        "all": [0, 1, 2, 3, 4],
        "seen": [0, 2, 3],
        "unseen": [1, 4],
    }
    assert list(class_groups(NAMES, [])) == ["all"]


@pytest.mark.parametrize("start", ["text", "agnostic"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("method", sorted(METHOD_TABLE))
def test_who_is_said_to_know_nothing_says_one_half_of_every_image(scenes_backbone, method, shared, start) -> None:
    """As it starts, which for class-specific tensors is as it stays."""
    recipe = load_recipe("default", method, start=start, class_specific=not shared)
    recognizer = create_recognizer(method, scenes_backbone, NAMES, **recipe.start_options())
    regions = torch.randn(6, 3, scenes_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        absence, presence = recognizer(regions).unbind(dim=1)
    said = what_is_known(method, recipe)
    knows = "nothing;" not in said
    begins_even = torch.allclose(presence, absence, atol=1e-3)
    assert said.startswith(f"{method}: ")
    assert knows or begins_even
    if "shared context" not in said and "contexts that were learned" not in said:
        assert begins_even is not knows


@pytest.mark.parametrize("method", ["baseline", "dualcoop", "dualembedding", "positivecoop"])
def test_two_random_starts_are_not_the_same(method: str) -> None:
    assert "nothing;" not in what_is_known(method, load_recipe("released", method))


def test_shared_contexts_and_weight_decay_are_said() -> None:
    shared = load_recipe("default", "dualcoop", class_specific=False)
    assert "contexts that were learned from the seen classes" in what_is_known("dualcoop", shared)
    assert "weight decay" in what_is_known("dualcoop", load_recipe("released", "dualcoop"))
    assert "random offset" in what_is_known("positivecoop", load_recipe("released", "positivecoop"))


def test_tables_are_of_all_seen_and_unseen_classes(tmp_path: Path) -> None:
    def part(level: float) -> GridResults:
        scores = np.full((2, 1, 3), level)
        return GridResults(["baseline", "zeroshot"], [0.1], scores, np.repeat(scores[..., None], 9, 3), [[1], [0]])

    whole = part(0.5)
    results = GridResults(**{**vars(whole), "groups": {"seen": part(0.625), "unseen": part(0.25)}})
    recipes = {("baseline", 0.1): load_recipe("default", "baseline")}
    settings = unseen_findings(["cat"], NAMES, recipes)
    outputs = GridOutputs(results, "zeroshot", {("baseline", 0.1): 0.5}, "some images", settings=settings)
    text = as_text(outputs.findings())
    for group, level in (("all", "50.0"), ("seen", "62.5"), ("unseen", "25.0")):
        table = text[text.index(f"mAP in percent of {group} classes") :].splitlines()
        assert table[2].split()[:2] == ["baseline", level]
        assert f"points of mAP of {group} classes" in text
    assert text.count("baseline, paper") == 1
    assert "Unseen in training are 1 of 5 classes: cat." in text
    assert "baseline: nothing;" in text
    table = text[text.index("mAP in percent, harmonic mean of seen and unseen classes") :].splitlines()
    assert table[2].split()[:2] == ["baseline", "35.7"]  # of 62.5 and 25.0
    outputs.write(tmp_path)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[1] for line in lines] == [
        "classes",
        *(group for group in ("all", "seen", "unseen", "harmonic") for _ in range(2)),
    ]
    assert unseen_findings([], NAMES, recipes) == []


def test_a_harmonic_mean_is_of_every_resample_and_zero_where_one_is() -> None:
    def of(scores: list[float], resampled: list[float]) -> GridResults:
        return GridResults(["one"], [0.5], np.array([[scores]]), np.array([[[resampled] * len(scores)]]), [[7]])

    found = harmonic_mean(of([0.6, 0.5], [0.8, 0.0, 0.4]), of([0.3, 0.5], [0.2, 0.0, 0.0]))
    np.testing.assert_allclose(found.scores[0, 0], [0.4, 0.5])
    np.testing.assert_allclose(found.resampled[0, 0, 0], [0.32, 0.0, 0.0])
