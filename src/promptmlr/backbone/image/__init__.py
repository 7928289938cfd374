"""Dense region features of image towers: (B, 3, H, W) pixels → (B, R, D) regions, region 0 global.

A file each for the kinds of tower; a new one is a file with a `KIND` and a line of `_MODULES`.
"""

from importlib import import_module

from torch import nn

from promptmlr.backbone.image.kind import TowerKind
from promptmlr.backbone.image.ways import WAYS, Way
from promptmlr.errors import UserError

__all__ = ["TOWER_KINDS", "WAYS", "TowerKind", "Way", "region_way", "tower_kind"]

_MODULES = (
    "resnet",
    "transformer",
    "timm_transformer",
    "timm_map",
)

TOWER_KINDS: tuple[TowerKind, ...] = tuple(import_module(f"{__name__}.{name}").KIND for name in _MODULES)
"""Every kind of image tower that regions are known of; the first that fits is taken."""


def tower_kind(visual: nn.Module) -> TowerKind:
    """The kind of an image tower.

    Raises:
        UserError: it is none of `TOWER_KINDS`.
    """
    for kind in TOWER_KINDS:
        if kind.fits(visual):
            return kind
    inside = f" around {type(visual.trunk).__name__}" if hasattr(visual, "trunk") else ""
    known = "; ".join(kind.name for kind in TOWER_KINDS)
    raise UserError(f"no regions are known of an image tower {type(visual).__name__}{inside}; known: {known}")


def region_way(visual: nn.Module, name: str | None, tower: str) -> Way:
    """The way of this name to make regions of an image tower; None is the default of its kind.

    Args:
        visual: the image tower.
        name: of a way, or None.
        tower: its name in errors.

    Raises:
        UserError: there is no such way, or not for this tower.
    """
    kind = tower_kind(visual)
    why_not = kind.why_value_alone(visual)
    if name is None:
        name = kind.default_way if why_not is None else "value"
    if name not in WAYS:
        raise UserError(f"--regions {name}: there are {', '.join(WAYS)}")
    if WAYS[name].opens and why_not is not None:
        raise UserError(f"--regions {name} is not known of {tower}: {why_not}; leave --regions out")
    return WAYS[name]
