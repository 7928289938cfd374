"""Features that are given are the regions that a job sees: the same run comes of them as of the images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone, PrecomputedFeatures
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.data.precomputed import Features, precomputed_images
from promptmlr.errors import UserError
from promptmlr.features import RegionCache, open_regions
from promptmlr.labels import keep_mask
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.run import load_run, read_tensors

REGIONS = np.random.default_rng(0).normal(size=(5, 3, 8)).astype(np.float32)
GIVEN = precomputed_images(Features(REGIONS), ["a", "b", "c", "d", "e"])


def as_features(data: LabelledImages, backbone: Backbone) -> LabelledImages:
    """The same data with the backbone's work done."""
    regions = extract(FreshRegions(backbone, data.images))[1].regions.numpy()
    text = backbone.class_features(data.class_names, "a photo of a {}.").float().numpy()
    features = Features(regions, dict(zip(data.class_names, text, strict=True)))
    return replace(data, images=precomputed_images(features, data.image_ids), features=features)


@pytest.mark.parametrize("cache", [False, True])
def test_they_come_in_the_order_that_is_asked_for_and_nothing_is_stored(tmp_path: Path, cache: bool) -> None:
    fresh = FreshRegions(PrecomputedFeatures(8), [GIVEN[3], GIVEN[0]])
    kept, source = open_regions(fresh, RegionCache(tmp_path / "cache") if cache else None)
    assert kept.tolist() == [0, 1]
    ((indices, batch),) = source.batches([np.array([1, 0])])
    assert indices.tolist() == [1, 0]
    np.testing.assert_array_equal(batch.numpy(), REGIONS[[0, 3]])
    assert not (tmp_path / "cache").exists()


def test_they_are_not_seen_through_a_tower(tiny_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="sees pixels, and these are features"):
        open_regions(FreshRegions(tiny_backbone, GIVEN), None)


def test_they_are_not_augmented() -> None:
    with pytest.raises(UserError, match=r"features cannot be augmented.*--recipe default"):
        open_regions(FreshRegions(PrecomputedFeatures(8), GIVEN, augmentation=Augmentation(0)), None)


@pytest.mark.parametrize("method", ["baseline", "dualembedding"])
def test_a_run_on_features_is_the_run_on_their_images(scenes_backbone: Backbone, tmp_path: Path, method: str) -> None:
    images = load_data("scenes", options=DataOptions(scenes_train=40))
    recipe = load_recipe("default", method, epochs=2, start="text")
    features = as_features(images, scenes_backbone)
    assert features.features is not None
    stand_in = PrecomputedFeatures(features.features.width, features.features.text)
    weights = []
    for data, backbone in ((images, scenes_backbone), (features, stand_in)):
        job = TrainingJob(method, recipe, data, keep_mask(data.labels.shape, 0.5, 0))
        path = train_run(job, backbone, tmp_path / backbone.name, workers=0)
        weights.append(read_tensors(path / "weights.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    own = {name: tensor for name, tensor in weights[0].items() if name.startswith(("learned.", "folded."))}
    assert len(own) in (4, 8)
    for name, tensor in own.items():  # zero-shot is another: the mean of class texts stands for "a photo."
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-6)


def test_a_run_knows_its_features(scenes_backbone: Backbone, tmp_path: Path) -> None:
    data = as_features(load_data("scenes", options=DataOptions(scenes_train=10)), scenes_backbone)
    assert data.features is not None
    width, text = data.features.width, data.features.text
    job = TrainingJob("zeroshot", load_recipe("default", "zeroshot"), data, np.ones(data.labels.shape, dtype=np.bool_))
    run = load_run(
        train_run(job, PrecomputedFeatures(width, text), tmp_path / "run", cache=RegionCache(tmp_path / "cache"))
    )
    assert run.config.data.features_sha256 == data.features.sha256
    assert (run.config.backbone.name, run.config.backbone.preprocessing, run.config.storage) == ("features", None, None)
    for fits in (PrecomputedFeatures(width, text), PrecomputedFeatures(width)):
        run.adopt(fits)
        assert run.backbone is fits
    moved = dict(text) | {"house": text["house"] + 1}
    for other, words in (
        (PrecomputedFeatures(width + 1, text), f"features of width {width}, and these have {width + 1}"),
        (PrecomputedFeatures(width, moved), "other text features of its classes.*give them the same `text`, or none"),
        (scenes_backbone, "trained on features and sees no images"),
    ):
        with pytest.raises(UserError, match=words):
            run.adopt(other)
    with pytest.raises(UserError, match="sees no images: give it features"):
        load_run(tmp_path / "run").use_backbone()
