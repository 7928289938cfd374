"""All cases of one seed, several at once, and what came of them as tables and as JSON."""

import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from random import Random

from faulting.disturbances import DISTURBANCES
from faulting.fuzzing import fuzz
from faulting.inputs import INPUTS
from faulting.targets import TARGETS
from faulting.verdict import KINDS, Bench, Case, Finding
from promptmlr.report.tables import markdown_table

__all__ = ["FUZZ", "KILL", "NAMED", "Campaign", "is_input", "note", "record", "tables"]

EVERY = 10.0  # seconds between two lines of progress
KILL, FUZZ = "kill", "damaged input"
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
    return [
        "all",
        *(f"{sum(int(cell.replace(',', '')) for cell in column):,}" for column in list(zip(*rows, strict=True))[1:]),
    ]


def record(campaign: Campaign, seconds: float) -> dict[str, object]:
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
