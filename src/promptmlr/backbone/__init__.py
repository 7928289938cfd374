"""The frozen CLIP: images → regions, text → features. `load_backbone` opens one."""

from promptmlr.backbone.base import Backbone
from promptmlr.backbone.catalogue import SCHEMES, catalogue, refused
from promptmlr.backbone.choosing import DEFAULT_TOWER, PAPER_TOWER
from promptmlr.backbone.clip import ClipBackbone
from promptmlr.backbone.ensemble import PRESENCE_TEMPLATE, Templates, class_sentences, ensemble_features
from promptmlr.backbone.image import WAYS
from promptmlr.backbone.loading import (
    MINIATURES,
    PAPER_IMAGE_SIZE,
    bare_backbone,
    bare_model,
    is_downloaded,
    load_backbone,
    of_open_clip,
    open_backbone,
    usual_image_size,
)
from promptmlr.backbone.precision import Precision, tower_dtypes
from promptmlr.backbone.precomputed import PrecomputedFeatures
from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.backbone.tower import ImageTower

__all__ = [
    "DEFAULT_TOWER",
    "MINIATURES",
    "PAPER_IMAGE_SIZE",
    "PAPER_TOWER",
    "PRESENCE_TEMPLATE",
    "SCHEMES",
    "WAYS",
    "Backbone",
    "ClipBackbone",
    "ImageTower",
    "Precision",
    "PrecomputedFeatures",
    "Preprocessing",
    "Templates",
    "bare_backbone",
    "bare_model",
    "catalogue",
    "class_sentences",
    "ensemble_features",
    "is_downloaded",
    "load_backbone",
    "of_open_clip",
    "open_backbone",
    "refused",
    "tower_dtypes",
    "usual_image_size",
]
