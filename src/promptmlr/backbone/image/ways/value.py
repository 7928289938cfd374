"""MaskCLIP's way: each patch sees itself alone, so that attention gives its value.

Zhou and others, "Extract Free Dense Labels from CLIP" (2022).
"""

from promptmlr.backbone.image.kind import each_alone
from promptmlr.backbone.image.ways.way import Way

__all__ = ["WAY"]

WAY = Way("value", lambda before: each_alone(before.block, before.patches), opens=False)
