"""How fast captions are counted, and in how much memory: python bench/captions.py [--captions 2000000]

Captions of eleven words, one in two hundred with a word of absence, in a Parquet and a CSV file, and in files of twice
the size: memory should not follow. Each file is counted in a process of its own.
"""

import argparse
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from promptmlr.paper.captions.counting import count_captions
from promptmlr.paper.captions.files import read_captions

WORDS = (
    "a the of on in with and for by red blue old new small large photo picture stock image vector poster vintage dog",
    "horse boat bridge garden kitchen street table tree window wedding dress woman man child family northern notable",
    "knot piano sky snow mountain beach city night morning summer sale design pattern wallpaper 2019 canvas print",
)
ABSENT_RATE = 0.005
PIECE = 200_000


def pieces(captions: int) -> list[pa.RecordBatch]:
    """One piece of random captions, as often as it takes."""
    rng = np.random.default_rng(0)
    words = " ".join(WORDS).split()
    texts = [" ".join(words[index] for index in row) for row in rng.integers(len(words), size=(PIECE, 11))]
    for row in np.flatnonzero(rng.random(PIECE) < ABSENT_RATE):
        texts[row] += " with no people" if row % 2 else " no. 5"
    piece = pa.record_batch({"url": [f"example/{row}.jpg" for row in range(PIECE)], "caption": texts})
    return [piece] * (captions // PIECE)


def write(path: Path, captions: int) -> None:
    batches = pieces(captions)
    writer = pq.ParquetWriter if path.suffix == ".parquet" else pacsv.CSVWriter
    with writer(path, batches[0].schema) as file:
        for batch in batches:
            file.write_batch(batch)


def peak() -> float:
    """Of this process in MiB; getrusage would count the process that started it too. Linux alone says it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def count(path: Path, connection: Connection) -> None:
    before, begin, used = peak(), time.perf_counter(), time.process_time()
    found = count_captions(read_captions(path, "caption"), samples=3)
    seconds, used = time.perf_counter() - begin, time.process_time() - used
    connection.send((found.captions, found.with_word, seconds, used, peak(), peak() - before))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    context = get_context("spawn")
    print("file        captions  with a word  million/s  processor s  peak MiB  of these for counting")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("parquet", "csv"):
            for captions in (arguments.captions, 2 * arguments.captions):
                path = Path(folder) / f"captions.{suffix}"
                write(path, captions)
                for _ in range(arguments.repeats):
                    here, there = context.Pipe()
                    process = context.Process(target=count, args=(path, there))
                    process.start()
                    there.close()
                    total, with_word, seconds, used, highest, grown = here.recv()
                    process.join()
                    print(
                        f"{suffix:<8} {total:>11,}  {with_word / total:>10.2%}  {total / seconds / 1e6:>10.2f}  "
                        f"{used:>11.2f}  {highest:>8.0f}  {grown:>21.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
