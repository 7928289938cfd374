"""The three kinds of side: where they start, what they learn, and that the tower they borrow stays as it is."""

import hashlib

import open_clip
import pytest
import torch

import promptmlr.sides.prompt
from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.functional import cosine_map
from promptmlr.recipes import Recipe
from promptmlr.sides import SIDES, Beginning, EmbeddingSide, LinearSide, PromptSide, Side

NAMES = ["dog", "traffic light", "umbrella"]


def fingerprint(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(backbone._model.state_dict().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("class_specific", [True, False])
def test_an_unlearned_prompt_of_words_is_clips_own_sentence(tiny_backbone: Backbone, class_specific: bool) -> None:
    """Against open_clip's `encode_text` over all 77 positions: the trimmed text is the whole text."""
    side = PromptSide.create(
        tiny_backbone.text, NAMES, context_words="a photo of a", class_specific=class_specific, offset="none"
    )
    tokens = open_clip.tokenize([f"a photo of a {name}." for name in NAMES])
    assert tokens.shape == (3, 77)
    with torch.no_grad():
        expected = tiny_backbone._model.encode_text(tokens)
        torch.testing.assert_close(side.text_features(), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(side.class_vectors(), expected, rtol=1e-5, atol=1e-5)
        without_stop = tiny_backbone._model.encode_text(open_clip.tokenize([f"a photo of a {name}" for name in NAMES]))
    assert (without_stop - expected).abs().max() > 0.1


def test_sentences_are_encoded_as_clip_encodes_them(tiny_backbone: Backbone) -> None:
    texts = ["a photo.", "not a photo of a really long row of many small traffic lights.", "Dog & cat"]
    with torch.no_grad():
        expected = tiny_backbone._model.encode_text(open_clip.tokenize(texts))
    torch.testing.assert_close(tiny_backbone.encode_text(texts), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("class_specific", "common", "own"), [(True, 1, 4 + 3 + 1), (False, 1 + 4, 3 + 1)])
def test_no_position_is_encoded_twice_or_for_nothing(
    tiny_backbone: Backbone, monkeypatch, class_specific: bool, common: int, own: int
) -> None:
    """[start] and a shared context once; of each class "traffic light." + [end] at most, and its own context."""
    seen, text = [], tiny_backbone.text
    prefix, encode = text.prefix, text.encode
    monkeypatch.setattr(text, "prefix", lambda x: seen.append(tuple(x.shape)) or prefix(x))
    monkeypatch.setattr(text, "encode", lambda x, *rest: seen.append(tuple(x.shape)) or encode(x, *rest))
    PromptSide.create(text, NAMES, context_length=4, class_specific=class_specific).text_features()
    assert seen == [(common, 64), (3, own, 64)]


@pytest.mark.parametrize("class_specific", [True, False])
def test_many_classes_go_through_in_chunks_with_the_same_features_and_gradients(
    tiny_backbone: Backbone, monkeypatch, class_specific: bool
) -> None:
    """Nothing that the tower computes of a chunk is kept for the backward pass, and nothing comes out otherwise."""
    names = [*NAMES, "cat", "a very long name indeed", "bus", "tree"]
    side = PromptSide.create(tiny_backbone.text, names, context_length=4, class_specific=class_specific)
    seen, encode = [], tiny_backbone.text.encode
    monkeypatch.setattr(tiny_backbone.text, "encode", lambda x, *rest: seen.append(len(x)) or encode(x, *rest))

    def features_and_gradient() -> tuple[torch.Tensor, torch.Tensor, int]:
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            features = side.text_features()
        side.zero_grad()
        (features * torch.arange(features.numel()).view_as(features)).sum().backward()
        return features.detach(), side.context.grad.clone(), sum(kept)

    features, gradient, kept = features_and_gradient()
    assert seen == [5, 2]  # short names, long ones
    seen.clear()
    monkeypatch.setattr(promptmlr.sides.prompt, "KEPT_BYTES", 0)
    monkeypatch.setattr(promptmlr.sides.prompt, "CHUNK_BYTES", 3 * tiny_backbone.text.activation_bytes(4 + 7))
    chunked = features_and_gradient()
    assert seen[:3] == ([3, 3, 1] if class_specific else [4, 3, 3])
    assert chunked[2] < kept / 2
    torch.testing.assert_close(chunked[0], features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(chunked[1], gradient, rtol=1e-4, atol=1e-4 * gradient.abs().max().item())


@pytest.mark.parametrize("class_specific", [True, False])
@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["dog", "a very long name indeed", "cat", "traffic light"], [3, 1]),
        (["dog", "cat"], [2]),
        (["dog", "cat", "bus", "traffic light"], [4]),  # a split would save too little
    ],
)
def test_short_and_long_names_go_through_apart_with_the_same_features(
    tiny_backbone: Backbone, monkeypatch, names: list[str], groups: list[int], class_specific: bool
) -> None:
    text = tiny_backbone.text
    context = 0.02 * torch.randn((len(names), 2, text.width) if class_specific else (2, text.width))
    alone = [PromptSide(text, [name], context[[row]] if class_specific else context) for row, name in enumerate(names)]
    expected = torch.cat([side.text_features() for side in alone])
    seen, encode = [], text.encode
    monkeypatch.setattr(text, "encode", lambda x, *rest: seen.append(len(x)) or encode(x, *rest))
    side = PromptSide(text, names, context)
    features = side.text_features()
    assert seen == groups
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(features)
    (features * weights).sum().backward()
    (expected * weights).sum().backward()
    rows = torch.cat([one.context.grad for one in alone]) if class_specific else sum(one.context.grad for one in alone)
    torch.testing.assert_close(side.context.grad, rows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("room", [True, False])
def test_several_prompts_meet_regions_as_each_would_alone(tiny_backbone: Backbone, monkeypatch, room: bool) -> None:
    """Long and short names, with and without an offset; in one go through the tower where there is room for that."""
    names = ["dog", "cat", "a very small and very old steam engine"]
    offsets = ("none", "random", "zero")
    sides = [
        PromptSide.create(tiny_backbone.text, names, context_length=3, offset=offset, seed=seed)
        for seed, offset in enumerate(offsets)
    ]
    if not room:
        monkeypatch.setattr("promptmlr.sides.prompt.KEPT_BYTES", 1 + sides[0]._activation_bytes())
    encoded = []
    encode = PromptSide._encode
    monkeypatch.setattr(PromptSide, "_encode", lambda self, *args: (encoded.append(0), encode(self, *args))[1])
    regions = torch.randn(2, 5, tiny_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([side(regions) for side in sides], dim=1)
    passes = len(encoded)
    joint = PromptSide.similarity(regions, PromptSide.joint_vectors(sides))
    assert len(encoded) - passes == (passes // 3 if room else passes)
    torch.testing.assert_close(joint, alone, rtol=1e-5, atol=1e-5)

    weights = torch.randn(alone.shape, generator=torch.Generator().manual_seed(1))
    learned = [parameter for side in sides for parameter in side.parameters()]
    of_joint = torch.autograd.grad((joint * weights).sum(), learned)
    of_alone = torch.autograd.grad((alone * weights).sum(), learned)
    for one, other in zip(of_joint, of_alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_prompts_of_other_names_are_not_encoded_together(tiny_backbone: Backbone) -> None:
    sides = [PromptSide.create(tiny_backbone.text, names) for names in (["dog", "cat"], ["mouse", "bat"])]
    regions = torch.randn(2, 5, tiny_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    joint = PromptSide.similarity(regions, PromptSide.joint_vectors(sides))
    torch.testing.assert_close(joint, torch.cat([side(regions) for side in sides], dim=1))


@pytest.mark.parametrize(
    ("class_specific", "offset", "shapes"),
    [
        (True, "none", {"context": (3, 5, 64)}),
        (False, "none", {"context": (5, 64)}),
        (True, "zero", {"context": (3, 5, 64), "offset": (3, 96)}),
        (False, "random", {"context": (5, 64), "offset": (3, 96)}),
    ],
)
def test_what_a_prompt_learns(tiny_backbone: Backbone, class_specific: bool, offset: str, shapes: dict) -> None:
    side = PromptSide.create(tiny_backbone.text, NAMES, context_length=5, class_specific=class_specific, offset=offset)
    assert {name: tuple(value.shape) for name, value in side.named_parameters()} == shapes
    assert {name: tuple(value.shape) for name, value in side.state_dict().items()} == shapes


def test_offsets_are_added_to_the_text_features(tiny_backbone: Backbone) -> None:
    none, zero, random = (
        PromptSide.create(tiny_backbone.text, NAMES, context_length=4, offset=offset)
        for offset in ("none", "zero", "random")
    )
    assert torch.equal(zero.class_vectors(), none.class_vectors())
    torch.testing.assert_close(random.class_vectors() - none.class_vectors(), random.offset, rtol=1e-4, atol=1e-5)
    assert 0.8 < random.offset.std() < 1.2


def test_random_contexts_start_small(tiny_backbone: Backbone) -> None:
    side = PromptSide.create(tiny_backbone.text, NAMES, context_length=16)
    assert side.context.std().item() == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(side.context[0], side.context[1])


def test_a_name_too_long_for_the_context_is_refused_in_one_line(tiny_backbone: Backbone) -> None:
    fits = " ".join(["dog"] * 58)  # 16 contexts + 58 words + full stop + start + end = 77
    PromptSide.create(tiny_backbone.text, [fits], context_length=16)
    with pytest.raises(UserError, match=r"^class name 'dog .* takes 78 of 77 positions; shorten [^\n]*$"):
        PromptSide.create(tiny_backbone.text, ["cat", f"{fits} dog"], context_length=16)


@pytest.mark.parametrize("words", ["", "  "])
def test_empty_context_words_are_refused(tiny_backbone: Backbone, words: str) -> None:
    with pytest.raises(UserError, match="context_words are empty"):
        PromptSide.create(tiny_backbone.text, NAMES, context_words=words)


def test_training_a_prompt_leaves_the_tower_alone(tiny_backbone: Backbone) -> None:
    """No gradient is computed for its weights, and none of its tensors changes, batch statistics included."""
    before = fingerprint(tiny_backbone)
    side = PromptSide.create(tiny_backbone.text, NAMES, context_length=4, offset="zero")
    side.train()
    optimizer = torch.optim.SGD(side.parameters(), lr=1.0, weight_decay=0.1)
    regions = tiny_backbone.encode_image(torch.randn(2, 3, 64, 64))
    for _ in range(2):
        optimizer.zero_grad()
        side(regions).square().sum().backward()
        optimizer.step()
    assert side.context.grad.abs().sum() > 0
    weights = list(tiny_backbone._model.parameters())
    assert not any(weight.requires_grad for weight in weights)
    assert all(weight.grad is None for weight in weights)
    assert fingerprint(tiny_backbone) == before
    assert not regions.requires_grad


def test_a_prompt_folds_to_an_embedding_of_its_own(tiny_backbone: Backbone) -> None:
    side = PromptSide.create(tiny_backbone.text, NAMES, context_length=4, offset="random")
    folded = side.fold()
    assert isinstance(folded, EmbeddingSide)
    assert not folded.embedding.grad_fn
    regions = torch.randn(2, 5, 96)
    with torch.no_grad():
        expected = side(regions)
        side.context.zero_()
    torch.testing.assert_close(folded(regions), expected, rtol=1e-5, atol=1e-5)


def test_an_embedding_is_a_vector_per_class() -> None:
    vectors, regions = torch.randn(3, 8), torch.randn(2, 5, 8)
    side = EmbeddingSide(vectors)
    assert torch.equal(side(regions), cosine_map(regions, vectors))
    copy = side.fold()
    with torch.no_grad():
        side.embedding.zero_()
    assert torch.equal(copy.embedding, vectors)


def test_embeddings_start_at_the_length_of_the_released_ones() -> None:
    random = EmbeddingSide.random(50, 400, seed=0)
    features = torch.randn(50, 400) * torch.rand(50, 1)
    started = EmbeddingSide.from_features(features)
    assert random.embedding.norm(dim=1).mean().item() == pytest.approx(20, rel=0.05)
    torch.testing.assert_close(started.embedding.norm(dim=1), torch.full((50,), 20.0))
    torch.testing.assert_close(
        torch.nn.functional.cosine_similarity(started.embedding, features), torch.ones(50), rtol=1e-5, atol=1e-5
    )


def test_a_linear_side_starts_within_the_bounds_of_torchs_layer() -> None:
    side = LinearSide.random(40, 25, seed=0)
    weight, bias = side.projector.weight, side.projector.bias
    assert weight.abs().max() <= 0.2
    assert weight.abs().max() > 0.19
    assert bias.abs().max() <= 0.2
    regions = torch.randn(2, 5, 25)
    torch.testing.assert_close(side(regions), torch.einsum("brd,cd->bcr", regions, weight) + bias[:, None])


def test_a_linear_side_folds_to_a_copy() -> None:
    side = LinearSide.random(4, 8, seed=0)
    folded, weight = side.fold(), side.projector.weight.detach().clone()
    with torch.no_grad():
        side.projector.weight.zero_()
    assert torch.equal(folded.projector.weight, weight)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63, -1])
def test_random_starts_follow_from_seed_and_name_alone(tiny_backbone: Backbone, seed: int) -> None:
    def starts(seed: int, name: str) -> list[torch.Tensor]:
        prompt = PromptSide.create(tiny_backbone.text, NAMES, context_length=4, offset="random", seed=seed, name=name)
        linear = LinearSide.random(3, 96, seed, name).projector
        embedding = EmbeddingSide.random(3, 96, seed, name)
        return [prompt.context, prompt.offset, linear.weight, linear.bias, embedding.embedding]

    first = starts(seed, "presence")
    torch.manual_seed(123)
    assert all(torch.equal(a, b) for a, b in zip(first, starts(seed, "presence"), strict=True))
    for other in (starts(seed, "absence"), starts(seed + 3, "presence")):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def begun(kind: str, backbone: Backbone, name: str, seed: int = 0) -> Side:
    features = backbone.encode_text([f"a photo of a {one}." for one in NAMES])
    at = Beginning(name, tuple(NAMES), backbone.feature_width, seed, lambda: backbone.text, lambda: features)
    side = SIDES[kind].begin(at)
    with torch.no_grad():  # two seeds differ, wherever a kind starts
        for number, tensor in enumerate(side.parameters()):
            tensor += 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(10 * seed + number))
    return side


@pytest.mark.parametrize("kind", SIDES)
def test_every_kind_gives_maps_and_folds_to_one_that_is_made_from_its_tensors(
    tiny_backbone: Backbone, kind: str
) -> None:
    side, regions = begun(kind, tiny_backbone, "presence"), torch.randn(2, 5, 96)
    expected = side(regions).detach()
    assert expected.shape == (2, 3, 5)
    folded = side.fold()
    with torch.no_grad():
        for tensor in side.parameters():
            tensor.zero_()
    torch.testing.assert_close(folded(regions), expected, rtol=1e-5, atol=1e-5)
    tensors = folded.state_dict()
    shapes = type(folded).shapes(len(NAMES), 96)
    assert list(shapes) == list(tensors)
    for name, wanted in shapes.items():
        assert all(size in (None, found) for size, found in zip(wanted, tensors[name].shape, strict=True))
    torch.testing.assert_close(type(folded)(*tensors.values())(regions), folded(regions))


@pytest.mark.parametrize("kind", SIDES)
def test_every_kind_gives_the_same_maps_and_gradients_side_by_side(tiny_backbone: Backbone, kind: str) -> None:
    sides = [begun(kind, tiny_backbone, "presence", seed) for seed in range(3)]
    regions = torch.randn(2, 5, 96, generator=torch.Generator().manual_seed(0))
    learned = [tensor for side in sides for tensor in side.parameters()]
    weights = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([side(regions) for side in sides], dim=1)
    joint = SIDES[kind].joint_similarity(sides, regions, SIDES[kind].joint_vectors(sides))
    torch.testing.assert_close(joint, alone, rtol=1e-5, atol=1e-5)
    of_joint = torch.autograd.grad((joint * weights).sum(), learned)
    of_alone = torch.autograd.grad((alone * weights).sum(), learned)
    for one, other in zip(of_joint, of_alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", SIDES)
def test_every_kind_has_a_rate_of_the_recipe_for_each_tensor_it_learns(tiny_backbone: Backbone, kind: str) -> None:
    side = begun(kind, tiny_backbone, "absence")
    names = {name.split(".")[0] for name, _ in side.named_parameters()}
    assert names <= SIDES[kind].rates.keys()
    assert set(SIDES[kind].rates.values()) <= Recipe.model_fields.keys()
    assert SIDES[kind].needs is None or getattr(tiny_backbone, SIDES[kind].needs)


def test_kinds_are_told_apart_by_their_tensors() -> None:
    names = [frozenset(kind.shapes(3, 96)) for kind in SIDES.values() if kind.shapes(3, 96)]
    assert len(set(names)) == len(names)
