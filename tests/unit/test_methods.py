"""The paper's table: which sides a method has, what it learns, and where it starts."""

import itertools

import numpy as np
import pytest
import torch

import promptmlr as pm
from promptmlr import scenes
from promptmlr.errors import UserError
from promptmlr.methods import METHOD_TABLE, METHODS, create_recognizer
from promptmlr.sides import SIDES

NAMES = ["dog", "traffic light", "umbrella"]
C, M, W, D = 3, 4, 64, 96  # of the tiny backbone

LEARNED = {
    "anchored": {"presence.embedding": (C, D), "absence.embedding": (C, D)},
    "baseline": {
        "presence.projector.weight": (C, D),
        "presence.projector.bias": (C,),
        "absence.projector.weight": (C, D),
        "absence.projector.bias": (C,),
    },
    "dualcoop": {"presence.context": (C, M, W), "absence.context": (C, M, W)},
    "dualembedding": {"presence.embedding": (C, D), "absence.embedding": (C, D)},
    "negativecoop": {"presence.embedding": (C, D), "absence.context": (C, M, W)},
    "positivecoop": {"presence.context": (C, M, W), "absence.embedding": (C, D)},
    "zeroshot": {"presence.embedding": (C, D), "absence.embedding": (C, D)},
}
FORMULAS = {
    "anchored": 2 * C * D,
    "baseline": 2 * C * (D + 1),
    "dualcoop": 2 * C * M * W,
    "dualembedding": 2 * C * D,
    "negativecoop": C * M * W + C * D,
    "positivecoop": C * M * W + C * D,
}


def create(method: str, backbone, **options):
    return create_recognizer(method, backbone, NAMES, context_length=M, **options)


def test_methods_are_the_rows_of_the_table_sorted() -> None:
    assert list(METHODS) == sorted(METHOD_TABLE)
    assert LEARNED.keys() <= METHOD_TABLE.keys()
    assert pm.METHODS is METHODS


@pytest.mark.parametrize("method", sorted(LEARNED))
def test_learned_tensors_have_the_names_and_shapes_of_the_table(tiny_backbone, method: str) -> None:
    recognizer = create(method, tiny_backbone)
    assert {name: tuple(value.shape) for name, value in recognizer.named_parameters()} == LEARNED[method]
    assert {name: tuple(value.shape) for name, value in recognizer.state_dict().items()} == LEARNED[method]
    assert all(value.dtype == torch.float32 for value in recognizer.parameters())


@pytest.mark.parametrize("method", sorted(FORMULAS))
def test_learned_parameters_are_the_papers_formulas(tiny_backbone, method: str) -> None:
    assert create(method, tiny_backbone).learned_parameters() == FORMULAS[method]


@pytest.mark.parametrize(("method", "prompts"), [("positivecoop", 1), ("negativecoop", 1), ("dualcoop", 2)])
def test_shared_contexts_and_offsets_change_what_is_learned(tiny_backbone, method: str, prompts: int) -> None:
    specific = FORMULAS[method]
    shared = create(method, tiny_backbone, class_specific=False)
    assert shared.learned_parameters() == specific - prompts * (C - 1) * M * W
    assert create(method, tiny_backbone, offset="zero").learned_parameters() == specific + prompts * C * D


def test_trained_methods_are_pairwise_different(tiny_backbone) -> None:
    pairs = {}
    for method, row in METHOD_TABLE.items():
        recognizer = create(method, tiny_backbone)
        assert type(recognizer.presence) is SIDES[row.presence]
        assert type(recognizer.absence) is SIDES[row.absence]
        if row.trained:
            starts = row.presence_start, row.absence_start
            pairs[method] = (type(recognizer.presence), type(recognizer.absence), row.weighting, *starts)
    assert len(set(pairs.values())) == len(pairs) >= 6


