"""What a campaign tried and found: as JSON, and that as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faulting.verdict import KINDS
from promptmlr.report.tables import markdown_table

__all__ = ["FUZZ", "KILL", "tables"]

KILL, FUZZ = "kill", "damaged input"


def tables(record: Mapping[str, Any]) -> str:
    """As Markdown: how many faults hit each command, and how many damaged files each was given.

    Args:
        record: what `Campaign.record` gives.
    """
    cases: dict[str, dict[str, Any]] = {}
    for case in record["cases"]:
        cases.setdefault(case["target"], {})[case["fault"]] = case
    faults = list(dict.fromkeys(case["fault"] for case in record["cases"] if case["fault"] != FUZZ))
    work = [
        [name, *(own[fault]["hits"] if fault in own else 0 for fault in faults), *_found(own.values())]
        for name, own in cases.items()
        if FUZZ not in own
    ]
    damaged = [
        [name, own[FUZZ]["cases"], own[FUZZ]["refused"], *_found(own.values())]
        for name, own in cases.items()
        if FUZZ in own
    ]
    parts = ((["command", *faults], work), ([FUZZ, "cases", "refused"], damaged))
    return "\n\n".join(_table([*header, *KINDS], rows) for header, rows in parts if rows)


def _found(cases: Iterable[Mapping[str, Any]]) -> list[int]:
    return [sum(case["found"].get(kind, 0) for case in cases) for kind in KINDS]


def _table(header: Sequence[str], rows: list[list[Any]]) -> str:
    columns = list(zip(*rows, strict=True))[1:]
    rows = [*rows, ["all", *map(sum, columns)]]
    return markdown_table(header, [[name, *(f"{one:,}" for one in numbers)] for name, *numbers in rows], 1)
