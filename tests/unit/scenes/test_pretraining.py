"""A tiny pretraining: deterministic, resumable to the same bits, in OpenAI's layout; and the shipped weights."""

from pathlib import Path

import pytest
import torch
from open_clip.model import build_model_from_openai_state_dict
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file
from torch import Tensor

import promptmlr.backbone
from promptmlr.backbone.packing import VOCABULARY_SIZE, unpack
from promptmlr.errors import UserError
from promptmlr.scenes import CLASS_NAMES, draw_scene, miniature, pretraining
from promptmlr.scenes.captions import vocabulary
from promptmlr.scenes.pretraining import PretrainingConfig, pretrain, pretrain_to_file
from support import assert_same_tensors

TINY = PretrainingConfig(scenes=12, batch_size=6, word_steps=3, text_steps=2, joint_steps=2)
SHIPPED = Path(promptmlr.backbone.__file__).with_name("scenes.safetensors")


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    return pretrain(TINY)


def test_a_seed_gives_one_result(tiny: dict[str, Tensor]) -> None:
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    assert_same_tensors(pretrain(TINY), tiny)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_another(tiny: dict[str, Tensor]) -> None:
    other = pretrain(PretrainingConfig(seed=1, scenes=12, batch_size=6, word_steps=1, text_steps=0, joint_steps=0))
    assert not torch.equal(other["visual.conv1.weight"], tiny["visual.conv1.weight"])


@pytest.mark.parametrize("interrupted_after", [2, 3, 6])
def test_an_interrupted_run_ends_at_the_same_bits(
    interrupted_after: int, tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "_CHECKPOINT_EVERY", 1)
    partial = tmp_path / "clip.safetensors.partial"

    def interrupt(done: int, total: int) -> None:
        if done == interrupted_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, interrupt, partial)
    calls: list[tuple[int, int]] = []
    resumed = pretrain(TINY, lambda done, total: calls.append((done, total)), partial)
    assert calls[0] == (interrupted_after + 1, TINY.steps)
    assert_same_tensors(resumed, tiny)


def test_unfinished_work_of_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_CHECKPOINT_EVERY", 1)
    short = {"scenes": 4, "batch_size": 2, "word_steps": 1, "text_steps": 0, "joint_steps": 0}
    pretrain(PretrainingConfig(**short), None, tmp_path / "x.partial")
    with pytest.raises(UserError, match=r"x\.partial was begun with other settings"):
        pretrain(PretrainingConfig(seed=1, **short), None, tmp_path / "x.partial")


def test_the_file_is_packed_and_nothing_else_is_left(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    out = tmp_path / "clip.safetensors"
    pretrain_to_file(out, TINY)
    assert list(tmp_path.iterdir()) == [out]
    packed = load_file(out)
    torch.testing.assert_close(unpack(packed)["text_projection"], tiny["text_projection"], rtol=1e-3, atol=1e-6)


def test_the_frozen_stage_leaves_the_image_tower_alone() -> None:
    words = PretrainingConfig(scenes=12, batch_size=6, word_steps=1, text_steps=0, joint_steps=0)
    described = PretrainingConfig(scenes=12, batch_size=6, word_steps=1, text_steps=2, joint_steps=0)
    one, other = pretrain(words), pretrain(described)
    for key in one:
        if key.startswith("visual.") and not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(one[key], other[key]), key
    assert not torch.equal(one["text_projection"], other["text_projection"])


def test_every_stage_moves_what_it_should() -> None:
    settings = {"scenes": 12, "batch_size": 6, "word_steps": 1, "text_steps": 0}
    before, after = (pretrain(PretrainingConfig(**settings, joint_steps=steps)) for steps in (0, 2))
    for key in ("visual.layer4.0.conv2.weight", "visual.attnpool.q_proj.weight", "text_projection", "logit_scale"):
        assert not torch.equal(before[key], after[key]), key


def test_open_clip_builds_a_model_from_it(tiny: dict[str, Tensor]) -> None:
    model = build_model_from_openai_state_dict(dict(tiny), cast_dtype=torch.float32).float()
    model.load_state_dict(tiny)
    model.eval()
    tokens = SimpleTokenizer()(["a photo of a dog.", "two red cars and an umbrella"])
    images = torch.randn(2, 3, 128, 128)
    ids = miniature.vocabulary_ids()
    rows = miniature.Tokenizer(ids)(["a photo of a dog.", "two red cars and an umbrella"])
    small = miniature.build(len(ids)).eval()
    small.load_state_dict({**tiny, "token_embedding.weight": tiny["token_embedding.weight"][ids]})
    with torch.inference_mode():
        torch.testing.assert_close(miniature.encode_text(small, rows), model.encode_text(tokens), rtol=1e-4, atol=1e-5)
        pooled, regions = miniature.encode_image(small, images)
        torch.testing.assert_close(pooled, model.encode_image(images), rtol=1e-4, atol=1e-5)
    assert regions.shape == (2, 17, miniature.WIDTH)


def test_batches_hold_the_normalised_scenes() -> None:
    ids = miniature.vocabulary_ids()
    images, rows = pretraining._SceneBatches(TINY, ids).batch(0)
    assert images.shape == (6, 3, 128, 128)
    assert int(rows.max()) == len(ids) - 1
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = (images.permute(0, 2, 3, 1) * std + mean) * 255
    batches = [torch.from_numpy(draw_scene(0, pretraining.FIRST_SCENE + i).image).float() for i in range(12)]
    for image in pixels:
        gaps = [min((image - scene).abs().max(), (image.flip(1) - scene).abs().max()) for scene in batches]
        assert min(gaps) < 0.01


@pytest.mark.parametrize("bad", [{"absence_rate": -0.1}, {"absence_rate": 1.1}, {"scenes": 0}, {"batch_size": 0}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError):
        PretrainingConfig(**bad)  # type: ignore[arg-type]


def test_the_shipped_weights_are_small_and_finite() -> None:
    assert SHIPPED.stat().st_size < 5_000_000
    packed = load_file(SHIPPED)
    assert all(torch.isfinite(value).all() for value in packed.values())
    assert unpack(packed)["token_embedding.weight"].shape == (VOCABULARY_SIZE, miniature.WIDTH)


def test_the_shipped_rows_cover_classes_captions_and_templates() -> None:
    ids = set(load_file(SHIPPED)["token_embedding.ids"].tolist())
    tokenizer = SimpleTokenizer()
    sentences = [f"a photo of a {name}." for name in CLASS_NAMES] + ["a photo.", "not a photo of a dog", *vocabulary()]
    for sentence in sentences:
        assert set(tokenizer.encode(sentence)) <= ids, sentence
