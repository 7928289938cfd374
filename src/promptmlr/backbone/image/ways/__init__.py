"""Ways to make regions of what a transformer knows before its last block.

The last block gathers for the class token what patches hold; its output at the patches was never trained to say what
lies there. A file each; a new way is a file with a `WAY`, a line of `_MODULES`, and its name in
`promptmlr.options.tower`.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from promptmlr.backbone.image.ways.way import BeforeLast, Way

__all__ = ["VALUE", "WAYS", "BeforeLast", "Way"]

_MODULES = (
    "value",
    "qk",
    "clear",
    "repair",
)

WAYS: Mapping[str, Way] = MappingProxyType(
    {way.name: way for way in (import_module(f"{__name__}.{name}").WAY for name in _MODULES)}
)
"""Every way, by name."""

VALUE = WAYS["value"]
"""The only one that needs nothing but a block."""
