"""Workers that share shards, as a discrete-event simulation: what bench/scale.py shows.

The contract is that of the command line. A shard's output is written under a temporary name and renamed when it is
whole; then its line is added to the manifest. An idle worker claims the next shard that is neither claimed nor in the
manifest. The claim of a worker that dies lapses after a while, and another one takes the shard: if it finds the renamed
output, the worker died just before the manifest, and only the line is missing. Once nothing is left to claim, idle
workers may begin running shards a second time (backup tasks of MapReduce, Dean and Ghemawat, 2004); the first to rename
wins.
"""

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Farm", "Outcome", "expected_redone", "simulate"]


@dataclass(frozen=True)
class Farm:
    """Workers and their troubles; times in seconds, rates per second and worker.

    Attributes:
        workers: how many.
        shards: how many.
        shard_seconds: of work on one shard, by a worker of mean speed.
        open_seconds: before the work on every shard: listing, requests, loading.
        record_seconds: between the rename and the line in the manifest.
        spread: σ of the log of a worker's speed (lognormal, mean 1), drawn anew whenever it comes back.
        failure_rate: of crashes, exponential.
        restart_seconds: after a crash.
        preemption_rate: of spot machines taken away, exponential.
        replacement_seconds: until there is another machine.
        lapse_seconds: until the claim of a dead worker is free.
        backups: whether idle workers begin running shards a second time.
        static: whether shards are dealt out beforehand, as `--shard i/n` does, instead of claimed.
    """

    workers: int
    shards: int
    shard_seconds: float
    open_seconds: float = 0.0
    record_seconds: float = 0.0
    spread: float = 0.0
    failure_rate: float = 0.0
    restart_seconds: float = 0.0
    preemption_rate: float = 0.0
    replacement_seconds: float = 0.0
    lapse_seconds: float = 0.0
    backups: bool = False
    static: bool = False

    @property
    def death_rate(self) -> float:
        """Of both kinds."""
        return self.failure_rate + self.preemption_rate


@dataclass
class Outcome:
    """Where the workers' time went, in worker seconds, and what became of every shard.

    Attributes:
        seconds: until the last line of the manifest.
        useful: work on shards that were counted.
        redone: work that was lost: begun shards of dead workers, and backups that came second.
        opening: before work, and on manifest lines.
        down: dead workers.
        idle: nothing left to do.
        deaths: of workers.
        renamed: outputs by shard: who renamed first.
        manifest: shards in the order of their lines.
    """

    seconds: float = 0.0
    useful: float = 0.0
    redone: float = 0.0
    opening: float = 0.0
    down: float = 0.0
    idle: float = 0.0
    deaths: int = 0
    renamed: dict[int, int] = field(default_factory=dict)
    manifest: list[int] = field(default_factory=list)


@dataclass
class _Worker:
    number: int
    speed: float = 1.0
    life: int = 0  # events of an earlier one are void
    shard: int | None = None
    since: float = 0.0  # of its present phase
    phase: str = "idle"  # opening, working, recording, idle, down
    own: deque[int] = field(default_factory=deque)  # dealt out beforehand


def expected_redone(death_rate: float, shard_seconds: float) -> float:
    """Work done again as a share of useful work: about the rate times half a shard.

    Deaths are exponential, so the mean work until a shard is done without one is (exp(rate · s) − 1) / rate.
    """
    exposure = death_rate * shard_seconds
    return math.expm1(exposure) / exposure - 1 if exposure else 0.0


def simulate(farm: Farm, seed: int = 0) -> Outcome:
    """One run of the whole, the same for the same seed.

    Raises:
        RuntimeError: a shard is at no worker, and will be at none.
    """
    return _Simulation(farm, random.Random(seed)).run()


