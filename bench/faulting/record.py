"""What a campaign tried and found: a line of JSON for each case, written as it ends, and all of them as tables."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faulting.verdict import KINDS, Finding
from promptmlr.report.tables import markdown_table

__all__ = ["FUZZ", "KILL", "RAY", "Record", "Tried", "tables"]

KILL, RAY, FUZZ = "kill", "kill on Ray", "damaged input"
KILLS = (KILL, RAY)  # of which those are counted that hit
_BEGIN, _END = "<!-- campaign -->\n", "<!-- end of the campaign -->\n"


@dataclass(frozen=True)
class Tried:
    """One case, and what came of it.

    Attributes:
        seed: of the campaign.
        fault: what was done.
        target: to what.
        number: of such cases of the campaign.
        seconds: it took.
        hits: how many faults hit the work.
        refused: whether a damaged input was refused.
        unnamed: whether that was done without saying where the damage is.
        found: what may never happen, and did.
    """

    seed: int
    fault: str
    target: str
    number: int
    seconds: float
    hits: int
    refused: bool
    unnamed: bool
    found: Sequence[Finding] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """How many it is of those that were asked for."""
        return self.hits if self.fault in KILLS else 1


class Record:
    """All cases so far, in memory and, where there is one, in a file that a later campaign goes on with.

    Args:
        path: the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.tried: list[Tried] = []
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        for line in lines:
            with suppress(ValueError):  # cut short, as the campaign was ended there
                entry = json.loads(line)
                self.tried.append(Tried(**entry | {"found": [Finding(**one) for one in entry["found"]]}))
        if path is not None and lines:
            path.write_text("".join(_line(one) for one in self.tried))

    @property
    def seed(self) -> int | None:
        """Of its last case."""
        return self.tried[-1].seed if self.tried else None

    def add(self, tried: Tried) -> None:
        """One more."""
        self.tried.append(tried)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(_line(tried))

    def fill(self, page: Path) -> None:
        """Put it, as tables, where a page has its mark."""
        head, _, rest = page.read_text().partition(_BEGIN)
        _, end, tail = rest.partition(_END)
        if not end:
            raise SystemExit(f"{page} has no lines {_BEGIN.strip()} and {_END.strip()}")
        page.write_text(f"{head}{_BEGIN}\n{tables(self.tried)}\n\n{_END}{tail}")


def tables(tried: Iterable[Tried]) -> str:
    """As Markdown: how many faults hit each command, and how many damaged files each was given."""
    tried = list(tried)
    damaged = [one for one in tried if one.fault == FUZZ]
    work = [one for one in tried if one.fault != FUZZ]
    faults = {
        fault: lambda cases, fault=fault: sum(one.hits for one in cases if one.fault == fault)
        for fault in dict.fromkeys(one.fault for one in work)
    }
    fates: dict[str, Callable[[list[Tried]], int]] = {
        "cases": len,
        "refused": lambda cases: sum(one.refused for one in cases),
        "not named": lambda cases: sum(one.unnamed for one in cases),
    }
    seeds = ", ".join(map(str, dict.fromkeys(one.seed for one in tried)))
    hours = sum(one.seconds for one in tried) / 3600
    parts = [_table("command", faults, work), _table(FUZZ, fates, damaged)]
    return "\n\n".join(
        [f"Seed {seeds}: {len(tried):,} cases, which took {hours:.1f} hours one after another.", *filter(None, parts)]
    )


def _table(what: str, columns: dict[str, Callable[[list[Tried]], int]], tried: list[Tried]) -> str:
    """A row for each target, and one for all; no table where nothing was tried."""
    columns = columns | {kind: lambda cases, kind=kind: _count(cases, kind) for kind in KINDS}
    rows = {name: [one for one in tried if one.target == name] for name in sorted({one.target for one in tried})}
    cells = [[name, *(f"{of(cases):,}" for of in columns.values())] for name, cases in [*rows.items(), ("all", tried)]]
    return markdown_table([what, *columns], cells, 1) if rows else ""


def _count(cases: list[Tried], kind: str) -> int:
    return sum(finding.kind == kind for one in cases for finding in one.found)


def _line(tried: Tried) -> str:
    return json.dumps(asdict(tried)) + "\n"
