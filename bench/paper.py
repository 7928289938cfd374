"""Whether the numbers of the documents still hold: python bench/paper.py [NAME …] (`make paper`)

docs/numbers.toml lists them. Each entry names the document, the command and the commit that made its numbers, and a
small command, a part of the full one where it can be cut. The small commands are run one after another, and what they
print or write is compared with what was kept. A line for each says whether it held, and each number that differs is
shown; the exit code is 1 if there is one that its document does not admit. What cannot be run here is named, with the
reason.

Of a table, rows are compared that the small command and the kept numbers have in common, as many as the entry says; of
other lines, those with the same words. Tolerances count units of the last digit that was kept, of at most four places.
Seconds and rates of a shared machine have the tolerance inf: words and rows have to be the same, numbers need not.
"""

import argparse
import csv
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptmlr.files import write_text

__all__ = ["Entry", "check", "compare", "entries", "read_rows"]

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "docs" / "numbers.toml"
SMALL = "docs/numbers/"  # what small commands printed that are no part of a full one
NUMBER = re.compile(r"(?<![\w.])[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")
PLACES = 4
LONGEST = 900  # seconds of one small command

Row = tuple[tuple[str, ...], list[str]]  # what names it, with # for numbers that are compared, and these numbers


@dataclass(frozen=True)
class Entry:
    """Numbers of a document that one command made.

    Attributes:
        name: its heading in the list.
        document: a page, or a folder of tables.
        command: what made the numbers, as the document says it.
        commit: whose code made them, as the document says it.
        small: commands to run; none: `why` says what hinders.
        kept: the file with the numbers to compare; default: the document.
        output: the file that the small commands write, in their folder; default: what they print.
        keys: how many cells of a row, from the left, say which it is; 0: its words.
        columns: which cells are compared, from 1; default: all behind the keys.
        only: a regular expression that rows begin with; default: all rows.
        tolerance: in units of the last digit kept.
        rows: how many have to be found.
        why: there is no small command.
        since: a commit since which the code gives other numbers, as the document says until it has them.
    """

    name: str
    document: str
    command: str
    commit: str
    small: Sequence[str] = ()
    kept: str = ""
    output: str = ""
    keys: int = 0
    columns: Sequence[int] = ()
    only: str = ""
    tolerance: float = 1
    rows: int = 1
    why: str = ""
    since: str = ""

    def __post_init__(self) -> None:
        if bool(self.small) == bool(self.why):
            raise ValueError(f"{self.name}: either `small`, or `why` there is none")

    @property
    def kept_in(self) -> str:
        return self.kept or self.document


def entries(file: Path = LIST) -> list[Entry]:
    """The list, without its table of exempt pages."""
    listed = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Entry(name, **fields) for name, fields in listed.items() if name != "exempt"]


def read_rows(text: str, entry: Entry, *, is_csv: bool = False) -> Iterator[Row]:
    """Rows of a CSV file; or of Markdown tables and lines whose cells are two spaces apart."""
    for line in text.splitlines():
        if line.startswith("# ") or not re.match(entry.only, line.strip().strip("| ")):
            continue
        if is_csv:
            cells = next(csv.reader(io.StringIO(line)), [])
        elif line.startswith("|"):
            cells = line.strip().strip("|").split("|")
        else:
            cells = re.split(r"\s{2,}", line.strip())
        cells = [cell.strip(" *") for cell in cells]
        columns = entry.columns or range(entry.keys + 1, len(cells) + 1)
        if len(cells) >= max(columns, default=1):
            compared = " | ".join(cells[column - 1] for column in columns)
            numbers = NUMBER.findall(compared)
            if numbers or not columns:
                yield (*cells[: entry.keys], re.sub(r"\s+", " ", NUMBER.sub("#", compared))), numbers


def value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def unit(number: str) -> float:
    """Of the last digit, at most four places behind the point."""
    mantissa, _, exponent = number.partition("e")
    places = len(mantissa.partition(".")[2])
    return 10.0 ** -min(places, PLACES) * 10.0 ** int(exponent or 0)


def near(kept: str, now: str, tolerance: float) -> bool:
    return abs(value(kept) - value(now)) <= (tolerance + 1e-6) * unit(kept)


