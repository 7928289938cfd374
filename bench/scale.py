"""The plan for 10 million and for a billion images: python bench/scale.py [--measure] [--gpu bench/gpu.json]

Prints every number of docs/scale.md, from three sources that it names: bench/scale-measured.json, which `--measure`
writes anew on this machine; bench/scale.toml, assumptions and list prices; and a simulation of workers
(bench/workers.py). What a GPU does is an assumption, unless `--gpu` names what bench/gpu.py wrote on one.
"""

import argparse
import io
import json
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers import Farm, expected_redone, simulate

HERE = Path(__file__).parent
MEASURED, ASSUMED = HERE / "scale-measured.json", HERE / "scale.toml"
JOBS = (10_000_000, 1_000_000_000)  # images
TOWERS = {"RN101 at 448 px": ("RN101", 448), "ViT-B-32 at 224 px": ("ViT-B-32", 224)}
CLASSES = 80
HOUR = 3600.0
RUNS = 5  # of every simulation, with seeds of their own


def measure() -> dict[str, Any]:
    """What one core of this machine does, by its own clock: time that others take from it does not count."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from overlap import draw_photos
    from random_towers import random_backbone

    from promptmlr.data.images import ImageFile
    from promptmlr.paper.cost.measuring import image_flops

    torch.set_num_threads(1)

    def rate(work: Callable[[], object], images: int) -> float:
        work()
        begin = time.process_time()
        work()
        return images / (time.process_time() - begin)

    found: dict[str, Any] = {"towers": {}}
    with tempfile.TemporaryDirectory() as folder:
        draw_photos(Path(folder), 16)
        files = sorted(Path(folder).iterdir())
        found["image_bytes"] = sum(file.stat().st_size for file in files) / len(files)
        for name, tower in TOWERS.items():
            backbone = random_backbone(*tower, torch.bfloat16)
            preprocessing = backbone.preprocessing

            def decode() -> list[torch.Tensor]:
                return [preprocessing.pixels(ImageFile(file).open()) for file in files]  # noqa: B023

            pixels = torch.stack(decode())
            found["towers"][name] = {
                "encoded_per_second": rate(
                    lambda: backbone.encode_image(preprocessing.normalise(pixels, backbone.dtype)),  # noqa: B023
                    len(files),
                ),
                "decoded_per_second": rate(decode, len(files)),
                "gflops": image_flops(backbone) / 1e9,
                "stored_bytes": 2 * backbone.regions * backbone.feature_width,
            }
    rows = 10_000
    scores = np.random.default_rng(0).random((rows, CLASSES), dtype=np.float32)
    table = pa.table({"id": [f"{row:09d}" for row in range(rows)], "probabilities": list(scores)})
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return found | {"output_bytes": len(written.getvalue()) / rows}


@dataclass(frozen=True)
class Way:
    """A tower on a kind of worker.

    Attributes:
        name: as the tables call it.
        rate: images per second of a worker.
        price: of a worker's hour on demand, with the cores that it needs beyond those of its machine.
        cores: that decode for it.
    """

    name: str
    rate: float
    price: float
    cores: float


def ways(measured: dict[str, Any], assumed: dict[str, Any], gpu: dict[str, Any] | None) -> Iterator[Way]:
    """Every tower on a core, and on a GPU with as many cores as keep it busy."""
    prices = assumed["prices"]
    for name, tower in measured["towers"].items():
        both = 1 / (1 / tower["encoded_per_second"] + 1 / tower["decoded_per_second"])
        yield Way(f"{name}, a core", both, prices["core_hour"], 1)
        rate = gpu_rate(name, tower, assumed, gpu)
        cores = rate / tower["decoded_per_second"]
        more = max(cores - assumed["gpu"]["cores"], 0)
        yield Way(f"{name}, an H100", rate, prices["gpu_hour"] + more * prices["core_hour"], cores)


def gpu_rate(name: str, tower: dict[str, float], assumed: dict[str, Any], gpu: dict[str, Any] | None) -> float:
    """Images per second: measured if it was, else the assumed share of the peak over the FLOPs of an image."""
    model, pixels = TOWERS[name]
    rows = [row for row in (gpu or {"towers": []})["towers"] if (row["tower"], row["pixels"]) == (model, pixels)]
    if rows:
        return max(row["images_per_second"] for row in rows)
    return assumed["gpu"]["share_reached"] * assumed["gpu"]["peak_tflops"] * 1e3 / tower["gflops"]


def parts(measured: dict[str, Any], assumed: dict[str, Any], gpu: dict[str, Any] | None) -> list[str]:
    """The table of one worker."""
    lines = [f"{'one worker':<30}{'images/s':>10}{'cores to decode':>17}{'dollars an hour':>17}"]
    lines += [
        f"{way.name:<30}{way.rate:>10,.1f}{way.cores:>17.1f}{way.price:>17.2f}" for way in ways(measured, assumed, gpu)
    ]
    lines.append(f"an H100's images/s are {'those of bench/gpu.py' if gpu else 'assumed, not measured'}")
    return lines


def sizes(measured: dict[str, Any], assumed: dict[str, Any]) -> list[str]:
    """The table of bytes, shards and requests."""
    source, prices = assumed["source"], assumed["prices"]
    lines = [f"{'images':<44}" + "".join(f"{count:>16,}" for count in JOBS)]

    def row(name: str, number: Callable[[int], float], shape: str) -> None:
        lines.append(f"{name:<44}" + "".join(f"{number(count):>16{shape}}" for count in JOBS))

    def shards(count: int) -> float:
        return count / source["images_per_shard"]

    def reads(count: int) -> float:
        return count * measured["image_bytes"] / (source["read_mb"] * 1e6)

    def month(size: float) -> float:
        return size / 1e9 * prices["stored_gb_month"]

    row("JPEG files, TB", lambda count: count * measured["image_bytes"] / 1e12, ",.1f")
    for name, tower in measured["towers"].items():
        row(f"regions of {name}, TB", lambda count, tower=tower: count * tower["stored_bytes"] / 1e12, ",.1f")
    row(f"probabilities of {CLASSES} classes, GB", lambda count: count * measured["output_bytes"] / 1e9, ",.1f")
    row("shards", shards, ",.0f")
    row("requests that read shards", reads, ",.0f")
    row("their price, dollars", lambda count: reads(count) / 1e3 * prices["thousand_gets"], ",.2f")
    row("the same from a file per image, dollars", lambda count: count / 1e3 * prices["thousand_gets"], ",.2f")
    row(
        "writes of outputs and manifest, dollars",
        lambda count: 2 * shards(count) / 1e3 * prices["thousand_puts"],
        ",.2f",
    )
    row("files kept for a month, dollars", lambda count: month(count * measured["image_bytes"]), ",.0f")
    stored = next(iter(measured["towers"].values()))["stored_bytes"]
    row("RN101's regions kept for a month, dollars", lambda count: month(count * stored), ",.0f")
    return lines


def work(measured: dict[str, Any], assumed: dict[str, Any], gpu: dict[str, Any] | None) -> list[str]:
    """The table of hours, dollars, workers and failures."""
    machines, spot = assumed["machines"], assumed["prices"]["spot_share"]
    head = f"{'worker hours':>14}{'dollars':>11}{'on spot':>10}{'workers, 1 day':>16}{'crashes':>9}{'preempted':>11}"
    lines = [f"{'':<44}{head}"]
    for count in JOBS:
        for way in ways(measured, assumed, gpu):
            hours = count / way.rate / 3600
            crashes, taken = (hours / 1000 * machines[f"{kind}_per_1000_hours"] for kind in ("failures", "preemptions"))
            lines.append(
                f"{count:>13,} {way.name:<30}{hours:>14,.1f}{hours * way.price:>11,.0f}"
                f"{spot * hours * way.price:>10,.0f}{hours / 24:>16,.1f}{crashes:>9,.1f}{taken:>11,.0f}"
            )
    return lines


def farm_of(assumed: dict[str, Any], workers: int, shards: int, shard_seconds: float, **how: Any) -> Farm:
    """Spot machines as assumed."""
    machines = assumed["machines"]
    return Farm(
        workers,
        shards,
        shard_seconds,
        open_seconds=machines["open_seconds"],
        record_seconds=machines["record_seconds"],
        spread=machines["speed_spread"],
        failure_rate=machines["failures_per_1000_hours"] / 1000 / HOUR,
        restart_seconds=machines["restart_seconds"],
        preemption_rate=machines["preemptions_per_1000_hours"] / 1000 / HOUR,
        replacement_seconds=machines["replacement_seconds"],
        lapse_seconds=machines["lapse_seconds"],
        **how,
    )


def simulations(measured: dict[str, Any], assumed: dict[str, Any], gpu: dict[str, Any] | None) -> list[str]:
    """Ten million images by RN101 on cores: where the time of the workers goes."""
    rate = next(ways(measured, assumed, gpu)).rate
    images = JOBS[0]
    lines = [
        f"{'images a shard, workers, how':<40}{'hours':>7}{'ideal':>7}{'useful':>8}{'redone':>8}{'theory':>8}"
        f"{'opening':>9}{'down':>7}{'idle':>7}{'lost':>6}{'twice':>7}"
    ]
    cases = [(size, workers, {}) for workers in (100, 1_000) for size in (100, 1_000, 10_000)]
    cases += [(1_000, 1_000, {"static": True}), (1_000, 1_000, {"backups": True})]
    for size, workers, how in cases:
        farm = farm_of(assumed, workers, images // size, size / rate, **how)
        named = "dealt out" if farm.static else "claimed, backups" if farm.backups else "claimed"
        lines.append(f"{size:>6,} {workers:>6,} {named:<26}{simulated(farm)}")
    return lines


def simulated(farm: Farm) -> str:
    """Mean hours of several runs, and shares of the workers' time in all of them; theory knows one speed alone."""
    runs = [simulate(farm, seed) for seed in range(RUNS)]
    seconds = sum(run.seconds for run in runs)
    parts = {name: sum(getattr(run, name) for run in runs) for name in ("useful", "redone", "opening", "down", "idle")}
    parts["theory"] = expected_redone(farm.death_rate, farm.shard_seconds) * parts["useful"]
    share = {name: f"{spent / farm.workers / seconds:.1%}" for name, spent in parts.items()}
    ideal = farm.shards * farm.shard_seconds / farm.workers
    lost = sum(farm.shards - len(set(run.manifest)) for run in runs)
    twice = sum(len(run.manifest) - len(set(run.manifest)) for run in runs)
    return (
        f"{seconds / RUNS / HOUR:>7.1f}{ideal / HOUR:>7.1f}{share['useful']:>8}{share['redone']:>8}{share['theory']:>8}"
        f"{share['opening']:>9}{share['down']:>7}{share['idle']:>7}{lost:>6}{twice:>7}"
    )


def report(gpu: dict[str, Any] | None = None) -> str:
    """All tables."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    assumed = tomllib.loads(ASSUMED.read_text(encoding="utf-8"))
    tables = [parts(measured, assumed, gpu), sizes(measured, assumed), work(measured, assumed, gpu)]
    return "\n\n".join("\n".join(table) for table in [*tables, simulations(measured, assumed, gpu)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure this machine first; takes a minute")
    parser.add_argument("--gpu", type=Path, help="what bench/gpu.py wrote on a GPU")
    asked = parser.parse_args()
    if asked.measure:
        from promptmlr.files import write_text

        write_text(MEASURED, json.dumps(measure(), indent=2) + "\n")
    print(report(None if asked.gpu is None else json.loads(asked.gpu.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
