"""Archives: Ray against one process, S3 against local tars, memory, and kills at random times.

    python bench/archives.py engines s3 memory kills --images 100000 --shards 50

Images are drawn scenes of 64 pixels, over and over, and the tower is the miniature. A rate is that between the first
and the last finished shard, so that starting up does not count. Needs promptmlr[test].
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from promptmlr import scenes

DISTINCT = 500  # scenes
COMMAND = (sys.executable, "-m", "promptmlr")


def write_shards(folder: Path, images: int, shards: int) -> None:
    """Tars `00000.tar` …, of keys that count on."""
    drawn = []
    for number in range(min(DISTINCT, images)):
        file = io.BytesIO()
        Image.fromarray(scenes.draw_scene(5, number).image).resize((64, 64)).save(file, "JPEG")
        drawn.append(file.getvalue())
    each = images // shards
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for number in range(shard * each, (shard + 1) * each):
                member = tarfile.TarInfo(f"{number:09d}.jpg")
                member.size = len(drawn[number % len(drawn)])
                archive.addfile(member, io.BytesIO(drawn[number % len(drawn)]))


def train(folder: Path) -> Path:
    """A run to predict with."""
    run = folder / "run"
    for words in (
        ("convert", "scenes", folder / "table", "--to", "csv", "--limit", "60"),
        ("train", folder / "table" / "labels.csv", "--backbone", "scenes", "--epochs", "2", "--no-cache", "--out", run),
    ):
        subprocess.run([*COMMAND, *map(str, words)], check=True, capture_output=True)
    return run


def predict(run: Path, source: str, out: Path, *more: str, threads: int = 2) -> float:
    """Images per second."""
    words = ("predict", str(run), source, "--out", str(out), *more)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run([*COMMAND, *words], check=True, capture_output=True, env=environment)
    records = sorted((path.stat().st_mtime, json.loads(path.read_text())["rows"]) for path in out.glob("shards/*.json"))
    return sum(rows for _, rows in records[1:]) / (records[-1][0] - records[0][0])


def engines(run: Path, tars: Path, work: Path) -> None:
    """On the same two cores."""
    source = f"{tars}/*.tar"
    one = predict(run, source, work / "one")
    alone = predict(run, source, work / "alone", "--engine", "ray", "--workers", "1", threads=1)
    two = predict(run, source, work / "two", "--engine", "ray", "--actors", "2", "--workers", "1", threads=1)
    print(f"one process {one:.0f} images/s; Ray: one actor {alone:.0f}, two actors {two:.0f}")
    print(f"two actors / one process {two / one:.2f}, two actors / one actor {two / alone:.2f}", flush=True)


def s3(run: Path, tars: Path, work: Path) -> None:
    """A server of moto on loopback, in a process of its own."""
    with moto() as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        import fsspec

        system = fsspec.filesystem("s3")
        system.mkdir("bench")
        system.put([str(path) for path in sorted(tars.glob("*.tar"))], "bench/")
        there = predict(run, "s3://bench/*.tar", work / "there")
        here = predict(run, f"{tars}/*.tar", work / "here")
    print(f"local {here:.0f} images/s, S3 on loopback {there:.0f}, ratio {there / here:.2f}", flush=True)


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Address of an object store that is there until the block ends."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5557"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(5)
        yield "http://127.0.0.1:5557"
    finally:
        server.terminate()
        server.wait()


def memory(run: Path, tars: Path, work: Path) -> None:
    """Of one process over a tenth of the shards, and over all of them."""
    peaks = {}
    for part, shards in (("tenth", f"{tars}/*.tar --shard 0/10"), ("all", f"{tars}/*.tar")):
        process = multiprocessing.get_context("spawn").Process(
            target=_peak, args=(run, shards.split(), work / part, work / f"{part}.txt")
        )
        process.start()
        process.join()
        peaks[part] = int((work / f"{part}.txt").read_text()) / 2**20
    ratio = peaks["all"] / peaks["tenth"]
    print(f"peak {peaks['tenth']:.2f} GiB for a tenth, {peaks['all']:.2f} GiB for all, ratio {ratio:.3f}", flush=True)


def _peak(run: Path, sources: list[str], out: Path, told: Path) -> None:
    predict(run, sources[0], out, *sources[1:])
    told.write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))  # of Linux, in KiB


def kills(run: Path, tars: Path, work: Path, count: int, seed: int) -> None:
    """SIGKILL at random times: of one process, of the driver of a cluster, of its workers; then finish, and compare."""
    chance, source = random.Random(seed), f"{tars}/*.tar"
    predict(run, source, work / "whole")
    on_ray = max(count // 5, 1)
    killed = 0
    while killed < count - on_ray:
        if _killed(chance, run, source, work / "one"):
            killed += 1
        else:
            _from_the_beginning(work / "one")
    killed += _workers_killed(chance, run, source, work / "ray", on_ray)
    expected = rows(work / "whole")
    for out in ("one", "ray"):
        with contextlib.suppress(ZeroDivisionError):
            predict(run, source, work / out)
        found = rows(work / out)
        lost, doubled = len(expected.keys() - found.keys()), sum(len(one) - 1 for one in found.values())
        same = sum(found.get(key) == values for key, values in expected.items())
        print(f"{out}: {lost} rows lost, {doubled} doubled, {same} of {len(expected)} equal")
    print(f"{killed} processes killed", flush=True)


def rows(out: Path) -> dict[str, list[dict]]:
    """By id."""
    found: dict[str, list[dict]] = {}
    for path in sorted(out.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            found.setdefault(row["id"], []).append(row)
    return found


def _killed(chance: random.Random, run: Path, source: str, out: Path) -> bool:
    """Whether a process was still running when its time came; it is forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["promptmlr.predicting", "promptmlr.cli.predict"])
    process = context.Process(target=_main, args=(run, source, out))
    process.start()
    process.join(chance.uniform(0.5, 8))
    running = process.is_alive()
    process.kill()
    process.join()
    return running


