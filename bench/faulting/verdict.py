"""How a case is judged, and the place where it is tried."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from faulting.content import Content, content_of, difference
from faulting.process import Job, Outcome
from faulting.service import Answers, lost_answers
from faulting.targets import Target
from faulting.world import World

__all__ = ["KINDS", "Bench", "Case", "Finding", "Reference"]

Kind = Literal["lost", "different", "hung", "traceback"]
KINDS: tuple[Kind, ...] = ("lost", "different", "hung", "traceback")
LEAST_PATIENCE, PATIENCE = 60.0, 40  # seconds, and times what an undisturbed command takes: later, it hangs


@dataclass(frozen=True)
class Finding:
    """Something that may never happen."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Reference:
    """What an undisturbed command leaves, and how long it takes.

    Attributes:
        before: the content of the folder beforehand.
        after: the same afterwards.
        seconds: of its work.
        written: bytes by which the folder grew.
        asked: the cells that were asked, of a service.
    """

    before: Content
    after: Content
    seconds: float
    written: int
    asked: frozenset[tuple[str, str]]


@dataclass
class Bench:
    """The world, and what commands leave in it undisturbed.

    Attributes:
        world: the world.
        keep: where the folders of cases go that were not as they must be.
        references: by the name of the target.
    """

    world: World
    keep: Path | None = None
    references: dict[str, Reference] = field(default_factory=dict)

    def measure(self, target: Target, folder: Path) -> None:
        """Run a target undisturbed, and keep what it leaves."""
        with Case(self, target, folder, Random()).tried() as case:
            before, size = content_of(folder), _size(folder)
            outcome = case.work()
            if outcome.code != 0 or case.findings:
                raise SystemExit(f"promptmlr {target.words}: {outcome.err}{case.findings}")
            self.references[target.name] = Reference(
                before, content_of(folder), outcome.seconds, _size(folder) - size, frozenset(case.answers.taken)
            )


class Case:
    """One trial of a target in a folder of its own.

    Args:
        bench: the world.
        target: what is tried.
        folder: made, and removed again at the end.
        chance: decides all that is random.

    Attributes:
        findings: what may never happen, and did.
        hits: how many faults hit the work.
        refused: whether a damaged input was refused.
        unnamed: whether that was done without saying where the damage is.
    """

    def __init__(self, bench: Bench, target: Target, folder: Path, chance: Random) -> None:
        self.bench = bench
        self.target = target
        self.folder = folder
        self.chance = chance
        self.findings: list[Finding] = []
        self.hits = 0
        self.refused = self.unnamed = False
        self.answers = Answers.of(bench.world.need("truth") / "labels.csv")

    @contextmanager
    def tried(self) -> Iterator["Case"]:
        """The folder, with a copy of all that the target needs."""
        self.folder.mkdir(parents=True)
        try:
            self.bench.world.copy(self.target.needs, self.folder)
            for name in self.target.reads:
                self.bench.world.need(name)
            yield self
            if self.findings and self.bench.keep is not None:
                shutil.copytree(self.folder, self.bench.keep / f"{self.target.name} {self.folder.name}", symlinks=True)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            for log in self.folder.parent.glob(f"{self.folder.name}.*"):
                log.unlink(missing_ok=True)

    @property
    def reference(self) -> Reference:
        """What the target leaves undisturbed."""
        return self.bench.references[self.target.name]

    @property
    def limit(self) -> float:
        """Seconds after which a command hangs."""
        known = self.bench.references.get(self.target.name)
        return max(LEAST_PATIENCE, PATIENCE * known.seconds if known else 0)

    def find(self, kind: Kind, text: str) -> None:
        """Note what may never happen."""
        self.findings.append(Finding(kind, text))

    def start(self, words: list[str], name: str = "said", spare_files: int | None = None) -> Job:
        """Begin a command in the folder."""
        return Job(
            self.bench.world.named(words), self.folder, self.folder.with_name(f"{self.folder.name}.{name}"), spare_files
        )

    def work(self, spare_files: int | None = None) -> Outcome:
        """Do all that is left to be done, to the end."""
        words = self.target.command(self.folder)
        if words is None:
            return Outcome(0, 0.0, "")
        return self.ended(self.attended(self.start(words, spare_files=spare_files)))

    def attended(self, job: Job, answers: Answers | None = None) -> Job:
        """Do beside a job what somebody does, and end it where it would go on for ever."""
        if self.target.beside is not None:
            self.target.beside(job, self.folder, answers or self.answers)
            job.send(signal.SIGINT)
        return job

    def ended(self, job: Job, sent: signal.Signals | None = None) -> Outcome:
        """How a job ended, judged by itself."""
        outcome = job.outcome(self.limit)
        if outcome.code is None:
            self.find("hung", f"no end after {self.limit:.0f} s: {outcome.err[-3000:]}")
        elif trouble := outcome.trouble(sent):
            self.find("traceback", trouble)
        return outcome

    def check_between(self) -> None:
        """After a fault: nothing that was there has gone, nothing half-made has a name, no answer is lost."""
        target, found = self.target, content_of(self.folder)
        new = [target.out, f"{target.out}.partial", "cache", "store", *target.beside_out]
        if gone := difference(self.reference.before, found, new):
            self.find("lost", f"what was there before: {gone}")
        if not target.grows:
            parts = [{name: one for name, one in content.items() if f"{name}/".startswith(f"{target.out}/")}
                     for content in (self.reference.before, self.reference.after, found)]  # fmt: skip
            if parts[2] not in parts[:2]:
                self.find("different", f"half-made: {difference(parts[1], parts[2])}")
        for lost in lost_answers(self.folder, self.answers)[:3]:
            self.find("lost", f"an answer that was taken: {lost}")

    def check_end(self, outcome: Outcome, *, temporary: bool) -> None:
        """After the work was gone on with to its end: the result is that of undisturbed work.

        Args:
            outcome: of the last command.
            temporary: whether nothing may be left that only a killed process leaves.
        """
        left = self.target.nothing_left
        if outcome.code != 0 and (left is None or left not in outcome.error):
            if outcome.code is not None and not self.findings:
                self.find("lost", f"it cannot be gone on with: {outcome.err[-500:]}")
            return
        found = content_of(self.folder, temporary=temporary)
        if wrong := difference(self.reference.after, found, self.target.beside_out):
            self.find("different", wrong)
        self.answers.taken |= self.reference.asked
        for lost in lost_answers(self.folder, self.answers)[:3]:
            self.find("lost", f"an answer: {lost}")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
