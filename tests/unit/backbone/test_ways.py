"""Ways to make regions of a transformer's last block: against masks and sums of the block's own parts."""

import math
import warnings
from typing import Any

import onnxruntime
import pytest
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from sklearn.neighbors import LocalOutlierFactor
from torch import nn

from promptmlr.backbone.image import WAYS, region_way, tower_kind
from promptmlr.backbone.image.parts import parts_of
from promptmlr.backbone.image.ways import BeforeLast
from promptmlr.backbone.image.ways.repair import local_outlier_factor, repaired
from promptmlr.backbone.tower import ImageTower
from promptmlr.errors import UserError

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
TIMM = {"timm_pool": "token", "timm_proj": None, "image_size": 224}
TOWERS: dict[str, dict[str, Any]] = {
    "open_clip": {"layers": 2, "width": 128, "patch_size": 16, "image_size": 64, "ls_init_value": 0.5},
    "timm": TIMM | {"timm_model_name": "vit_tiny_patch16_224"},
    "timm, rotary": TIMM | {"timm_model_name": "eva02_tiny_patch14_224"},
}


@pytest.fixture(scope="module", params=TOWERS)
def visual(request: pytest.FixtureRequest, bench_towers) -> Any:
    torch.manual_seed(0)
    tower = _build_vision_tower(96, CLIPVisionCfg(**TOWERS[request.param]), False).eval().requires_grad_(False)
    tower_kind(tower).prepare(tower)
    bench_towers.randomise(tower)
    return tower


def before_last(visual: Any) -> tuple[BeforeLast, torch.Tensor]:
    """What the last block is given, and what it makes of it."""
    kind = tower_kind(visual)
    images, seen = torch.randn(2, 3, *[4 * kind.patch_side(visual)] * 2), []
    block = visual.trunk.blocks[-1] if hasattr(visual, "trunk") else visual.transformer.resblocks[-1]
    handle = block.register_forward_hook(
        lambda _module, inputs, named, output: seen.append((inputs[0], named.get("rope"), output)), with_kwargs=True
    )
    kind.regions(visual, images, WAYS["value"]) if hasattr(visual, "trunk") else visual(images)
    handle.remove()
    tokens, rotary, output = next(found for found in seen if found[0].shape[1] == 17)
    return BeforeLast(block, tokens, 1, (4, 4), rotary), output


