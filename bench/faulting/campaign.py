"""All cases of one seed, several at once."""

import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from random import Random

from faulting.disturbances import DISTURBANCES
from faulting.fuzzing import fuzz
from faulting.inputs import INPUTS
from faulting.record import FUZZ, KILL, RAY, Record, Tried
from faulting.targets import TARGETS
from faulting.verdict import Bench, Case

__all__ = ["FAULTS", "Campaign", "note"]

EVERY = 10.0  # seconds between two lines of progress
_NAMED = {one.name: one for one in (*TARGETS, *INPUTS)}
_ON_RAY = [one.name for one in TARGETS if one.on_ray]
_HERE = [one.name for one in TARGETS if not one.on_ray]

FAULTS: dict[str, list[str]] = {
    KILL: _HERE,
    RAY: _ON_RAY,
    **dict.fromkeys(("full disk", "no files", "two at once"), _HERE),
    FUZZ: [one.name for one in INPUTS],
}
"""Fault → the names of what it is tried on."""


class Campaign:
    """All cases of one seed.

    Args:
        bench: what they are tried on.
        place: a folder for them.
        seed: of all that is random.
        jobs: how many are tried at once.
        record: what was tried before, and where all others are written down.
    """

    def __init__(self, bench: Bench, place: Path, seed: int, jobs: int, record: Record) -> None:
        self.bench, self.place, self.seed, self.jobs, self.record = bench, place, seed, jobs, record
        self._folders = count()

    def one(self, fault: str, name: str, number: int) -> Tried:
        """Try one case."""
        chance, begin = Random(f"{self.seed}/{fault}/{name}/{number}"), time.monotonic()
        with Case(self.bench, _NAMED[name], self._folder(), chance).tried() as case:
            (fuzz if fault == FUZZ else DISTURBANCES[fault])(case)
        for finding in case.findings:
            command = f"python bench/faults.py --seed {self.seed} --case '{fault}/{name}/{number}'"
            note(f"{finding.kind}: {finding.text}\n  repeat it: {command}")
        seconds = round(time.monotonic() - begin, 2)
        return Tried(self.seed, fault, name, number, seconds, case.hits, case.refused, case.unnamed, case.findings)

    def all(self, fault: str, names: list[str], wanted: int) -> None:
        """Try cases of one fault, on all targets in turn: so many, or until so many kills hit."""
        same = [one for one in self.record.tried if (one.seed, one.fault) == (self.seed, fault)]
        before = [one for one in same if one.target in names]
        known = {(one.target, one.number) for one in before}
        cases = ((name, number) for number in count() for name in names if (name, number) not in known)
        done, begin, said = sum(one.counted for one in before), time.monotonic(), time.monotonic()
        running: set[Future[Tried]] = set()
        with ThreadPoolExecutor(self.jobs) as pool:
            while True:
                while len(running) < self.jobs and done + (0 if fault in (KILL, RAY) else len(running)) < wanted:
                    running.add(pool.submit(self.one, fault, *next(cases)))
                if not running:
                    break
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for one in ended:
                    self.record.add(one.result())
                    done += one.result().counted
                if time.monotonic() - said > EVERY or not running:
                    said = time.monotonic()
                    found = sum(len(one.found) for one in self.record.tried)
                    note(f"{fault}: {done:,} of {wanted:,}, {found} found, {said - begin:,.0f} s")

    def measure(self, names: list[str]) -> None:
        """Run targets undisturbed."""
        for name in names:
            self.bench.measure(_NAMED[name], self._folder())

    def _folder(self) -> Path:
        return self.place / f"{next(self._folders)}"


def note(line: str) -> None:
    """To whoever waits."""
    print(line, file=sys.stderr, flush=True)
