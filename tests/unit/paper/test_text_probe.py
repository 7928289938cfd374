"""The text probe on a backbone whose text features are made up, so that every answer is known."""

import json

import numpy as np
import open_clip
import pytest
import torch

from promptmlr.errors import UserError
from promptmlr.maps.sentences import TEMPLATES, Templates, negated
from promptmlr.paper.text_probe.report import ProbeOutputs, cosine_rows
from promptmlr.paper.text_probe.scores import SENTENCES, PresenceScore, presence_scores, prompt_cosines
from promptmlr.regions import InMemoryRegions
from promptmlr.report.findings import as_text
from support import csv_rows

NAMES = ("dog", "cat", "tea cup")
SET = Templates(("a {}", "one {}", "my {}"), ("a {}", "one {}", "my {}"), ("no {}", "not a {}"))


class MadeUp:
    """A feature for every sentence, remembered."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(0)

    def vector(self, text: str) -> np.ndarray:
        return self.known.setdefault(text, self.rng.normal(size=8) + 0.5)

    def encode_text(self, texts) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.vector(text) for text in texts])).float()

    def cosine(self, a: str, b: str) -> float:
        a, b = self.vector(a), self.vector(b)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("templates", [SET, TEMPLATES["single"]])
def test_cosines_are_means_over_pairs(templates) -> None:
    made_up = MadeUp()
    found = prompt_cosines(made_up, NAMES, templates)
    for c, name in enumerate(NAMES):
        positive, other, negative = (
            [template.format(name) for template in group]
            for group in (templates.positive, templates.other, templates.negative)
        )
        expected = np.mean([made_up.cosine(a, b) for a in positive for b in negative])
        assert found.positive_negative[c] == pytest.approx(expected, abs=1e-6)
        expected = np.mean([made_up.cosine(a, b) for a in positive for b in other if a != b])
        assert found.positive_positive[c] == pytest.approx(expected, abs=1e-6)
        per_class = [
            np.mean([made_up.cosine(t.format(name), t.format(elsewhere)) for t in templates.positive])
            for elsewhere in NAMES
            if elsewhere != name
        ]
        assert found.between_classes[c] == pytest.approx(np.mean(per_class), abs=1e-6)
        assert found.nearest_class[c] == pytest.approx(max(per_class), abs=1e-6)


def test_one_class_has_no_reference() -> None:
    with pytest.raises(UserError, match="two classes"):
        prompt_cosines(MadeUp(), ["dog"], SET)


def test_templates_are_the_papers_and_open_clips() -> None:
    assert TEMPLATES["single"] == Templates(("photo of a {}",), ("picture of a {}",), ("Not a photo of a {}",))
    imagenet = TEMPLATES["imagenet"]
    assert [t.format("dog") for t in imagenet.positive] == [t("dog") for t in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert len(imagenet.positive) == 80
    assert imagenet.negative[0] == negated(imagenet.positive[0]) == "not a bad photo of a {}."


@pytest.fixture
def world() -> tuple[MadeUp, InMemoryRegions, np.ndarray]:
    """Two classes along two axes; of four regions one, never region 0, shows each class that is present."""
    made_up, rng = MadeUp(), np.random.default_rng(1)
    labels = rng.integers(-1, 2, (60, 2)).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    axes = np.eye(8)
    for c, name in enumerate(("dog", "cat")):
        made_up.known[SENTENCES[0].format(name)] = axes[c]
        made_up.known[SENTENCES[1].format(name)] = -axes[c] + 0.1 * axes[5]
        made_up.known[SENTENCES[2].format(name)] = axes[6]
    regions = 0.05 * rng.normal(size=(60, 5, 8)) + axes[7]
    regions[:, :, 6] = 0.0  # nothing speaks to the last sentence: all images score alike
    regions /= np.linalg.norm(regions, axis=-1, keepdims=True)
    for c in range(2):
        present = labels[:, c] == 1
        regions[present, 2 + c] = axes[c]
    regions[:, :, 6] = 0.0
    return made_up, InMemoryRegions(torch.from_numpy(regions).float()), labels


def test_presence_is_scored_from_the_right_regions(world) -> None:
    made_up, regions, labels = world
    scores = {
        (one.sentence, one.scope): one
        for one in presence_scores(made_up, regions, labels, ("dog", "cat"), resamples=50)
    }
    assert len(scores) == 6
    positive, no, neither = SENTENCES
    np.testing.assert_array_equal(scores[positive, "local"].per_class, [1, 1])
    assert scores[positive, "local"].verdict == "nearer to images with the class"
    assert scores[positive, "global"].verdict == "within noise of 1/2"  # region 0 shows neither
    assert abs(scores[positive, "global"].mean - 0.5) < 0.2
    assert scores[no, "local"].mean < 0.6
    for place in ("global", "local"):
        np.testing.assert_array_equal(scores[neither, place].per_class, [0.5, 0.5])
    for one in scores.values():
        assert one.low <= one.mean <= one.high
        assert one.mean == pytest.approx(one.per_class.mean())


def test_a_sentence_that_speaks_of_absence_is_below_one_half() -> None:
    made_up, axes = MadeUp(), np.eye(8)
    labels = np.array([[1], [0]] * 20, dtype=np.int8)
    made_up.known[SENTENCES[1].format("dog")] = -axes[0]
    regions = np.where(labels[:, :, None] == 1, axes[0], axes[1])[:, None, 0].repeat(3, axis=1)
    found = presence_scores(made_up, InMemoryRegions(torch.from_numpy(regions).float()), labels, ("dog",), resamples=20)
    assert [one.mean for one in found if one.sentence == SENTENCES[1]] == [0, 0]
    assert {one.verdict for one in found if one.sentence == SENTENCES[1]} == {"nearer to images without it"}


def test_labels_of_one_kind_are_refused(world) -> None:
    made_up, regions, labels = world
    with pytest.raises(UserError, match="present and an absent"):
        presence_scores(made_up, regions, np.abs(labels) * 0, ("dog", "cat"))


def test_what_is_printed_is_in_the_files(tmp_path) -> None:
    cosines = prompt_cosines(MadeUp(), NAMES, TEMPLATES["single"])
    score = PresenceScore("no {}", "local", np.array([0.7, np.nan, 0.5]), 0.6, 0.55, 0.65)
    outputs = ProbeOutputs(cosines, "single", [score], {"data": None}, "x")
    text = as_text(outputs.findings())
    outputs.write(tmp_path)

    def rows(name: str) -> list[dict[str, str]]:
        return csv_rows(tmp_path / name)

    first = rows("cosines.csv")[0]
    values = cosines.positive_negative
    assert first["cosine"] == "positive_negative"
    for key, value in (("mean", values.mean()), ("std", values.std(ddof=1)), ("min", values.min())):
        assert float(first[key]) == pytest.approx(value)
        assert f"{value:.3f}" in text
    assert (first["paper_mean"], first["paper_max"]) == ("0.58", "0.69")
    assert "0.58 ± 0.06 (0.37 to 0.69)" in text
    assert rows("cosines.csv")[2]["paper_mean"] == ""
    assert [row["class"] for row in rows("classes.csv")] == list(NAMES)
    assert [row["auc of 'no {}', local"] for row in rows("classes.csv")] == ["0.7", "", "0.5"]
    assert rows("auc.csv")[0]["low"] == "0.55"
    assert "0.550 to 0.650" in text
    assert "over the 2 of 3 classes" in text
    assert json.loads((tmp_path / "settings.json").read_text()) == {"data": None}


def test_nearer_than_any_other_class_is_counted() -> None:
    made_up, axes = MadeUp(), np.eye(8)
    for c, name in enumerate(NAMES):
        made_up.known[f"photo of a {name}"] = made_up.known[f"picture of a {name}"] = axes[c] + axes[7]
        made_up.known[f"Not a photo of a {name}"] = axes[c] + axes[7] if c < 2 else -axes[c]
    cosines = prompt_cosines(made_up, NAMES, TEMPLATES["single"])
    assert "For 2 of the classes the negative prompt is nearer" in " ".join(
        as_text(ProbeOutputs(cosines, "single", [], {}, "x").findings()).split()
    )
    assert cosine_rows(cosines, "imagenet")[1]["paper_mean"] == 0.61