def _main(run: Path, source: str, out: Path) -> None:
    from promptmlr.cli import main

    sys.stderr = io.StringIO()
    sys.argv = ["promptmlr", "predict", str(run), source, "--out", str(out), "--workers", "1"]
    main()


def _workers_killed(chance: random.Random, run: Path, source: str, out: Path, count: int) -> int:
    """Workers, and every fifth time the driver, which is begun again."""
    done = 0
    words = ("predict", str(run), source, "--out", str(out), "--engine", "ray", "--actors", "2", "--workers", "1")
    while done < count:
        driver = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while driver.poll() is None and done < count:
            time.sleep(chance.uniform(1, 10))
            workers = _below(driver.pid, "ray::MapWorker")
            if workers and driver.poll() is None:
                done += 1
                os.kill(driver.pid if done % 5 == 0 else chance.choice(workers), signal.SIGKILL)
        code = driver.wait()
        if code == 0 and done < count:  # finished before its time
            _from_the_beginning(out)
    return done


def _from_the_beginning(out: Path) -> None:
    for path in (out / "shards").iterdir():
        path.unlink()


def _below(pid: int, called: str) -> list[int]:
    """Descendants of a process by the name they give themselves."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            names[int(path.name)] = (path / "cmdline").read_text()
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    return [one for one in names if names[one].startswith(called) and pid in _above(one, parents)]


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    found = set()
    while (pid := parents.get(pid, 0)) > 1:
        found.add(pid)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=["engines", "s3", "memory", "kills"])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=50)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archives-") as folder:
        tars, run = Path(folder) / "tars", train(Path(folder))
        tars.mkdir()
        write_shards(tars, asked.images, asked.shards)
        print(f"{asked.images:,} images in {asked.shards} tars", flush=True)
        for part in asked.parts:
            work = Path(folder) / part
            work.mkdir()
            more = (asked.kills, asked.seed) if part == "kills" else ()
            {"engines": engines, "s3": s3, "memory": memory, "kills": kills}[part](run, tars, work, *more)


if __name__ == "__main__":
    main()
