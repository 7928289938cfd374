"""How fast a large table of labels is read, and in how much memory: python bench/tables.py [--rows 100000]

A CSV of random labels, a third of them blank, and half as many rows of it: memory should follow. Each is read in a
process of its own; seconds are those of one core.
"""

import argparse
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from promptmlr.data import DataOptions
from promptmlr.data.formats.csv import read_csv_rows


def write(path: Path, rows: int, classes: int) -> None:
    cells = np.array(["1", "0", ""])
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["image", *(f"class {number}" for number in range(classes))]) + "\n")
        for row in range(rows):
            file.write(f"photos/{row:08d}.jpg,{','.join(cells[rng.integers(3, size=classes)])}\n")


def read(path: Path, connection: Connection) -> None:
    begin = time.process_time()
    rows = read_csv_rows(path, None, DataOptions())
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    connection.send((rows.labels.shape, time.process_time() - begin, peak))


def main() -> None:
    """Print a line per table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=500)
    options = parser.parse_args()
    print("     rows  classes  seconds  peak MiB")
    with tempfile.TemporaryDirectory() as folder:
        for rows in (options.rows // 2, options.rows):
            path = Path(folder, f"{rows}.csv")
            write(path, rows, options.classes)
            context = get_context("spawn")
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=read, args=(path, sender))
            process.start()
            (count, classes), seconds, peak = receiver.recv()
            process.join()
            print(f"{count:9,}{classes:9,}{seconds:9.1f}{peak:10,.0f}")


if __name__ == "__main__":
    main()