class _Simulation:
    def __init__(self, farm: Farm, draw: random.Random) -> None:
        self.farm, self.draw, self.out = farm, draw, Outcome()
        self.workers = [_Worker(number) for number in range(farm.workers)]
        self.free = deque(range(farm.shards))
        self.running: dict[int, int] = {}  # shard → number of workers on it
        self.done: set[int] = set()  # those of the manifest
        self.lapsing = 0  # claims of dead workers
        self.events: list[tuple[float, int, str, int, int]] = []
        self.count = itertools.count()
        if farm.static:
            for worker in self.workers:
                worker.own = deque(range(worker.number, farm.shards, farm.workers))
            self.free.clear()

    def run(self) -> Outcome:
        farm = self.farm
        for worker in self.workers:
            self._arrive(worker, 0.0)
        while len(self.done) < farm.shards:
            now, _, kind, number, life = heapq.heappop(self.events)
            if kind == "lapse":  # then the number is the shard's
                self._free(number, now)
            elif life == self.workers[number].life:
                getattr(self, f"_{kind}")(self.workers[number], now)
            self.out.seconds = now
            if len(self.done) < farm.shards and not self._pending():
                raise RuntimeError(f"lost {farm.shards - len(self.done)} of {farm.shards} shards")
        for worker in self.workers:
            self._account(worker, self.out.seconds, lost=True)
        return self.out

    def _pending(self) -> bool:
        """Whether some shard is yet to come: free, at a worker, with a claim that will lapse, or dealt out."""
        return bool(self.free or self.running or self.lapsing or any(worker.own for worker in self.workers))

    def _at(self, time: float, kind: str, number: int, life: int = 0) -> None:
        heapq.heappush(self.events, (time, next(self.count), kind, number, life))

    def _account(self, worker: _Worker, now: float, lost: bool = False) -> None:
        """Add the phase that ends now to what it was."""
        names = {"working": "redone" if lost else "useful", "recording": "opening"}
        name = names.get(worker.phase, worker.phase)
        setattr(self.out, name, getattr(self.out, name) + now - worker.since)
        worker.since = now

    def _arrive(self, worker: _Worker, now: float) -> None:
        """A machine that starts, or one that comes back."""
        self._account(worker, now)
        farm = self.farm
        worker.speed = math.exp(self.draw.gauss(-(farm.spread**2) / 2, farm.spread)) if farm.spread else 1.0
        worker.phase = "idle"
        if farm.death_rate:
            self._at(now + self.draw.expovariate(farm.death_rate), "die", worker.number, worker.life)
        self._claim(worker, now)

    def _claim(self, worker: _Worker, now: float) -> None:
        """The next shard: one of its own, a free one, or a backup of one that runs."""
        queue = worker.own if self.farm.static else self.free
        if queue:
            worker.shard = queue.popleft()
        else:
            worker.shard = self._behind() if self.farm.backups else None
        if worker.shard is None:
            return
        self.running[worker.shard] = self.running.get(worker.shard, 0) + 1
        worker.phase = "opening"
        self._at(now + self.farm.open_seconds, "opened", worker.number, worker.life)

    def _behind(self) -> int | None:
        """Of the shards that one worker is at, and whose output is not there, the one that was begun first."""
        return next((one for one, by in self.running.items() if by == 1 and one not in self.out.renamed), None)

    def _opened(self, worker: _Worker, now: float) -> None:
        self._account(worker, now)
        if worker.shard in self.out.renamed:
            self._record(worker, now)
            return
        worker.phase = "working"
        self._at(now + self.farm.shard_seconds / worker.speed, "worked", worker.number, worker.life)

    def _worked(self, worker: _Worker, now: float) -> None:
        """The output is whole, and gets its name unless another's has it."""
        first = worker.shard not in self.out.renamed
        self._account(worker, now, lost=not first)
        if first:
            assert worker.shard is not None
            self.out.renamed[worker.shard] = worker.number
        self._record(worker, now)

    def _record(self, worker: _Worker, now: float) -> None:
        worker.phase = "recording"
        self._at(now + self.farm.record_seconds, "recorded", worker.number, worker.life)

    def _recorded(self, worker: _Worker, now: float) -> None:
        self._account(worker, now)
        assert worker.shard is not None
        if worker.shard not in self.done:
            self.done.add(worker.shard)
            self.out.manifest.append(worker.shard)
        self._leave(worker)
        worker.phase = "idle"
        self._claim(worker, now)

    def _die(self, worker: _Worker, now: float) -> None:
        self._account(worker, now, lost=True)
        self.out.deaths += 1
        shard, farm = worker.shard, self.farm
        if shard is not None:
            last = self._leave(worker)
            if farm.static:
                worker.own.appendleft(shard)
            elif last and shard not in self.done:
                self.lapsing += 1
                self._at(now + farm.lapse_seconds, "lapse", shard)
        worker.life += 1
        worker.phase = "down"
        crash = self.draw.random() * farm.death_rate < farm.failure_rate
        away = farm.restart_seconds if crash else farm.replacement_seconds
        self._at(now + away, "arrive", worker.number, worker.life)

    def _leave(self, worker: _Worker) -> bool:
        """The worker no longer has its shard; whether it was the last that had it."""
        assert worker.shard is not None
        shard, worker.shard = worker.shard, None
        self.running[shard] -= 1
        if not self.running[shard]:
            del self.running[shard]
            return True
        return False

    def _free(self, shard: int, now: float) -> None:
        """The claim of a dead worker has lapsed."""
        self.lapsing -= 1
        self.free.append(shard)
        for worker in self.workers:
            if worker.phase == "idle":
                self._account(worker, now)
                self._claim(worker, now)
                return
