"""Two sides and their aggregation; folding; pairs that no table has."""

import numpy as np
import pytest
import torch

from promptmlr.functional import presence_probability
from promptmlr.methods import METHODS, create_recognizer
from promptmlr.recognizer import Recognizer
from promptmlr.sides import EmbeddingSide, LinearSide, PromptSide

NAMES = ["dog", "hot_dog", "umbrella"]


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max())
    return raised / raised.sum()


def embedding(seed: int) -> EmbeddingSide:
    return EmbeddingSide.random(3, 8, seed)


def linear(seed: int) -> LinearSide:
    return LinearSide.random(3, 8, seed)


def naive_map(side: EmbeddingSide | LinearSide, regions: np.ndarray, c: int) -> np.ndarray:
    if isinstance(side, LinearSide):
        weight, bias = side.projector.weight[c].detach().numpy(), side.projector.bias[c].item()
        return regions @ weight + bias
    vector = side.embedding[c].detach().numpy()
    return 20 * regions @ vector / np.linalg.norm(vector) / np.linalg.norm(regions, axis=1)


@pytest.mark.parametrize("weighting", ["presence", "own"])
@pytest.mark.parametrize("presence", [embedding, linear])
@pytest.mark.parametrize("absence", [embedding, linear])
def test_every_pair_of_sides_by_hand(presence, absence, weighting) -> None:
    """A cosine side enters as 20 · cos, a linear one as it is; weights are the presence map's unless told otherwise."""
    recognizer = Recognizer(presence(1), absence(2), NAMES, weighting)
    regions = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3)) * 3
    logits = recognizer(regions).detach().numpy()
    assert logits.shape == (2, 2, 3)
    for b, c in np.ndindex(2, 3):
        here, there = (naive_map(side, regions[b].numpy(), c) for side in (recognizer.presence, recognizer.absence))
        weights = softmax(here)
        other = weights if weighting == "presence" else softmax(there)
        assert logits[b, 1, c] == pytest.approx(5 * weights @ here, rel=1e-4, abs=1e-4)
        assert logits[b, 0, c] == pytest.approx(5 * other @ there, rel=1e-4, abs=1e-4)


def test_maps_are_those_of_the_sides() -> None:
    recognizer = Recognizer(embedding(1), linear(2), NAMES)
    regions = torch.randn(2, 5, 8)
    presence, absence = recognizer.maps(regions)
    assert torch.equal(presence, recognizer.presence(regions))
    assert torch.equal(absence, recognizer.absence(regions))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_regions_of_any_dtype_give_the_logits_of_float32(dtype: torch.dtype) -> None:
    """Learned tensors stay float32, and so does what is computed with them."""
    recognizer = Recognizer(embedding(1), linear(2), NAMES)
    regions = torch.randn(2, 5, 8).to(dtype)
    assert torch.equal(recognizer(regions), recognizer(regions.float()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_prompts_of_any_dtype_beside_a_float32_tower(tiny_backbone, dtype: torch.dtype) -> None:
    recognizer = create_recognizer("dualcoop", tiny_backbone, NAMES, context_length=4)
    regions = torch.randn(2, 5, tiny_backbone.feature_width)
    expected = recognizer(regions)
    logits = recognizer.to(dtype)(regions)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.5 if dtype == torch.bfloat16 else 1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("class_specific", [True, False])
def test_folding_keeps_the_logits_and_drops_the_text_tower(tiny_backbone, method: str, class_specific: bool) -> None:
    recognizer = create_recognizer(
        method, tiny_backbone, NAMES, context_length=4, class_specific=class_specific, offset="random", start="random"
    )
    regions = tiny_backbone.encode_image(torch.randn(4, 3, 64, 64))
    folded = recognizer.fold()
    twice = folded.fold()
    with torch.no_grad():
        expected = recognizer(regions)
    torch.testing.assert_close(folded(regions), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(twice(regions), folded(regions))
    for side in (folded.presence, folded.absence):
        assert not isinstance(side, PromptSide)
        assert "_text" not in vars(side)
    assert folded.class_names == recognizer.class_names == ("dog", "hot dog", "umbrella")
    assert folded.weighting == recognizer.weighting
    assert not {id(p) for p in folded.parameters()} & {id(p) for p in recognizer.parameters()}


def test_probabilities_of_one_class() -> None:
    recognizer = Recognizer(EmbeddingSide.random(1, 8, 1), EmbeddingSide.random(1, 8, 2), ["dog"])
    assert presence_probability(recognizer(torch.randn(2, 5, 8))).shape == (2, 1)
