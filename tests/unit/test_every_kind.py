"""What is done with a tower, on small ones of every kind: stored, cast, counted, looked into, trained, exported.

Towers have random weights and few blocks; that they are open_clip's is in tests/unit/backbone/test_kinds.py.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

import promptmlr as pm
from promptmlr import scenes
from promptmlr.backbone import Backbone, ClipBackbone, Preprocessing, tower_dtypes
from promptmlr.backbone.building import build_image_tower, build_model
from promptmlr.backbone.image import TOWER_KINDS, tower_kind
from promptmlr.data import LabelledImages
from promptmlr.data.images import ImageFile
from promptmlr.errors import UserError
from promptmlr.export.checking import TOLERANCE
from promptmlr.export.onnx_file import export_onnx, scores
from promptmlr.features import RegionCache, stored_regions
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.maps.image import explain_image, numbers_beside
from promptmlr.maps.sentences import TEMPLATES
from promptmlr.maps.subject import subject_of_backbone, subject_of_run
from promptmlr.methods import METHOD_TABLE
from promptmlr.paper.cost import measuring
from promptmlr.paper.cost.measuring import CostSetting
from promptmlr.paper.text_probe.scores import presence_scores, prompt_cosines
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, encode_pixels
from promptmlr.reporting import Reporter
from promptmlr.run import Run, load_run
from support import csv_rows, draw_photos

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "patch_size": None}
VIT = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
CAPTIONS = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1, "attn_pooler_heads": 1}
BOTH_SIDES = {"no_causal_mask": True}
LAST = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
NAMES = ["tree", "house"]
BLOCKS = 1  # of a stack of them


@dataclass(frozen=True)
class Small:
    """A kind of tower.

    Attributes:
        vision: open_clip's configuration of its image tower.
        size: pixels of the images that it is shown.
        text: what its text tower has of its own.
        special: start, end and pad ids of a tokenizer of Hugging Face's; None takes CLIP's.
        more: of the model.
        width: D.
    """

    vision: dict[str, Any]
    size: int
    text: dict[str, Any] = field(default_factory=dict)
    special: tuple[list[int], list[int], int] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    width: int = 96


def timm(name: str, pool: str, projection: str | None) -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": projection, "image_size": 224}


AVERAGE = VIT | {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
POOLED = VIT | {"attentional_pool": True, "attn_pooler_heads": 1, "output_tokens": True}
KINDS = {
    "ResNet": Small(RESNET, 96, {"context_length": 77}),
    "ViT, class token": Small(VIT, 48),
    "ViT, mean (CLIPA)": Small(AVERAGE, 48, BOTH_SIDES | {"pool_type": "last"}, ([101], [102], 0)),
    "CoCa": Small(
        POOLED, 48, {"embed_cls": True, "output_tokens": True, "context_length": 19},
        more={"multimodal_cfg": CAPTIONS, "custom_text": True},
    ),
    "timm, class token (MobileCLIP-B)": Small(timm("vit_tiny_patch16_224", "token", None), 48, BOTH_SIDES),
    "timm, attention (SigLIP)": Small(
        timm("vit_tiny_patch16_224", "map", "none"), 48, LAST, ([], [1], 1),
        more={"init_logit_bias": -10.0, "custom_text": True}, width=192,
    ),
    "timm, rotary (EVA)": Small(timm("eva02_tiny_patch14_224", "token", None), 42),
    "timm, rotary and attention (PE-Core)": Small(timm("vit_pe_core_tiny_patch16_384", "map", None), 48),
    "timm, hybrid (ViTamin)": Small(timm("vitamin_small_224", "", "linear"), 48),
    "timm, map (ConvNeXt)": Small(timm("convnext_atto", "", "mlp"), 96),
    "timm, map (FastViT)": Small(timm("fastvit_t8", "avg", None), 96),
    "text of Hugging Face": Small(VIT, 48, {"hf_model_name": "roberta-base"}, ([0], [2], 1)),
}  # fmt: skip


class Opener:
    """Opens the same weights of a kind again and again.

    Args:
        small: the kind.
        bench: `bench/towers.py`.
        folder: for the configuration of a text model of Hugging Face's.
    """

    def __init__(self, small: Small, bench: Any, folder: Path) -> None:
        text, self.size = TEXT | small.text, small.size
        if "hf_model_name" in text:
            pytest.importorskip("transformers", reason="comes with promptmlr[text]")
            text = {"hf_model_name": bench.small_text_model(text["hf_model_name"], folder)}
        torch.manual_seed(0)
        config = {"embed_dim": small.width, "vision_cfg": small.vision, "text_cfg": text}
        self._model: Any = build_model(config | small.more, quick_gelu=False).eval()
        for stack in [module for module in self._model.visual.modules() if hasattr(module, "blocks")]:
            stack.blocks = stack.blocks[:BLOCKS]
        with torch.no_grad():
            bench.randomise(self._model)
        length = text.get("context_length", 20)
        self.tokenizer: Any = open_clip.SimpleTokenizer(context_length=length)
        if small.special is not None:
            self.tokenizer = bench.StandInTokenizer(*small.special, length)

    def model(self) -> Any:
        """open_clip's, with few blocks."""
        return copy.deepcopy(self._model)

    def backbone(self, dtype: torch.dtype = torch.float32) -> ClipBackbone:
        """The same as a backbone."""
        pixels = Preprocessing(self.size, (0.5,) * 3, (0.5,) * 3)
        return ClipBackbone(self.model(), "small", None, pixels, dtype, tokenizer=self.tokenizer)


