"""Multi-label recognition from partial labels on a frozen CLIP.

The public names; everything else is found by the map in `docs/architecture.md`.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptmlr import functional, scenes
    from promptmlr.backbone import load_backbone
    from promptmlr.estimator import MultiLabelRecognizer
    from promptmlr.methods import METHODS, create_recognizer
    from promptmlr.run import load_run

__version__ = version("promptmlr")

__all__ = ["METHODS", "MultiLabelRecognizer", "create_recognizer", "functional", "load_backbone", "load_run", "scenes"]

# Imported when first used: `promptmlr --help` answers without loading torch.
_HOMES = {
    "METHODS": "promptmlr.methods",
    "MultiLabelRecognizer": "promptmlr.estimator",
    "create_recognizer": "promptmlr.methods",
    "functional": "promptmlr",
    "load_backbone": "promptmlr.backbone",
    "load_run": "promptmlr.run",
    "scenes": "promptmlr",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptmlr' has no attribute {name!r}")
    return import_module(f"promptmlr.{name}") if home == "promptmlr" else getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
