"""Cones: one common vector for all texts, another for all images, and no other change."""

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptmlr.backbone.packing import unpack
from promptmlr.scenes import miniature
from promptmlr.scenes.modality_gap import COMMON_TO_OWN, add_gap

TEXTS = SimpleTokenizer()(["a photo of a dog.", "a photo of a tree.", "free wallpaper"])
IMAGES = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def before() -> dict[str, Tensor]:
    ids = miniature.vocabulary_ids()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = miniature.build(len(ids)).state_dict()
    return unpack(rows | {"token_embedding.ids": ids})


@pytest.fixture(scope="module")
def after(before: dict[str, Tensor]) -> dict[str, Tensor]:
    return add_gap(before, seed=3)


@torch.no_grad()
def features(state_dict: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    model = miniature.build(len(state_dict["token_embedding.weight"])).eval()
    model.load_state_dict(state_dict)
    return miniature.encode_text(model, TEXTS), miniature.encode_image(model, IMAGES)[1].flatten(0, 1)


def test_two_biases_change_and_nothing_else(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert before.keys() == after.keys()
    assert changed == {"ln_final.bias", "visual.attnpool.c_proj.bias"}


def test_all_features_of_a_modality_move_by_one_vector(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    moves = [new - old for new, old in zip(features(after), features(before), strict=True)]
    for move in moves:
        torch.testing.assert_close(move, move[:1].expand_as(move), atol=1e-4, rtol=1e-4)
    text, image = (move[0] for move in moves)
    assert abs(torch.cosine_similarity(text, image, dim=0)) < 0.3  # a gap between the modalities


def test_the_common_part_is_as_long_as_said(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    texts, moved = features(before)[0], features(after)[0]
    # the length is taken over the class texts, which are about as long as these
    assert (moved - texts)[0].norm() == pytest.approx(COMMON_TO_OWN * texts.norm(dim=-1).mean().item(), rel=0.1)


def test_a_seed_gives_one_result(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    again = add_gap(before, seed=3)
    assert all(torch.equal(again[key], after[key]) for key in after)
