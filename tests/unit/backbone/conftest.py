"""What the tests of backbones share."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from torch import nn

from promptmlr.backbone import download

TINY = {
    "embed_dim": 96,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}


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


@pytest.fixture
def open_clip_knows(monkeypatch) -> Iterator[None]:
    """Two small models in open_clip's tables, "Tiny" with two tags, and a network that is away."""
    quick = {"url": "there/tiny-quick.pt", "quick_gelu": True, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    plain = {"url": "", "hf_hub": "someone/tiny-plain/"}
    tags = {"quick": quick, "plain": plain}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny", TINY)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny-quickgelu", TINY | {"quick_gelu": True})
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny", tags)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny-quickgelu", {"quick": quick})

    def away(*_arguments, **_options):
        raise OSError("Name or service not known\nand a long story after it")

    monkeypatch.setattr(download, "download_pretrained", away)
    monkeypatch.setattr(download, "_answers", lambda _address: True)


@pytest.fixture
def vit_file(tiny_vit, tmp_path):
    """A file as open_clip's own training saves it."""
    torch.save({"epoch": 1, "name": "Tiny", "state_dict": tiny_vit, "optimizer": {}}, tmp_path / "epoch_1.pt")
    return tmp_path / "epoch_1.pt"
