"""What two choices save, measured as ratios in one run: python bench/speed.py (`make bench`)

Prompts are encoded up to the longest end token instead of all 77 positions, and regions are kept in memory instead of
being made again for every image of every epoch. Medians of several runs, on the drawn world's miniature CLIP.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from promptmlr.backbone import load_backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.functional import asymmetric_loss
from promptmlr.methods import create_recognizer
from promptmlr.regions import FreshRegions, extract, index_batches

RUNS = 7


def median_seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def text_seconds(side: torch.nn.Module, text: object, positions: int | None) -> float:
    """Forward and backward of all prompts, padded to `positions` tokens."""

    def step() -> None:
        encode = text.encode

        def padded(embeddings: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
            missing = 0 if positions is None else positions - embeddings.shape[1]
            return encode(torch.nn.functional.pad(embeddings, (0, 0, 0, missing)), ends)

        text.encode = padded
        side.zero_grad()
        side.text_features().sum().backward()
        text.encode = encode

    return median_seconds(step)


def main() -> None:
    backbone = load_backbone("scenes")
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=128))
    fresh = FreshRegions(backbone, data.images)
    _, memory = extract(fresh)
    recognizer = create_recognizer("positivecoop", backbone, data.class_names)
    labels = torch.from_numpy(data.labels)
    plan = index_batches(len(fresh), 32)

    def epoch(source: object) -> None:
        for indices, regions in source.batches(plan):
            asymmetric_loss(recognizer(regions), labels[torch.from_numpy(indices)]).backward()

    trimmed = text_seconds(recognizer.presence, backbone.text, None)
    whole = text_seconds(recognizer.presence, backbone.text, backbone.text.context_length)
    held, made = median_seconds(lambda: epoch(memory)), median_seconds(lambda: epoch(fresh))
    rows = {
        "prompts, forward and backward: 77 positions / trimmed": whole / trimmed,
        "an epoch of positivecoop: regions from pixels / from memory": made / held,
    }
    for name, ratio in rows.items():
        print(f"{name}: {ratio:.1f}x")
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()}
    Path(__file__).with_name("results.json").write_text(
        json.dumps({"machine": machine, "ratios": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
