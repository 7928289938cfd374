"""`promptmlr methods`: the method table, and what a recipe can choose by name."""

from collections.abc import Mapping
from typing import Any

__all__ = ["methods"]


def methods() -> None:
    """List the methods (pairs of a presence and an absence side) and the names that a recipe can use."""
    from promptmlr.losses import LOSSES
    from promptmlr.methods import METHOD_TABLE
    from promptmlr.pooling import POOLINGS
    from promptmlr.unknown import UNKNOWN_COSTS

    header = ("method", "presence", "absence", "what it is")
    rows = [header, *((name, row.presence, row.absence, row.summary) for name, row in sorted(METHOD_TABLE.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
    choices: dict[str, Mapping[str, Any]] = {"loss": LOSSES, "unknown": UNKNOWN_COSTS, "pooling": POOLINGS}
    for key, table in choices.items():
        print(f"\n{key} = … in a recipe")
        for name, choice in sorted(table.items()):
            print(f"  {name.ljust(13)}  {choice.summary}")
