"""A tiny pretraining of a transformer's image side: deterministic, resumable to the same bits; and the shipped one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import promptmlr.backbone
from promptmlr.backbone import Backbone, load_backbone
from promptmlr.backbone.packing import unpack
from promptmlr.errors import UserError
from promptmlr.evaluation import average_precision
from promptmlr.functional import presence_probability
from promptmlr.methods import create_recognizer
from promptmlr.scenes import CLASS_NAMES, draw_scene, image_side, miniature
from promptmlr.scenes.image_side import ImageSideConfig, pretrain_image_side, pretrain_image_side_to_file
from promptmlr.scenes.modality_gap import COMMON_TO_OWN, add_gap_to_transformer
from support import assert_same_tensors

TINY = ImageSideConfig(scenes=6, batch_size=4, steps=3)
FOLDER = Path(promptmlr.backbone.__file__).parent


@pytest.fixture(scope="module")
def shipped() -> dict[str, Tensor]:
    return load_file(FOLDER / "scenes.safetensors")


@pytest.fixture(scope="module")
def tiny(shipped: dict[str, Tensor]) -> dict[str, Tensor]:
    return pretrain_image_side(shipped, TINY)


def test_a_seed_gives_one_result_and_the_text_side_stays(tiny: dict[str, Tensor], shipped: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    assert_same_tensors(pretrain_image_side(shipped, TINY), tiny)
    assert torch.equal(torch.get_rng_state(), before)
    texts = {key for key in shipped if not key.startswith("visual.")}
    assert texts == {key for key in tiny if not key.startswith("visual.")}
    assert all(torch.equal(tiny[key], shipped[key]) for key in texts)
    assert {value.dtype for key, value in tiny.items() if key.startswith("visual.")} == {torch.float16}


def test_an_interrupted_run_ends_at_the_same_bits(
    tiny: dict[str, Tensor], shipped: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_side, "_CHECKPOINT_EVERY", 1)
    partial = tmp_path / "x.partial"

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain_image_side(shipped, TINY, interrupt, partial)
    with pytest.raises(UserError, match=r"x\.partial was begun with other settings"):
        pretrain_image_side(shipped, ImageSideConfig(seed=1, scenes=6, batch_size=4, steps=3), None, partial)
    calls: list[int] = []
    assert_same_tensors(pretrain_image_side(shipped, TINY, lambda done, _total: calls.append(done), partial), tiny)
    assert calls == [3]


def test_the_file_is_a_backbone_and_nothing_else_is_left(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    out = tmp_path / "vit.safetensors"
    pretrain_image_side_to_file(out, TINY)
    assert list(tmp_path.iterdir()) == [out]
    assert_same_tensors(load_file(out), tiny)
    backbone = load_backbone(out)
    assert (backbone.image_size, backbone.regions, backbone.feature_width) == (64, 65, miniature.WIDTH)


def test_patches_are_told_what_lies_over_their_centre() -> None:
    scene = draw_scene(0, 3)
    places, cell = image_side._places(scene), 128 // 8
    for row, column in np.ndindex(places.shape):
        x, y = (column + 0.5) * cell, (row + 0.5) * cell
        over = [t.class_index for t in scene.objects if t.box[0] <= x < t.box[2] and t.box[1] <= y < t.box[3]]
        assert places[row, column] == (over[-1] if over else len(CLASS_NAMES))


def test_a_gap_moves_all_regions_by_one_vector_as_long_as_said(tiny: dict[str, Tensor]) -> None:
    state = unpack(tiny)
    pooled = torch.randn(8, miniature.WIDTH, generator=torch.Generator().manual_seed(0))
    after = add_gap_to_transformer(state, pooled)
    assert {key for key in after if not torch.equal(after[key], state[key])} == {"visual.ln_post.bias"}
    move = (after["visual.ln_post.bias"] - state["visual.ln_post.bias"]) @ state["visual.proj"]
    assert move.norm() == pytest.approx(COMMON_TO_OWN * pooled.norm(dim=-1).mean().item(), rel=1e-4)


@pytest.mark.parametrize("bad", [{"scenes": 0}, {"batch_size": 0}])
def test_impossible_settings_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UserError):
        ImageSideConfig(**bad)


def test_the_shipped_weights_are_small_and_those_of_the_text_side_are_the_miniatures(
    shipped: dict[str, Tensor],
) -> None:
    path = FOLDER / "scenes-vit.safetensors"
    assert path.stat().st_size < 5_000_000
    packed = load_file(path)
    assert all(torch.isfinite(value).all() for value in packed.values())
    assert all(torch.equal(packed[key], value) for key, value in shipped.items() if not key.startswith("visual."))


@pytest.fixture(scope="module")
def scenes_vit() -> Backbone:
    return load_backbone("scenes-vit")


@torch.no_grad()
def test_the_shipped_transformer_knows_drawings(scenes_vit: Backbone) -> None:
    scenes = [draw_scene(2, index) for index in range(200)]
    images = torch.stack([scenes_vit.preprocessing.pixels(Image.fromarray(scene.image)) for scene in scenes])
    recognizer = create_recognizer("zeroshot", scenes_vit, CLASS_NAMES)
    scores = presence_probability(recognizer(scenes_vit.encode_image(scenes_vit.preprocessing.normalise(images))))
    labels = np.stack([scene.labels for scene in scenes])
    precisions = [average_precision(scores[:, c].numpy(), labels[:, c]) for c in range(len(CLASS_NAMES))]
    assert np.mean(precisions) > 2 * labels.mean()