@torch.no_grad()
def test_the_parts_of_a_block_make_the_block(visual: Any) -> None:
    before, output = before_last(visual)
    parts = parts_of(before)
    query, key, value = parts.heads(before.tokens)
    mixed = before.tokens + parts.project((query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value)
    torch.testing.assert_close(mixed + parts.feed_forward(mixed), output, **CLOSE)


def test_towers_of_which_all_ways_are_known_take_the_one_that_was_best(visual: Any) -> None:
    assert region_way(visual, None, "it") is WAYS["qk"]


@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_region_0_is_the_towers_own_whatever_the_way(way: str, visual: Any) -> None:
    kind = tower_kind(visual)
    images = torch.randn(2, 3, *[4 * kind.patch_side(visual)] * 2)
    regions = kind.regions(visual, images, WAYS[way])
    plain = kind.regions(visual, images, WAYS["value"])
    assert regions.shape == plain.shape == (2, 17, plain.shape[-1])
    assert torch.equal(regions[:, 0], plain[:, 0])
    assert (way == "value") == torch.allclose(regions, plain, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ImageTower(visual, 4, WAYS[way])(images), regions, **CLOSE)


@torch.no_grad()
def test_clear_is_the_attention_of_queries_alone(visual: Any) -> None:
    before, _ = before_last(visual)
    parts = parts_of(before)
    query, _, value = parts.heads(before.tokens)
    expected = parts.project(nn.functional.scaled_dot_product_attention(query, query, value))[:, 1:]
    torch.testing.assert_close(WAYS["clear"].patches(before), expected, **CLOSE)


@torch.no_grad()
def test_qk_adds_the_attentions_of_queries_and_of_keys_within_the_block(visual: Any) -> None:
    before, _ = before_last(visual)
    parts = parts_of(before)
    query, key, value = parts.heads(before.tokens)
    mixed = sum(nn.functional.scaled_dot_product_attention(one, one, value) for one in (query, key))
    tokens = before.tokens + parts.project(mixed)
    torch.testing.assert_close(WAYS["qk"].patches(before), (tokens + parts.feed_forward(tokens))[:, 1:], **CLOSE)


@torch.no_grad()
def test_repair_is_qk_after_outliers_took_their_neighbours_mean(visual: Any) -> None:
    before, _ = before_last(visual)
    patches = before.patches.clone()  # of 16 places one counts as an outlier
    patches[:, 5] = 50 * torch.randn(2, patches.shape[-1])
    neighbours = [0, 1, 2, 4, 6, 8, 9, 10]  # of place 5 in a grid of 4 × 4
    found = repaired(patches, (4, 4))
    torch.testing.assert_close(found[:, 5], patches[:, neighbours].mean(dim=1), **CLOSE)
    others = [place for place in range(16) if place != 5]
    assert torch.equal(found[:, others], patches[:, others])
    broken = BeforeLast(before.block, torch.cat([before.tokens[:, :1], patches], dim=1), 1, (4, 4), before.rotary)
    mended = BeforeLast(before.block, torch.cat([before.tokens[:, :1], found], dim=1), 1, (4, 4), before.rotary)
    torch.testing.assert_close(WAYS["repair"].patches(broken), WAYS["qk"].patches(mended), **CLOSE)


def test_outliers_are_those_that_scikit_learn_finds() -> None:
    patches = torch.randn(2, 80, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for one, scores in zip(patches, local_outlier_factor(patches), strict=True):
        theirs = LocalOutlierFactor(n_neighbors=30, metric="sqeuclidean").fit(one.numpy()).negative_outlier_factor_
        torch.testing.assert_close(scores, torch.from_numpy(-theirs), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 7)])
def test_small_grids_and_grids_that_are_not_square_are_repaired_too(size: tuple[int, int]) -> None:
    patches = torch.randn(2, size[0] * size[1], 8)
    found = repaired(patches, size)
    assert found.shape == patches.shape
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("pool", ["avg", "map"])
def test_towers_that_pool_elsewhere_have_values_alone_and_say_so(pool: str) -> None:
    vision = CLIPVisionCfg(timm_model_name="vit_tiny_patch16_224", timm_pool=pool, timm_proj="none", image_size=64)
    tower = _build_vision_tower(192, vision, False)
    assert region_way(tower, None, "x").name == region_way(tower, "value", "x").name == "value"
    with pytest.raises(UserError, match=r"--regions qk is not known of x: it is not pooled at a class token .* leave"):
        region_way(tower, "qk", "x")


def test_resnets_have_values_alone_and_other_names_are_unknown(scenes_backbone) -> None:
    visual = scenes_backbone._model.visual
    assert scenes_backbone.way == "value"
    with pytest.raises(UserError, match="--regions clear is not known of scenes: its attention pool"):
        region_way(visual, "clear", "scenes")
    with pytest.raises(UserError, match="--regions sharp: there are value, qk, clear, repair"):
        region_way(visual, "sharp", "scenes")


@pytest.mark.parametrize("visual", ["open_clip"], indirect=True)
@pytest.mark.parametrize("way", ["clear", "repair"])
def test_a_graph_of_any_number_of_images_gives_the_same_regions(way: str, visual: Any) -> None:
    """As `promptmlr export --to onnx` makes it; `repair` holds `qk`."""
    side = 4 * tower_kind(visual).patch_side(visual)
    tower, images = ImageTower(visual, 4, WAYS[way]), torch.randn(3, 3, side, side)
    count = {"images": {0: torch.export.Dim.DYNAMIC}}
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(tower, (images[:2],), dynamo=True, input_names=["images"], dynamic_shapes=count)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), tower(images), rtol=1e-3, atol=1e-4)
