"""Dense regions against open_clip's own towers, where attention is told to look at nothing but itself."""

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from promptmlr.backbone import load_backbone
from promptmlr.backbone.image.kind import resized_positions

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def bicubic(grid: np.ndarray, size: int) -> np.ndarray:
    """(g, g, W) → (size, size, W): cubic convolution with a = −0.75, half-pixel centres, no antialias."""

    def weights(source: int) -> np.ndarray:
        matrix = np.zeros((size, source))
        for i in range(size):
            centre = (i + 0.5) * source / size - 0.5
            for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                x, a = abs(centre - tap), -0.75
                near = (a + 2) * x**3 - (a + 3) * x**2 + 1
                far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
                matrix[i, min(max(tap, 0), source - 1)] += near if x <= 1 else far
        return matrix

    matrix = weights(len(grid))
    return np.einsum("ia,jb,abw->ijw", matrix, matrix, grid)


def positions_for(positions: torch.Tensor, size: int) -> torch.Tensor:
    side = round((len(positions) - 1) ** 0.5)
    if side == size:
        return positions
    grid = bicubic(positions[1:].double().numpy().reshape(side, side, -1), size)
    return torch.cat([positions[:1], torch.from_numpy(grid).float().flatten(0, 1)])


def only_itself(length: int) -> torch.Tensor:
    """An attention mask that lets every token see itself alone."""
    return torch.full((length, length), -torch.inf).fill_diagonal_(0)


@pytest.mark.parametrize(("native", "size"), [(7, 3), (7, 14), (2, 5), (3, 1), (7, 7)])
def test_positions_are_interpolated_and_the_first_is_untouched(native: int, size: int) -> None:
    positions = torch.randn(native**2 + 1, 6)
    resized = resized_positions(positions, (size, size))
    torch.testing.assert_close(resized, positions_for(positions, size), rtol=1e-4, atol=1e-5)
    assert torch.equal(resized[0], positions[0])


@pytest.mark.parametrize("size", [64, 32, 96])
@torch.no_grad()
def test_resnet_regions_are_the_attention_pool_without_its_attention(tiny_resnet, tiny_checkpoint, size: int) -> None:
    backbone = load_backbone(tiny_checkpoint, image_size=size)
    model = open_clip.model.build_model_from_openai_state_dict(dict(tiny_resnet)).float()
    model.load_state_dict(tiny_resnet)
    pool, seen = model.visual.attnpool, []
    pool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    pool.forward = lambda x: x
    images = torch.randn(2, 3, size, size)
    model.visual(images)

    grid = seen[0].flatten(2).permute(2, 0, 1)
    tokens = torch.cat([grid.mean(0, keepdim=True), grid])
    tokens = tokens + positions_for(pool.positional_embedding, size // 32)[:, None]
    expected, _ = torch.nn.functional.multi_head_attention_forward(
        tokens,
        tokens,
        tokens,
        tokens.shape[-1],
        pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        training=False,
        need_weights=False,
        attn_mask=only_itself(len(tokens)),
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    regions = backbone.encode_image(images)
    assert regions.shape == (2, backbone.regions, 96) == (2, (size // 32) ** 2 + 1, 96)
    torch.testing.assert_close(regions, expected.transpose(0, 1), **CLOSE)


@pytest.mark.parametrize("size", [48, 32, 80])
@torch.no_grad()
def test_vit_regions_are_the_value_path_and_region_0_is_clips_own(tiny_vit, tmp_path, size: int) -> None:
    save_file(tiny_vit, tmp_path / "vit.safetensors")
    backbone = load_backbone(tmp_path / "vit.safetensors", image_size=size, regions="value")
    model = open_clip.model.build_model_from_openai_state_dict(dict(tiny_vit)).float().eval()
    model.load_state_dict(tiny_vit)
    visual = model.visual
    visual.positional_embedding = torch.nn.Parameter(positions_for(tiny_vit["visual.positional_embedding"], size // 16))
    images = torch.randn(2, 3, size, size)

    tokens = visual._embeds(images)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    expected = visual.ln_post(last(tokens, attn_mask=only_itself(tokens.shape[1]))) @ visual.proj
    regions = backbone.encode_image(images)
    assert regions.shape == (2, backbone.regions, 96) == (2, (size // 16) ** 2 + 1, 96)
    torch.testing.assert_close(regions[:, 1:], expected[:, 1:], **CLOSE)
    torch.testing.assert_close(regions[:, 0], model.encode_image(images), **CLOSE)
    assert (regions[:, 0] - expected[:, 0]).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_tower_cast_to_another_dtype_runs(tiny_checkpoint, tiny_backbone, dtype: torch.dtype) -> None:
    cast = load_backbone(tiny_checkpoint, dtype=dtype)
    images = torch.randn(2, 3, 64, 64)
    for ours, exact in (
        (cast.encode_image(images), tiny_backbone.encode_image(images)),
        (cast.encode_text(["a photo of a dog."]), tiny_backbone.encode_text(["a photo of a dog."])),
    ):
        assert ours.dtype == cast.dtype == dtype
        assert torch.nn.functional.cosine_similarity(ours.float(), exact, dim=-1).min() > 0.98
