"""Text sides: beside one image tower that does not move, differing in their captions alone."""

import pytest
import torch
from torch import Tensor

from promptmlr.backbone import load_backbone
from promptmlr.backbone.checkpoint import own_state_dict
from promptmlr.backbone.packing import unpack
from promptmlr.errors import UserError
from promptmlr.scenes import miniature, text_side
from promptmlr.scenes.modality_gap import add_gap, common_image_part
from promptmlr.scenes.text_side import EncodedScenes, TextSideConfig, encode_scenes, pretrain_text_side

TINY = TextSideConfig(steps=3, batch_size=8)


@pytest.fixture(scope="module")
def tower() -> dict[str, Tensor]:
    found = own_state_dict("scenes")
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def seen(tower: dict[str, Tensor]) -> EncodedScenes:
    return encode_scenes(tower, 40)


@pytest.fixture(scope="module")
def side(seen: EncodedScenes) -> dict[str, Tensor]:
    return pretrain_text_side(seen, TINY)


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


def test_the_image_tower_stays_and_the_text_side_is_new(tower: dict[str, Tensor], side: dict[str, Tensor]) -> None:
    changed = different(tower, side)
    assert not any(key.startswith("visual.") for key in changed)
    assert {"text_projection", "token_embedding.weight", "ln_final.bias"} <= changed


def test_a_seed_gives_one_result_and_leaves_torchs_own_alone(seen: EncodedScenes, side: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    assert not different(pretrain_text_side(seen, TINY), side)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"absence_rate": 1.0}])
def test_seed_and_captions_change_it(seen: EncodedScenes, side: dict[str, Tensor], changes: dict[str, float]) -> None:
    other = pretrain_text_side(seen, TextSideConfig(steps=3, batch_size=8, **changes))
    assert "text_projection" in different(other, side)


def test_sides_of_one_seed_start_from_the_same_weights_and_see_the_same_scenes(
    seen: EncodedScenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, regions = [], []
    real = text_side.contrastive_loss

    def watched(clip, pooled, shown, rows):
        starts.append(clip.text_projection.detach().clone())
        regions.append(shown)
        return real(clip, pooled, shown, rows)

    monkeypatch.setattr(text_side, "contrastive_loss", watched)
    for rate in (0.0, 1.0):
        pretrain_text_side(seen, TextSideConfig(rate, steps=2, batch_size=8))
    assert torch.equal(starts[0], starts[2])
    assert torch.equal(regions[0], regions[2])
    assert not torch.equal(regions[0], regions[1])


def test_it_is_a_checkpoint_like_any_other(side: dict[str, Tensor], tmp_path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "side.safetensors"
    save_file({key: value.contiguous() for key, value in side.items()}, path)
    backbone, shipped = load_backbone(path), load_backbone("scenes")
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(backbone.encode_image(images), shipped.encode_image(images))
    assert not torch.allclose(backbone.encode_text(["a dog"]), shipped.encode_text(["a dog"]))


def test_training_lowers_the_loss(seen: EncodedScenes, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    real = text_side.contrastive_loss

    def watched(*arguments):
        losses.append(real(*arguments))
        return losses[-1]

    monkeypatch.setattr(text_side, "contrastive_loss", watched)
    pretrain_text_side(seen, TextSideConfig(steps=60, batch_size=16))
    first, last = (torch.stack(part).mean().item() for part in (losses[:10], losses[-10:]))
    assert last < first - 0.3


def test_scenes_are_described_without_their_pixels(seen: EncodedScenes) -> None:
    assert len(seen.scenes) == len(seen.pooled) == len(seen.regions) == 40
    assert all(scene.image.size == 0 for scene in seen.scenes)
    assert any(scene.objects for scene in seen.scenes)


@torch.no_grad()
def test_the_common_part_is_the_one_that_was_added() -> None:
    ids = miniature.vocabulary_ids()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = miniature.build(len(ids)).state_dict()
    plain = unpack(rows | {"token_embedding.ids": ids})
    with_gap = add_gap(plain, seed=3)
    added = with_gap["visual.attnpool.c_proj.bias"] - plain["visual.attnpool.c_proj.bias"]
    model = miniature.build(len(plain["token_embedding.weight"])).eval()
    model.load_state_dict(with_gap)
    images = torch.randn(64, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    found = common_image_part(miniature.encode_image(model, images)[1])
    torch.testing.assert_close(found / found.norm(), added / added.norm(), rtol=0, atol=1e-5)
    assert found.norm() == pytest.approx(added.norm().item(), rel=0.1)  # other images than it was measured on


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(UserError, match="not a share"):
        TextSideConfig(rate)
