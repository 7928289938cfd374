"""A data set explained: the examples are the most, the median and the least alike, and flat maps are no numbers."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from promptmlr.files import write_text
from promptmlr.maps.dataset import explain_data
from promptmlr.maps.image import explain_image
from promptmlr.maps.subject import Subject
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.report.findings import as_markdown
from promptmlr.report.page import as_page
from promptmlr.sides import EmbeddingSide, LinearSide

NAMES = ("dog", "cat", "cup")


@dataclass
class Plain:
    """An image of one colour."""

    name: str

    def open(self) -> Image.Image:
        return Image.new("RGB", (40, 20), "red")


@pytest.fixture
def subject(scenes_backbone) -> Subject:
    width = scenes_backbone.feature_width
    sides = (EmbeddingSide(torch.randn(3, width, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    recognizer = Recognizer(*sides, NAMES)
    return Subject("made up", scenes_backbone, recognizer, ("presence", "absence"), recognizer)


def test_examples_are_the_most_the_median_and_the_least_alike(subject) -> None:
    regions = torch.randn(9, 17, subject.backbone.feature_width, generator=torch.Generator().manual_seed(2))
    labels = np.zeros((9, 3), dtype=np.int8)
    labels[2:7, 1] = 1  # five cats, one of them a dog as well
    labels[4, 2] = 1
    images = [Plain(f"folder/{index}.png") for index in range(9)]
    found = explain_data(subject, InMemoryRegions(regions), images, labels, ("cat", "dog"), "made-up images")
    presence, absence = (maps[:, 1, 1:] for maps in subject.maps(regions))
    by_image = {index: np.corrcoef(presence[index], absence[index])[0, 1] for index in range(2, 7)}
    order = sorted(by_image, key=by_image.__getitem__, reverse=True)
    titles = [strip.title.splitlines() for strip in found.examples]
    assert [title[0] for title in titles] == [f"{order[place]}.png" for place in (0, 2, 4)]
    assert all(title[1].startswith("cat, P(present) ") for title in titles)
    assert f"correlation {by_image[order[0]]:.2f}" in titles[0][2]
    grids = [overlay.grid for overlay in found.examples[0].overlays]
    np.testing.assert_allclose(grids, [side[order[0]].reshape(4, 4) for side in (presence, absence)], atol=1e-4)


def test_without_a_present_class_there_is_nothing_to_show(subject, tmp_path) -> None:
    regions = torch.randn(3, 17, subject.backbone.feature_width)
    images, labels = [Plain(str(index)) for index in range(3)], np.zeros((3, 3), dtype=np.int8)
    found = explain_data(subject, InMemoryRegions(regions), images, labels, NAMES, "made-up images")
    assert not found.examples
    findings = found.findings(tmp_path / "agreement.csv")
    assert "| with the class | correlation | – | – | – | – |" in as_markdown(findings)
    write_text(tmp_path / "page.html", as_page(found.title, found.lead, findings))
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<img ") == 1


def test_a_side_that_is_the_same_everywhere_has_no_number(subject, tmp_path) -> None:
    flat = LinearSide.zero(3, subject.backbone.feature_width)
    recognizer = Recognizer(subject.recognizer.presence, flat, NAMES)
    untrained = Subject("flat", subject.backbone, recognizer, subject.sides, recognizer)
    assert untrained.scales == ("S = 20 · cosine with the region", "score of a linear side (no cosine)")
    found = explain_image(untrained, Plain("a.png"), ["cat"])
    assert "| – | – |" in as_markdown(found.findings(tmp_path / "a.png"))
    found.write(tmp_path / "a.png")
    lines = (tmp_path / "a.maps.csv").read_text(encoding="utf-8").splitlines()
    assert "nan" not in "".join(lines)
    assert lines[2].startswith("cat,absence,absence,score of a linear side (no cosine),")
