"""The state of trainings on disk, as one safetensors file, and when to write it."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from promptmlr.files import write_bytes
from promptmlr.run.weights import Tensors, read_tensors

__all__ = ["COUNTERS", "TENSORS", "Due", "read_state", "write_state"]

SECONDS_BETWEEN = 1.0  # written states; where an epoch takes milliseconds, writing each would take longer than training

TENSORS = ("learned", "optimizer", "best")  # of a `TrainingState`
COUNTERS = ("epoch", "best_epoch", "best_score")

Groups = dict[str, Tensors]


def write_state(path: Path, groups: Groups, counters: dict[str, Any]) -> None:
    """Tensors by group (group names without a dot) and counters as one safetensors file, whole or not at all.

    A checksum of both is in it: a number that another program or the disk has changed would spoil all later epochs.
    """
    tensors = {f"{group}.{name}": tensor.clone() for group, part in groups.items() for name, tensor in part.items()}
    told = json.dumps(counters)
    write_bytes(path, save(tensors, {"counters": told, "checksum": _checksum(tensors, told)}))


def read_state(path: Path) -> tuple[Groups, dict[str, Any]]:
    """What `write_state` wrote; a group without tensors is left out.

    Raises:
        UserError: the file is damaged.
        KeyError, TypeError, ValueError: it is whole, and no such state.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    tensors = read_tensors(path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    if about["checksum"] != _checksum(tensors, about["counters"]):
        raise ValueError("its checksum is another")
    for key, tensor in tensors.items():
        group, name = key.split(".", 1)
        groups.setdefault(group, {})[name] = tensor
    return groups, json.loads(about["counters"])


def _checksum(tensors: Tensors, counters: str) -> str:
    digest = hashlib.sha256(counters.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Due:
    """Tells when to write the state of a training: after every long epoch, after short ones once in a while."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def after(self, epoch: int, epochs: int) -> bool:
        """Whether to write now; after the last epoch in any case."""
        now = time.monotonic()
        if epoch < epochs and now - self._last < SECONDS_BETWEEN:
            return False
        self._last = now
        return True
