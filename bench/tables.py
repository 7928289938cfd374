"""How long a large table takes to read: python bench/tables.py [ROWS CLASSES]. Seconds, and the most memory in use."""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from promptmlr.data import DataOptions, load_data

CODES = "1.0=present,0.0=absent,-1.0=unknown,=unknown"


def write_table(path: Path, rows: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    texts = np.array(["1.0", "0.0", "-1.0", ""])
    (path.parent / "photos").mkdir()
    with path.open("w") as file:
        file.write(",".join(["Path", "Age", *(f"class {c}" for c in range(classes))]) + "\n")
        for row in range(rows):
            name = f"photos/{row:07d}.jpg"
            (path.parent / name).touch()
            file.write(",".join([name, str(row % 90), *texts[rng.integers(0, 4, classes)].tolist()]) + "\n")


def main() -> None:
    rows, classes = map(int, sys.argv[1:] or (100_000, 500))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        write_table(path, rows, classes)
        begin, worked = time.perf_counter(), time.process_time()
        data = load_data(str(path), options=DataOptions(ignore="Age", codes=CODES))
        wall, worked = time.perf_counter() - begin, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    size = f"{data.labels.shape[0]:,} rows of {data.labels.shape[1]} classes"
    print(f"{size}: {wall:.1f} s ({worked:.1f} s of a core), {peak:.2f} GB")


if __name__ == "__main__":
    main()
