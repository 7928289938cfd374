"""Which dtypes the two towers are cast to."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

__all__ = ["Precision", "tower_dtypes"]

Precision = Literal["auto", "float32", "bfloat16"]


def tower_dtypes(precision: Precision, device: str = "cpu") -> tuple[torch.dtype, torch.dtype]:
    """Dtypes of image and text tower, for `load_backbone`.

    "auto" casts the text tower to bfloat16 where the device computes in it, and leaves the image tower in float32;
    bench/precision.py measures what each costs in mAP.
    """
    if precision == "auto":
        return torch.float32, torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return dtype, dtype


def has_fast_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware; False for a device that does not exist."""
    if device.startswith("cuda"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.9 has no query for it
    return device == "cpu" and bool(capabilities.get("avx512_bf16", False))