def compare(entry: Entry, kept: str, now: str, *, is_csv: tuple[bool, bool] = (False, False)) -> tuple[int, list[str]]:
    """How many rows were found in both, and a line for each that differs from all of its name."""
    known: dict[tuple[str, ...], list[list[str]]] = {}
    for key, numbers in read_rows(kept, entry, is_csv=is_csv[0]):
        known.setdefault(key, []).append(numbers)
    found, differing = 0, []
    for key, numbers in read_rows(now, entry, is_csv=is_csv[1]):
        if key not in known:
            continue
        found += 1
        if not any(
            all(near(one, other, entry.tolerance) for one, other in zip(before, numbers, strict=True))
            for before in known[key]
        ):
            was = " or ".join(", ".join(before) for before in known[key])
            differing.append(f"{' | '.join(key)}: kept {was}; now {', '.join(numbers)}")
    return found, differing


def run(entry: Entry, folder: Path) -> str:
    """What the small commands print or write.

    Raises:
        subprocess.SubprocessError: one failed, or took too long.
        OSError: the file that they should write is not there.
    """
    printed = ""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    for command in entry.small:
        words = shlex.split(command)
        words = words[1:] if words[0] == "python" else ["-m", *words]
        words = [str(ROOT / word) if word.startswith("bench/") else word for word in words]
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
        )
        if done.returncode != 0:
            last = done.stdout.strip().splitlines()[-1:] or ["(nothing printed)"]
            raise subprocess.SubprocessError(f"`{command}` ended with code {done.returncode}: {last[0]}")
        printed += done.stdout
    return (folder / entry.output).read_text(encoding="utf-8") if entry.output else printed


def check(entry: Entry) -> list[str]:
    """Run the small commands; what differs, a line each."""
    try:
        kept = (ROOT / entry.kept_in).read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            now = run(entry, Path(folder))
    except (OSError, subprocess.SubprocessError) as error:
        return [str(error)]
    is_csv = (entry.kept_in.endswith(".csv"), entry.output.endswith(".csv"))
    found, differing = compare(entry, kept, now, is_csv=is_csv)
    if found < entry.rows:
        differing.append(f"{found} rows are in both, and {entry.rows} should be")
    return differing


def update(entry: Entry) -> None:
    """Keep what the small commands print now, with the commit that is checked out."""
    if not entry.kept.startswith(SMALL):
        sys.exit(f"{entry.name}: its numbers are those of the full command; run {entry.command}, and change {LIST}")
    git = ["git", "-C", str(ROOT), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        printed = run(entry, Path(folder))
    rows = [line for line in printed.splitlines() if any(read_rows(line, entry))]
    head = [f"# {command}" for command in entry.small] + [f"# commit {commit}"]
    write_text(ROOT / entry.kept, "\n".join([*head, *rows]) + "\n")
    print(f"{entry.kept} is written, commit {commit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries of docs/numbers.toml (default: all)")
    parser.add_argument("--list", action="store_true", help="only say what there is, with full commands and commits")
    parser.add_argument("--update", action="store_true", help=f"write what is kept below {SMALL} anew")
    asked = parser.parse_args()
    listed = {entry.name: entry for entry in entries()}
    if unknown := sorted(set(asked.names) - set(listed)):
        parser.error(f"no entry {', '.join(unknown)}; there are {', '.join(listed)}")
    if asked.update and not asked.names:
        parser.error("--update needs the names of entries")
    begun, differ = time.monotonic(), 0
    for entry in [listed[name] for name in asked.names] or listed.values():
        if asked.list:
            print(f"{entry.name}: {entry.document}, commit {entry.commit}\n  {entry.command}")
        elif asked.update:
            update(entry)
        elif entry.why:
            print(f"not run  {entry.name}: {entry.why}", flush=True)
        else:
            start = time.monotonic()
            found = check(entry)
            differ += bool(found) and not entry.since
            said = f", since {entry.since}, as {entry.document} says" if found and entry.since else ""
            took = f"{time.monotonic() - start:.0f} s"
            print(f"{'DIFFERS' if found else 'held':<7}  {entry.name}{said}, {took}", flush=True)
            for line in found:
                print(f"         {line} (tolerance {entry.tolerance:g} of the last digit)", flush=True)
    if not (asked.list or asked.update):
        print(f"{differ} of the entries differ that should not; {time.monotonic() - begun:.0f} s in all")
        sys.exit(differ > 0)


if __name__ == "__main__":
    main()