@pytest.fixture(scope="module", params=KINDS)
def opener(request, bench_towers, tmp_path_factory) -> Opener:
    return Opener(KINDS[request.param], bench_towers, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def tower(opener) -> ClipBackbone:
    return opener.backbone()


@pytest.fixture(scope="module")
def fast_tower(opener) -> ClipBackbone:
    image, text = tower_dtypes("bfloat16")
    assert image == text == torch.bfloat16
    return opener.backbone(image)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> LabelledImages:
    """Photos, with labels of two classes, each of which is on some and not on others."""
    columns = [scenes.CLASS_NAMES.index(name) for name in NAMES]
    paths, labels = zip(*draw_photos(tmp_path_factory.mktemp("drawn") / "photos", 8, seed=3), strict=True)
    names, images = [path.name for path in paths], [ImageFile(path) for path in paths]
    return LabelledImages.from_rows(names, images, np.array(labels, np.int8)[:, columns], NAMES, "photos")


@pytest.fixture(scope="module")
def paths(labelled) -> list[Path]:
    return [image.path for image in labelled.images]


def trained(method: str, tower: ClipBackbone, labelled: LabelledImages, out: Path) -> Run:
    recipe = load_recipe("default", method, epochs=1, batch_size=4)
    job = TrainingJob(method, recipe, labelled, np.ones(labelled.labels.shape, np.bool_), calibrate=False)
    run = load_run(train_run(job, tower, out, workers=0))
    run.adopt(tower)
    return run


@pytest.fixture(scope="module")
def run(tower, labelled, tmp_path_factory) -> Run:
    return trained("anchored", tower, labelled, tmp_path_factory.mktemp("trained") / "run")


def regions_of(tower: ClipBackbone, labelled: LabelledImages) -> torch.Tensor:
    return encode_pixels(tower, [tower.preprocessing.pixels(image.open()) for image in labelled.images])


def test_there_is_a_small_one_of_each_kind() -> None:
    config = {"embed_dim": 96, "text_cfg": TEXT}
    found = {tower_kind(build_image_tower(config | {"vision_cfg": small.vision})).name for small in KINDS.values()}
    assert found == {kind.name for kind in TOWER_KINDS}


def test_regions_are_read_from_the_store_as_they_were_written(tower, labelled, tmp_path, monkeypatch) -> None:
    expected = regions_of(tower, labelled)
    cache, rows = RegionCache(tmp_path, "float32"), [np.arange(len(expected))]
    for attempt in ("written", "read"):
        if attempt == "read":
            monkeypatch.setattr(tower, "encode_image", None)  # nothing is encoded again
        found = stored_regions(FreshRegions(tower, labelled.images, workers=0), cache)
        assert found is not None
        ((_, regions),) = found[1].batches(rows)
        assert torch.equal(regions, expected), attempt


def test_a_tower_is_cast_once_and_gives_nearly_the_same(tower, fast_tower, labelled) -> None:
    model = fast_tower._model
    tensors = [(key, tensor) for key, tensor in model.named_parameters() if ".rope." not in key]
    assert {tensor.dtype for _, tensor in tensors} == {fast_tower.dtype} == {torch.bfloat16}
    assert fast_tower.weights_sha256 == tower.weights_sha256
    regions, expected = regions_of(fast_tower, labelled), regions_of(tower, labelled)
    texts = [fast_tower.encode_text(NAMES), tower.encode_text(NAMES)]
    assert regions.dtype == texts[0].dtype == torch.bfloat16
    for found, exact in ((regions, expected), texts):
        assert found.isfinite().all()
        assert nn.functional.cosine_similarity(found.float(), exact, dim=-1).min() > 0.98


def test_cost_is_counted(opener, tower, monkeypatch) -> None:
    monkeypatch.setattr(measuring, "bare_backbone", lambda *_, **__: tower)
    monkeypatch.setattr(measuring, "bare_model", lambda _name: opener.model())
    monkeypatch.setattr(measuring, "RUNS", 1)
    costs, _ = measuring.measure_costs(CostSetting("small", tuple(NAMES), 2, 4, 10))
    here = {cost.method: cost for cost in costs if cost.way == "as here"}
    assert set(here) == {name for name, row in METHOD_TABLE.items() if row.trained}
    for name, cost in here.items():
        prompts = "prompt" in (METHOD_TABLE[name].presence, METHOD_TABLE[name].absence)
        assert (cost.text_flops > 0) == prompts
        assert min(cost.head_flops, cost.memory_bytes, cost.step_seconds, cost.encoding_seconds) > 0
        assert cost.encoding_flops == 10 * measuring.image_flops(tower)
    weights = [part.weight for part in tower.image_tower().modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    assert measuring.image_flops(tower) > 2 * sum(weight.numel() for weight in weights), "a layer was not seen"


def test_texts_are_probed(tower, labelled) -> None:
    cosines = prompt_cosines(tower, NAMES, TEMPLATES["single"])
    for found in (cosines.positive_negative, cosines.positive_positive, cosines.between_classes):
        assert found.shape == (2,)
        assert (np.abs(found) <= 1 + 1e-6).all()
    assert (cosines.between_classes < 1 - 1e-6).all(), "it cannot tell classes apart"
    probed = presence_scores(tower, InMemoryRegions(regions_of(tower, labelled)), labelled.labels, NAMES, resamples=10)
    assert {score.scope for score in probed} == {"global", "local"}
    assert all(0 <= area <= 1 for score in probed for area in score.per_class)


def test_maps_have_the_shape_of_the_grid(tower, run, paths, tmp_path) -> None:
    cells = {f"row {row} column {column}" for row in range(tower.grid) for column in range(tower.grid)}
    for subject in (subject_of_backbone(tower, NAMES), subject_of_run(run)):
        found = explain_image(subject, ImageFile(paths[0]), NAMES, ["a red house"])
        found.write(tmp_path / "maps.png")
        rows = csv_rows(numbers_beside(tmp_path / "maps.png"))
        assert [(row["class"], row["side"]) for row in rows] == [
            *((name, side) for name in NAMES for side in ("presence", "absence")),
            ("", "caption"),
        ]
        for row in rows:
            values = {key: float(value) for key, value in row.items() if key.startswith("row ")}
            assert values.keys() == cells
            assert len(set(values.values())) > 1, "it is the same everywhere"


def test_the_estimator_takes_it(tower, labelled, paths) -> None:
    known = np.where(labelled.labels == UNKNOWN, np.nan, labelled.labels == PRESENT)
    recognizer = pm.MultiLabelRecognizer(backbone=tower, class_names=NAMES, epochs=1, cache=False, workers=0)
    probabilities = recognizer.fit(paths, known).predict_proba(paths)
    assert probabilities.shape == (8, 2)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert probabilities.std(axis=0).min() > 0
    assert (recognizer.predict(paths) == (probabilities > recognizer.run_.thresholds)).all()


def test_a_run_with_prompts_is_loaded_as_it_was_saved(
    tower, fast_tower, tiny_backbone, labelled, paths, tmp_path
) -> None:
    run = trained("positivecoop", tower, labelled, tmp_path / "run")
    assert (run.config.method, run.config.backbone.weights_sha256) == ("positivecoop", tower.weights_sha256)
    same_everywhere(run, fast_tower, tiny_backbone, paths)


def test_a_run_without_prompts_is_loaded_as_it_was_saved(run, fast_tower, tiny_backbone, paths) -> None:
    same_everywhere(run, fast_tower, tiny_backbone, paths)


def same_everywhere(run: Run, fast_tower: ClipBackbone, other: Backbone, paths: list[Path]) -> None:
    """Loaded again it says the same, on the tower in bfloat16 nearly so, and it refuses another tower."""
    expected = run.predict(paths)
    assert expected.std(axis=0).min() > 0
    again = load_run(run.path)
    again.adopt(run.backbone)
    np.testing.assert_array_equal(again.predict(paths), expected)
    again.adopt(fast_tower)
    np.testing.assert_allclose(again.predict(paths), expected, atol=0.05)
    with pytest.raises(UserError, match="needs the weights"):
        again.adopt(other)


@pytest.mark.slow
def test_a_run_is_exported_and_scores_the_same(run, labelled, tmp_path) -> None:
    made = export_onnx(run, tmp_path / "run.onnx")
    assert made.path.stat().st_size == made.size
    assert made.largest_difference < TOLERANCE
    pytorch, onnx = scores(run, made, labelled, Reporter())
    assert pytorch.startswith("PyTorch: mAP")
    assert onnx.split(":")[1].split(" on ")[0] == pytorch.split(":")[1].split(" on ")[0]