def test_only_the_baseline_weights_each_side_by_its_own_map() -> None:
    assert [name for name in LEARNED if METHOD_TABLE[name].weighting == "own"] == ["baseline"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "positivcoop"}, "unknown method 'positivcoop'; did you mean 'positivecoop'?"),
        ({"method": "PositiveCoOp"}, "did you mean 'positivecoop'?"),
        ({"method": "xyz"}, f"known: {', '.join(METHOD_TABLE)}"),
        ({"start": "agnostik"}, "unknown start 'agnostik'; did you mean 'agnostic'?"),
        ({"offset": "zeros"}, "unknown offset 'zeros'; did you mean 'zero'?"),
        ({"context_length": 0}, "context_length is 0"),
        ({"context_length": 2.5}, "context_length is 2.5; it must be a whole number"),
        ({"class_names": ["dog", "dog"]}, "duplicate class name 'dog'"),
        ({"class_names": "dog"}, "class_names must be a list of class names"),
        ({"absence_template": "{} {}"}, "absence_template '{} {}': braces stand for the class alone"),
        ({"absence_template": "no {} {x}"}, "absence_template 'no {} {x}': braces"),
        ({"absence_template": "no {0}"}, "absence_template 'no {0}': braces"),
    ],
)
def test_what_cannot_be_created(tiny_backbone, arguments: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        create_recognizer(**{"method": "positivecoop", "backbone": tiny_backbone, "class_names": NAMES, **arguments})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_class_names_may_be_an_array(tiny_backbone) -> None:
    recognizer = create_recognizer("positivecoop", tiny_backbone, np.array(NAMES))
    assert recognizer.class_names == create("positivecoop", tiny_backbone).class_names


def test_zeroshot_is_a_softmax_over_two_texts(tiny_backbone) -> None:
    regions = tiny_backbone.encode_image(torch.randn(2, 3, 64, 64))
    default = create("zeroshot", tiny_backbone)
    negated = create("zeroshot", tiny_backbone, absence_template="not a photo of a {}.")

    def cosines(texts: list[str]) -> torch.Tensor:
        features = tiny_backbone.encode_text(texts)
        return torch.nn.functional.cosine_similarity(regions[:, None], features[:, None], dim=-1)

    here = 20 * cosines([f"a photo of a {name}." for name in NAMES])
    weights = here.exp() / here.exp().sum(-1, keepdim=True)
    for recognizer, texts in (
        (default, ["a photo."] * 3),
        (negated, [f"not a photo of a {name}." for name in NAMES]),
    ):
        expected = 5 * torch.stack([(weights * 20 * cosines(texts)).sum(-1), (weights * here).sum(-1)], dim=1)
        torch.testing.assert_close(recognizer(regions), expected, rtol=1e-4, atol=1e-4)


def test_starts_of_embeddings(tiny_backbone) -> None:
    def directions(recognizer):
        return [
            torch.nn.functional.normalize(side.embedding, dim=1) for side in (recognizer.presence, recognizer.absence)
        ]

    free = torch.nn.functional.normalize(tiny_backbone.encode_text(["a photo."]), dim=1).expand(3, -1)
    named = torch.nn.functional.normalize(tiny_backbone.encode_text([f"a photo of a {name}." for name in NAMES]), dim=1)
    for start, expected in (("agnostic", free), ("text", named)):
        for direction in directions(create("dualembedding", tiny_backbone, start=start)):
            torch.testing.assert_close(direction, expected, rtol=1e-5, atol=1e-5)
    presence, absence = directions(create("dualembedding", tiny_backbone, start="random"))
    assert (presence * absence).sum(1).abs().max() < 0.5


@pytest.mark.parametrize("classes", [1, 3])
def test_anchored_starts_from_the_texts_whatever_is_asked_for(tiny_backbone, classes: int) -> None:
    """Presence from the class's own text; absence from the mean of all classes, and of "a photo." four times."""
    names = NAMES[:classes]
    texts = [f"a photo of a {name}." for name in names] + ["a photo."] * 4
    units = torch.nn.functional.normalize(tiny_backbone.encode_text(texts), dim=1)
    mean = torch.nn.functional.normalize(units.sum(dim=0), dim=0)
    expected = torch.stack([units[:classes], mean.expand(classes, -1)]) * D**0.5
    for start, seed in (("agnostic", 0), ("random", 1), ("text", 2)):
        recognizer = create_recognizer("anchored", tiny_backbone, names, start=start, seed=seed)
        found = torch.stack([recognizer.presence.embedding, recognizer.absence.embedding])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("anchored", "zeroshot")])
def test_starts_follow_from_the_seed(tiny_backbone, method: str) -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        return create(method, tiny_backbone, start="random", offset="random", seed=seed).state_dict()

    first = start(1)
    torch.manual_seed(99)
    again, other = start(1), start(2)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    for one, two in itertools.combinations([value for value in first.values() if value.dim() > 1], 2):
        assert one.shape != two.shape or not torch.equal(one, two)


def started(backbone, method: str, **options) -> torch.Tensor:
    """P(present) of an untrained recognizer on eight scenes."""
    recognizer = create_recognizer(method, backbone, scenes.CLASS_NAMES, **options)
    pixels = torch.stack([torch.from_numpy(scenes.draw_scene(3, index).image).permute(2, 0, 1) for index in range(8)])
    with torch.no_grad():
        logits = recognizer(backbone.encode_image(backbone.preprocessing.normalise(pixels)))
    return pm.functional.presence_probability(logits)


@pytest.mark.parametrize("method", ["dualcoop", "negativecoop", "positivecoop", "dualembedding"])
def test_sides_that_start_from_the_same_words_start_at_a_margin_of_zero(scenes_backbone, method: str) -> None:
    """Where the softmax of a pair is saturated it hardly trains; at the clamp its gradient is exactly zero."""
    probabilities = started(scenes_backbone, method, start="text", context_words="a photo of a")
    assert probabilities.min() > 0.001
    assert probabilities.max() < 0.999


def test_an_agnostic_pair_of_embeddings_starts_at_a_margin_of_zero(scenes_backbone) -> None:
    probabilities = started(scenes_backbone, "dualembedding", start="agnostic")
    torch.testing.assert_close(probabilities, torch.full_like(probabilities, 0.5))


def test_a_random_embedding_beside_a_prompt_starts_saturated(scenes_backbone) -> None:
    probabilities = started(scenes_backbone, "positivecoop", start="random", context_words="a photo of a")
    assert ((probabilities < 0.001) | (probabilities > 0.999)).float().mean() > 0.5
