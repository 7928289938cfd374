"""The most exact floating-point numbers that a device has."""

import torch

__all__ = ["exact_dtype"]


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64; float32 on Apple's GPUs, where nothing else can be made."""
    return torch.float32 if device.type == "mps" else torch.float64
