"""What the tests of backbones share."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


class Node(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="session")
def write_torchscript() -> Callable[[dict[str, torch.Tensor], Path], None]:
    """Write an archive as OpenAI publishes them: a module whose state dict has these names, and three entries more."""

    def write(state: dict[str, torch.Tensor], path: Path) -> None:
        sizes = {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}
        root = Node()
        for key, value in (state | {key: torch.tensor(size) for key, size in sizes.items()}).items():
            node = root
            *parents, leaf = key.split(".")
            for part in parents:
                if part not in node._modules:
                    node.add_module(part, Node())
                node = node._modules[part]
            node.register_buffer(leaf, value)
        with warnings.catch_warnings(action="ignore"):  # that TorchScript is old is no news
            torch.jit.save(torch.jit.script(root), str(path))

    return write
