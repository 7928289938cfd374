"""Prompt ensembles: the mean of what several sentences say, where a method starts from class texts."""

import numpy as np
import pytest
import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES
from torch.nn.functional import normalize

from promptmlr.backbone import PrecomputedFeatures, class_sentences, ensemble_features
from promptmlr.errors import UserError
from promptmlr.methods import METHODS, background_features, create_recognizer, reads_texts

NAMES = ("tree", "traffic light")


def test_sentences_are_the_templates_or_what_is_written() -> None:
    assert class_sentences(NAMES) == (("a photo of a tree.",), ("a photo of a traffic light.",))
    found = class_sentences(NAMES, "simple", {"traffic_light": ["stop!", "a lamp {} for cars"]})
    assert found[1] == ("stop!", "a lamp {} for cars")
    assert found[0] == tuple(template("tree") for template in SIMPLE_IMAGENET_TEMPLATES)
    assert len(class_sentences(NAMES, "imagenet")[0]) == len(OPENAI_IMAGENET_TEMPLATES)
    with pytest.raises(UserError, match=r"'tre', which is no class here; .*tree"):
        class_sentences(NAMES, "one", {"tre": ["a tre"]})


def test_a_class_is_the_mean_direction_of_its_sentences(scenes_backbone) -> None:
    found = ensemble_features(scenes_backbone, NAMES, "simple")
    expected = []
    for name in NAMES:
        features = scenes_backbone.encode_text([template(name) for template in SIMPLE_IMAGENET_TEMPLATES])
        expected.append(normalize(normalize(features.double(), dim=-1).sum(0), dim=-1))
    torch.testing.assert_close(found, torch.stack(expected).float())


def test_one_sentence_is_what_it_was(scenes_backbone) -> None:
    plain = scenes_backbone.class_features(NAMES, "a photo of a {}.")
    assert (ensemble_features(scenes_backbone, NAMES) == plain).all()
    written = {name: [f"a photo of a {name}."] for name in NAMES}
    torch.testing.assert_close(
        ensemble_features(scenes_backbone, NAMES, "imagenet", written), normalize(plain.float(), dim=-1)
    )


@pytest.mark.parametrize("method", ["anchored", "dualembedding", "zeroshot"])
def test_methods_start_from_them(scenes_backbone, method: str) -> None:
    texts = {"tree": ["trees", "a picture of the tree"]}
    options = {"start": "text", "templates": "simple"}
    plain, several = (
        create_recognizer(method, scenes_backbone, NAMES, **options, texts=given) for given in (None, texts)
    )
    wanted = normalize(ensemble_features(scenes_backbone, NAMES, "simple", texts), dim=-1)
    found = normalize(several.presence.class_vectors().detach(), dim=-1)
    torch.testing.assert_close(found, wanted)
    same = (several.presence.class_vectors() == plain.presence.class_vectors()).all(dim=1)
    assert same.tolist() == [False, True]
    if method == "anchored":
        background = normalize(background_features(scenes_backbone, NAMES, "simple", texts), dim=-1)
        torch.testing.assert_close(normalize(several.absence.class_vectors()[:1].detach(), dim=-1), background)


def test_methods_that_start_elsewhere_refuse_them(scenes_backbone) -> None:
    reading = [method for method in METHODS if reads_texts(method, "text")]
    assert reading == ["anchored", "dualembedding", "zeroshot"]
    for method in set(METHODS) - set(reading):
        for options in ({"templates": "imagenet"}, {"texts": {"tree": ["trees"]}}):
            with pytest.raises(UserError, match=f"and {method} does not start from these alone: leave them out"):
                create_recognizer(method, scenes_backbone, NAMES, start="text", **options)
    with pytest.raises(UserError, match="dualembedding with start 'random' does not"):
        create_recognizer("dualembedding", scenes_backbone, NAMES, start="random", templates="simple")
    with pytest.raises(UserError, match=r"unknown templates 'imagnet'; .*imagenet"):
        create_recognizer("anchored", scenes_backbone, NAMES, templates="imagnet")


def test_features_have_no_tower_to_read_them() -> None:
    given = PrecomputedFeatures(4, {name: np.eye(4, dtype=np.float32)[k] for k, name in enumerate(NAMES)})
    assert ensemble_features(given, NAMES).shape == (2, 4)
    with pytest.raises(UserError, match="read by a text tower, and features come without one"):
        ensemble_features(given, NAMES, "simple")
