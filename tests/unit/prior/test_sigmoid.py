"""Towers trained with a sigmoid loss: their own scale and bias set the level and the prior."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from promptmlr.backbone import ClipBackbone, bare_model, load_backbone
from promptmlr.labels import UNKNOWN
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.sigmoid import own_share
from promptmlr.prior.zero_shot import CENTRES, Moments, fit_scaling
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions

NAMES = ["dog", "cat", "chair"]
SCALE, BIAS = 20.0, -3.0


@pytest.fixture
def sigmoid_backbone() -> ClipBackbone:
    model = bare_model("scenes")
    model.logit_scale.data.fill_(math.log(SCALE))
    model.logit_bias = torch.nn.Parameter(torch.tensor([BIAS]))
    return ClipBackbone(model, "sigmoid", None, load_backbone("scenes").preprocessing)


@pytest.fixture
def source() -> InMemoryRegions:
    return InMemoryRegions(torch.randn(40, 5, 128, generator=torch.Generator().manual_seed(0)))


def expected_share(backbone: ClipBackbone, source: InMemoryRegions) -> float:
    """σ(scale · cos + bias), as open_clip's `get_logits` has it, of region 0 and the texts."""
    images = torch.nn.functional.normalize(source.regions[:, 0], dim=-1)
    texts = torch.nn.functional.normalize(backbone.class_features(NAMES, "a photo of a {}.").float(), dim=-1)
    model = backbone._model
    return float(torch.sigmoid(model.logit_scale.exp() * images @ texts.T + model.logit_bias).mean())


def test_the_share_is_the_mean_of_the_towers_own_probabilities(sigmoid_backbone, source) -> None:
    recognizer = create_recognizer("anchored", sigmoid_backbone, NAMES, start="text")
    assert recognizer.pair_score == pytest.approx((SCALE, BIAS))
    assert own_share(recognizer, source) == pytest.approx(expected_share(sigmoid_backbone, source), rel=1e-4)
    recognizer.pair_score = (SCALE, -40.0)
    assert own_share(recognizer, source) == 1e-3


def test_a_tower_without_a_bias_has_no_share_of_its_own(scenes_backbone, source) -> None:
    recognizer = create_recognizer("anchored", scenes_backbone, NAMES, start="text")
    assert recognizer.pair_score is None
    assert own_share(recognizer, source) is None


def test_without_labels_zero_shot_has_the_towers_level(sigmoid_backbone, source) -> None:
    labels = np.full((40, 3), UNKNOWN, dtype=np.int8)
    recognizer = create_recognizer("anchored", sigmoid_backbone, NAMES, start="text")
    begun = begin_run(recognizer, source, labels, load_recipe("default", "anchored"))
    assert begun.record.level == "tower"
    _, margins = predict_margins(begun.run.recognizer, source)
    assert expit(margins).mean() == pytest.approx(expected_share(sigmoid_backbone, source), abs=1e-4)


def test_the_prior_of_scale_and_shift_is_the_towers() -> None:
    """Without labels the most probable values are the centres."""
    margins = np.random.default_rng(0).normal(size=(50, 3))
    moments = Moments.of(margins)
    own = Moments(moments.mean, moments.log_spread, scale=117.0, share=0.03)
    _, common = fit_scaling(margins, np.full((50, 3), UNKNOWN, dtype=np.int8), own)
    assert common.log_scale == pytest.approx(CENTRES[0] + math.log(1.17), abs=1e-3)
    assert common.shift == pytest.approx(logit(0.03), abs=1e-3)
