"""The two maps of a bare backbone, against cosines written out."""

import pytest
import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES

from promptmlr.errors import UserError
from promptmlr.maps.subject import subject_of_backbone


def cosines(regions: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """(R, D) and (C, D) → (C, R)."""
    normalise = torch.nn.functional.normalize
    return normalise(vectors, dim=-1) @ normalise(regions, dim=-1).T


@pytest.fixture(scope="module")
def regions(scenes_backbone) -> torch.Tensor:
    return torch.randn(2, 17, scenes_backbone.feature_width, generator=torch.Generator().manual_seed(0))


def test_maps_are_scaled_cosines_with_the_papers_sentences(scenes_backbone, regions) -> None:
    subject = subject_of_backbone(scenes_backbone, ("tree", "car"))
    assert [side.format("car") for side in subject.sides] == ["“a photo of a car.”", "“not a photo of a car.”"]
    for template, maps in zip(("a photo of a {}.", "not a photo of a {}."), subject.maps(regions), strict=True):
        features = scenes_backbone.encode_text([template.format(name) for name in ("tree", "car")])
        torch.testing.assert_close(torch.from_numpy(maps)[1], 20 * cosines(regions[1], features), atol=1e-4, rtol=0)
    assert subject.probabilities(regions) is None


def test_several_templates_are_averaged_as_directions(scenes_backbone, regions) -> None:
    subject = subject_of_backbone(scenes_backbone, ("tree", "car"), "imagenet")
    for negation, maps in zip(("", "not "), subject.maps(regions), strict=True):
        texts = [negation + template("car") for template in OPENAI_IMAGENET_TEMPLATES]
        mean = torch.nn.functional.normalize(scenes_backbone.encode_text(texts), dim=-1).mean(dim=0, keepdim=True)
        torch.testing.assert_close(torch.from_numpy(maps)[0, 1:], 20 * cosines(regions[0], mean), atol=1e-4, rtol=0)


def test_captions_are_read_as_they_stand_and_need_no_class(scenes_backbone, regions) -> None:
    subject = subject_of_backbone(scenes_backbone, ())
    maps = subject.text_maps(regions, ["a tree", "there is no {}"])
    expected = 20 * cosines(regions[0], scenes_backbone.encode_text(["a tree", "there is no {}"]))
    torch.testing.assert_close(torch.from_numpy(maps)[0], expected, atol=1e-4, rtol=0)
    assert [side.shape for side in subject.maps(regions)] == [(2, 0, 17)] * 2


def test_an_unknown_class_names_the_nearest(scenes_backbone) -> None:
    with pytest.raises(UserError, match=r"scenes has no class 'tre'; did you mean 'tree'\?"):
        subject_of_backbone(scenes_backbone, ("tree", "car")).columns(["car", "tre"])
