"""Towers and tokenizers of Hugging Face's: small ones in a folder, as open_clip reads it, in every kind of tower."""

import json
from pathlib import Path
from types import ModuleType

import open_clip
import pytest
import torch

from promptmlr.backbone import load_backbone
from promptmlr.backbone.building import build_model
from promptmlr.backbone.text.tokens import Tokens
from promptmlr.errors import UserError
from promptmlr.sides.prompt import PromptSide

transformers = pytest.importorskip("transformers", reason="comes with promptmlr[text]")
VISION = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16}
WORDS = ["a", "photo", "of", "dog", "red", "chair", ".", "traffic", "light"]
SENTENCES = ["a photo of a dog .", "red chair"]
TEXT_MODELS = ("roberta-base", "xlm-roberta-base", "facebook/nllb-200")


def save_tokenizer(folder: Path, before: str) -> None:
    """Words, behind a start token where there is one, before an end token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    known = {token: at for at, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(token, known[token]) for token in ("<s>", "</s>")]
    inner.post_processor = processors.TemplateProcessing(single=f"{before}$A </s>".strip(), special_tokens=special)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>", "sep_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **names).save_pretrained(folder)


@pytest.fixture
def folder_of(tmp_path: Path, bench_towers: ModuleType):
    """Write a model of a text configuration into a folder as open_clip does: configuration, weights, tokenizer."""

    def write(text: dict, before: str = "<s> ") -> Path:
        config = {"embed_dim": 96, "vision_cfg": VISION, "text_cfg": text | {"hf_tokenizer_name": "somewhere"}}
        if "hf_model_name" in text:
            bench_towers.small_text_model(text["hf_model_name"], tmp_path)
        built = json.loads(json.dumps(config))
        if "hf_model_name" in text:
            built["text_cfg"]["hf_model_name"] = str(tmp_path / text["hf_model_name"])
        torch.manual_seed(0)
        model = build_model(built, quick_gelu=False)
        torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
        pixels = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.5, 0.5]}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pixels}))
        save_tokenizer(tmp_path, before)
        return tmp_path

    return write


def check(folder: Path) -> None:
    backbone = load_backbone(f"local-dir:{folder}")
    assert backbone.preprocessing.mean == (0.5, 0.4, 0.3)
    model = backbone._model
    rows = open_clip.get_tokenizer(f"local-dir:{folder}")(SENTENCES)
    with torch.no_grad():
        expected = model.encode_text(rows, normalize=False)
    torch.testing.assert_close(backbone.encode_text(SENTENCES), expected, rtol=1e-5, atol=1e-5)
    side = PromptSide.create(backbone.text, ["dog", "red chair"], context_words="a photo of a")
    texts = ["a photo of a dog.", "a photo of a red chair."]
    torch.testing.assert_close(side.text_features(), backbone.encode_text(texts), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(side.text_features().square().sum(), side.context)
    assert gradient.abs().max() > 1e-8
    identity = backbone.identity()
    assert (identity["pretrained"], identity["feature_width"]) == (None, 96)
    with pytest.raises(UserError, match="already names its weights"):
        load_backbone(f"local-dir:{folder}", "openai")


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_text_models_of_hugging_face(name: str, folder_of) -> None:
    pooler = {"hf_pooler_type": "cls_pooler", "hf_proj_type": "linear"} if "nllb" in name else {}
    check(folder_of({"hf_model_name": name, **pooler}))


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ({"no_causal_mask": True, "pool_type": "last", "proj_bias": True}, ""),
        ({"pool_type": "eos", "eos_id": 2}, "<s> "),
    ],
)
def test_towers_of_open_clip_with_tokenizers_of_hugging_face(text: dict, before: str, folder_of) -> None:
    sizes = {"context_length": 20, "vocab_size": 1000, "width": 64, "heads": 1, "layers": 2}
    check(folder_of(sizes | text, before))


def test_a_tokenizer_that_pads_before_a_text_is_refused(folder_of) -> None:
    folder = folder_of({"context_length": 20, "vocab_size": 1000, "width": 64, "heads": 1, "layers": 2})
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    tokenizer.tokenizer.padding_side = "left"
    with pytest.raises(UserError, match="puts something else around a text"):
        Tokens.of(tokenizer, 20)
