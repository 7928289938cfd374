"""What stands in for a backbone: class texts looked up, an identity that ties a run to its space, and refusals."""

import numpy as np
import pytest
import torch

from promptmlr.backbone import Backbone, PrecomputedFeatures
from promptmlr.errors import UserError
from promptmlr.methods import METHOD_TABLE, METHODS, create_recognizer, methods_on

NAMES = ("dog", "cat", "traffic light")
TEXT = dict(zip(NAMES, np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32), strict=True))


@pytest.fixture
def given() -> PrecomputedFeatures:
    return PrecomputedFeatures(8, TEXT)


def test_class_texts_are_looked_up_by_name(given: PrecomputedFeatures) -> None:
    found = given.class_features(["cat", "dog"], "a drawing of a {}.")
    assert found.numpy().tolist() == [TEXT["cat"].tolist(), TEXT["dog"].tolist()]


def test_without_a_class_it_is_the_mean_of_all_directions(given: PrecomputedFeatures) -> None:
    wanted = np.mean([vector / np.linalg.norm(vector) for vector in TEXT.values()], axis=0)
    found = given.class_features(["cat", "dog"], "a photo.")
    np.testing.assert_allclose(found.numpy(), [wanted, wanted], rtol=1e-6)
    assert all((vector != 0).any() for vector in TEXT.values())  # and nothing was normalised in place
    assert given.class_features(["cat"], "{}").numpy().tolist() == [TEXT["cat"].tolist()]


def test_a_backbone_encodes_what_is_looked_up(tiny_backbone: Backbone) -> None:
    found = tiny_backbone.class_features(NAMES, "a photo of a {}.")
    sentences = ["a photo of a dog.", "a photo of a cat.", "a photo of a traffic light."]
    assert torch.equal(found, tiny_backbone.encode_text(sentences))
    alike = tiny_backbone.class_features(NAMES, "a photo.")
    assert torch.equal(alike, tiny_backbone.encode_text(["a photo."]).expand(3, -1))


def test_a_class_without_text_is_named(given: PrecomputedFeatures) -> None:
    with pytest.raises(UserError, match="no text features of class 'cats' are given; did you mean 'cat'"):
        given.class_features(["cats"], "{}")


def test_without_text_only_linear_sides_are_possible() -> None:
    bare = PrecomputedFeatures(8)
    assert {METHOD_TABLE[name].presence for name in methods_on(bare)} == {"linear"}
    assert create_recognizer("baseline", bare, NAMES)(torch.zeros(2, 1, 8)).shape == (2, 2, 3)
    for method in ("zeroshot", "dualembedding"):
        with pytest.raises(UserError, match=r"`text`, \(C, D\), or take --method baseline"):
            create_recognizer(method, bare, NAMES)
    create_recognizer("dualembedding", bare, NAMES, start="random")


def test_prompts_are_refused_and_nothing_else_is(given: PrecomputedFeatures) -> None:
    usable = methods_on(given)
    assert {"baseline", "dualembedding", "zeroshot"} <= set(usable)
    for method in METHODS:
        if method in usable:
            create_recognizer(method, given, NAMES)
        else:
            with pytest.raises(UserError, match=r"prompts are learned through a text tower.*--method anchored"):
                create_recognizer(method, given, NAMES)


def test_a_backbone_can_do_all_methods(tiny_backbone: Backbone) -> None:
    assert methods_on(tiny_backbone) == METHODS


def test_zero_shot_is_the_cosine_with_the_class_text_less_that_with_the_mean(given: PrecomputedFeatures) -> None:
    vector = np.random.default_rng(1).normal(size=8).astype(np.float32)
    mean = np.mean([text / np.linalg.norm(text) for text in TEXT.values()], axis=0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    absence, presence = create_recognizer("zeroshot", given, NAMES)(torch.from_numpy(vector)[None, None])[0]
    np.testing.assert_allclose(
        (presence - absence).detach().numpy(),
        [5 * 20 * (cosine(vector, text) - cosine(vector, mean)) for text in TEXT.values()],
        rtol=1e-4,
        atol=1e-4,
    )


def test_the_identity_is_that_of_width_and_text(given: PrecomputedFeatures) -> None:
    again = PrecomputedFeatures(8, dict(reversed(TEXT.items())))
    assert given.identity() == again.identity()
    moved = TEXT | {"cat": TEXT["cat"] * 2}
    hashes = {
        one.weights_sha256
        for one in (given, PrecomputedFeatures(8, moved), PrecomputedFeatures(8), PrecomputedFeatures(9))
    }
    assert len(hashes) == 4


def test_what_speaks_against_another_space(given: PrecomputedFeatures) -> None:
    few = PrecomputedFeatures(8, {name: TEXT[name] for name in NAMES[:2]})
    assert given.may_match(few.weights_sha256, NAMES[:2])  # text of more classes
    assert few.may_match(given.weights_sha256, NAMES)  # of fewer
    assert PrecomputedFeatures(8).may_match(given.weights_sha256, NAMES)
    assert given.may_match(PrecomputedFeatures(8).weights_sha256, NAMES)
    moved = PrecomputedFeatures(8, TEXT | {"cat": TEXT["cat"] + 1})
    assert not moved.may_match(given.weights_sha256, NAMES)
    assert not given.may_match("of RN101", NAMES)


@pytest.mark.parametrize(
    "ask",
    [
        lambda given: given.text,
        lambda given: given.encode_text(["a dog"]),
        lambda given: given.encode_image(torch.zeros(1, 3, 8, 8)),
        lambda given: given.image_tower(),
        lambda given: given.preprocessing,
        lambda given: given.image_size,
        lambda given: given.regions,
        lambda given: given.dtype,
        lambda given: given.quick_gelu,
    ],
)
def test_what_needs_a_tower_is_refused_in_one_line(given: PrecomputedFeatures, ask) -> None:
    with pytest.raises(UserError, match="features come without") as error:
        ask(given)
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UserError, match="device 'nowhere' cannot be used"):
        PrecomputedFeatures(8, device="nowhere")
