"""All cases of one seed, several at once."""

import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from faulting.disturbances import DISTURBANCES
from faulting.fuzzing import fuzz
from faulting.inputs import INPUTS
from faulting.record import FUZZ, KILL
from faulting.targets import TARGETS
from faulting.verdict import Bench, Case, Finding

__all__ = ["NAMED", "Campaign", "is_input", "note"]

EVERY = 10.0  # seconds between two lines of progress
NAMED = {one.name: one for one in (*TARGETS, *INPUTS)}


def is_input(name: str) -> bool:
    """Whether a name is that of an input, and not of a command at work."""
    return NAMED[name] in INPUTS


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

    def record(self, seconds: float) -> dict[str, Any]:
        """All of it, for JSON and for `tables`."""
        return {
            "seed": self.seed,
            "seconds": round(seconds),
            "cases": [
                {"fault": fault, "target": name, **vars(tally) | {"found": dict(tally.found)}}
                for (fault, name), tally in self.tallies.items()
            ],
            "found": self.found,
        }

    def _say(self, case: str, finding: Finding) -> None:
        command = f"python bench/faults.py --seed {self.seed} --case '{case}'"
        self.found.append({"case": case, "kind": finding.kind, "text": finding.text, "repeat": command})
        note(f"{finding.kind}: {finding.text}\n  repeat it: {command}")


def note(line: str) -> None:
    """To whoever waits."""
    print(line, file=sys.stderr, flush=True)
