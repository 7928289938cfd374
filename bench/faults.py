"""The fault campaign: what kills, a full disk, damaged files and a second process do to the commands. Must be: nothing.

    python bench/faults.py --kills 1000 --fuzz 10000

Commands are forked from a process that has imported everything, in small folders of their own. They are ended by
SIGKILL, SIGTERM and SIGINT at moments drawn uniformly over the time they take, gone on with, and compared with what
undisturbed ones leave; they meet a full disk (where this user may mount one), no free file descriptor, and themselves
as a second process; and they are given damaged images, label files, run folders, checkpoints, stores and more.

Counted is what may never happen: something lost (that was there, was acknowledged, or cannot be gone on with),
different (from undisturbed work, or half-made under its final name), hung, or ended by a traceback. The exit code is 1
if there is any. Each such case is printed with the command that repeats it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from random import Random

from faulting.disturbances import DISTURBANCES
from faulting.fuzzing import fuzz
from faulting.inputs import INPUTS
from faulting.process import prepare
from faulting.targets import TARGETS
from faulting.verdict import KINDS, Bench, Case, Finding
from faulting.world import World

from promptmlr.report.tables import markdown_table

EVERY = 10.0  # seconds between two lines of progress
KILL, FUZZ = "kill", "damaged input"
_INPUTS = {one.name for one in INPUTS}
NAMED = {one.name: one for one in (*TARGETS, *INPUTS)}


@dataclass
class Tally:
    """What happened in all cases of a fault on a target."""

    cases: int = 0
    hits: int = 0
    refused: int = 0
    unnamed: int = 0
    found: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        self.cases += other.cases
        self.hits += other.hits
        self.refused += other.refused
        self.unnamed += other.unnamed
        self.found.update(other.found)


class Campaign:
    """All cases of one seed.

    Args:
        bench: what they are tried on.
        place: a folder for them.
        seed: of all that is random.
        jobs: how many are tried at once.
    """

    def __init__(self, bench: Bench, place: Path, seed: int, jobs: int) -> None:
        self.bench, self.place, self.seed, self.jobs = bench, place, seed, jobs
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.found: list[dict[str, str]] = []
        self._numbers = count()

    def measure(self, names: list[str]) -> None:
        """Run every target undisturbed."""
        for name in names:
            self.bench.measure(NAMED[name], self.place / f"{next(self._numbers)}")

    def one(self, fault: str, name: str, number: int) -> Tally:
        """Try one case."""
        chance = Random(f"{self.seed}/{fault}/{name}/{number}")
        with Case(self.bench, NAMED[name], self.place / f"{next(self._numbers)}", chance).tried() as case:
            (fuzz if fault == FUZZ else DISTURBANCES[fault])(case)
        for finding in case.findings:
            self._say(f"{fault}/{name}/{number}", finding)
        kinds = Counter(finding.kind for finding in case.findings)
        return Tally(1, case.hits, case.refused, case.unnamed, kinds)

    def all(self, fault: str, names: list[str], wanted: int) -> None:
        """Try cases of one fault, on all targets in turn: so many, or until so many kills hit."""
        cases = ((name, number) for number in count() for name in names)
        hits, begin, said = 0, time.monotonic(), time.monotonic()
        with ThreadPoolExecutor(self.jobs) as pool:
            running = {pool.submit(self.one, fault, *case): case for case in islice(cases, self.jobs)}
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    name, _ = running.pop(one)
                    tally, whole = one.result(), self.tallies.setdefault((fault, name), Tally())
                    whole.add(tally)
                    hits += tally.hits if fault == KILL else tally.cases
                    if hits + (0 if fault == KILL else len(running)) < wanted:
                        running |= {pool.submit(self.one, fault, *case): case for case in islice(cases, 1)}
                if time.monotonic() - said > EVERY or not running:
                    said = time.monotonic()
                    note(f"{fault}: {hits:,} of {wanted:,}, {len(self.found)} found, {said - begin:,.0f} s")

    def _say(self, case: str, finding: Finding) -> None:
        command = f"python bench/faults.py --seed {self.seed} --case '{case}'"
        self.found.append({"case": case, "kind": finding.kind, "text": finding.text, "repeat": command})
        note(f"{finding.kind}: {finding.text}\n  repeat it: {command}")


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def tables(campaign: Campaign) -> str:
    """What was tried and found, as Markdown."""
    faults = list(DISTURBANCES)
    names = list(dict.fromkeys(name for fault, name in campaign.tallies if fault in faults))
    parts = []
    if names:
        rows = []
        for name in names:
            own = {fault: campaign.tallies.get((fault, name), Tally()) for fault in faults}
            found = sum((tally.found for tally in own.values()), Counter())
            rows.append([name, *(f"{tally.hits:,}" for tally in own.values()), *(str(found[kind]) for kind in KINDS)])
        parts.append(markdown_table(["command", *faults, *KINDS], [*rows, _sums(rows)], 1))
    damaged = {name: tally for (fault, name), tally in campaign.tallies.items() if fault == FUZZ}
    if damaged:
        rows = [
            [name, *(f"{one:,}" for one in (tally.cases, tally.refused)), *(str(tally.found[kind]) for kind in KINDS)]
            for name, tally in damaged.items()
        ]
        parts.append(markdown_table([FUZZ, "cases", "refused", *KINDS], [*rows, _sums(rows)], 1))
    return "\n\n".join(parts)


def _sums(rows: list[list[str]]) -> list[str]:
    return ["all", *(f"{sum(int(cell.replace(',', '')) for cell in column):,}" for column in list(zip(*rows))[1:])]


def _record(campaign: Campaign, seconds: float) -> dict[str, object]:
    return {
        "command": sys.argv,
        "seed": campaign.seed,
        "seconds": round(seconds, 1),
        "cases": [
            {"fault": fault, "target": name, **vars(tally) | {"found": dict(tally.found)}}
            for (fault, name), tally in campaign.tallies.items()
        ],
        "found": campaign.found,
    }


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="signals that hit a command at work")
    parser.add_argument("--fuzz", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--others", type=int, default=200, help="each of: " + ", ".join(list(DISTURBANCES)[1:]))
    parser.add_argument("--only", action="append", metavar="NAME", help="a command or input, by the start of its name")
    parser.add_argument("--case", metavar="FAULT/NAME/NUMBER", help="try this case alone")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another every time)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at once")
    parser.add_argument("--json", type=Path, help="also write what was found to this file")
    return parser.parse_args()


def main() -> None:
    asked = _asked()
    seed = Random().randrange(10**6) if asked.seed is None else asked.seed
    fault, name, number = asked.case.split("/") if asked.case else ("", "", "0")
    wanted = dict.fromkeys(DISTURBANCES, asked.others) | {KILL: asked.kills, FUZZ: asked.fuzz}
    begin = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="promptmlr-faults-"))
    try:
        prepare()
        note(f"seed {seed}; making the data, runs and stores that are damaged")
        (place / "world").mkdir()
        campaign = Campaign(Bench(World(place / "world")), place, seed, asked.jobs)
        chosen = [one for one in NAMED if any(one.startswith(start) for start in asked.only or [name])]
        campaign.measure([name] if name else [one for one in chosen if wanted[FUZZ if one in _INPUTS else "kill"]])
        if asked.case:
            campaign.one(fault, name, int(number))
        else:
            for one, count_of_it in wanted.items():
                names = [name for name in chosen if (name in _INPUTS) == (one == FUZZ)]
                if names and count_of_it:
                    campaign.all(one, names, count_of_it)
            print(f"seed {seed}, {time.monotonic() - begin:,.0f} s\n\n{tables(campaign)}")
        if asked.json is not None:
            asked.json.write_text(json.dumps(_record(campaign, time.monotonic() - begin), indent=2) + "\n")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(bool(campaign.found))


if __name__ == "__main__":
    main()
