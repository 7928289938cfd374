"""Ten thousand classes, each with a context of its own: memory does not grow with the activations of a causal tower."""

import subprocess
import sys

import pytest

TRAINING = """
import resource, sys
import torch
from promptmlr.backbone import load_backbone
from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.training import fit
classes = int(sys.argv[2])
backbone = load_backbone(sys.argv[1])
recipe = load_recipe("default", "positivecoop", epochs=1, batch_size=4).model_copy(update={"optimizer": "adam"})
names = [f"thing {index}" for index in range(classes)]
recognizer = create_recognizer("positivecoop", backbone, names, context_length=16)
regions = InMemoryRegions(torch.randn(4, 5, backbone.feature_width))
fit(recognizer, regions, torch.randint(-1, 2, (4, classes), dtype=torch.int8).numpy(), recipe)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, backbone.text.activation_bytes(24))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is counted in other units")
def test_memory_is_flat(tiny_checkpoint) -> None:
    """What grows belongs to a class: its context, gradient and Adam's two moments (full size: bench/memory.py)."""

    def peak(classes: int) -> tuple[int, int]:
        command = [sys.executable, "-c", TRAINING, str(tiny_checkpoint), str(classes)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return int(found[0]), int(found[1])

    few, _ = peak(1_000)
    many, of_one = peak(10_000)
    learned = 4 * 9_000 * 16 * 64 * 4
    assert many - few < 2 * learned
    assert 9_000 * of_one > 3 * learned, "activations would not be noticed"
