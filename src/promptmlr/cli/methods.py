"""`promptmlr methods`: the method table."""

__all__ = ["methods"]


def methods() -> None:
    """List the methods: pairs of a presence and an absence side."""
    from promptmlr.methods import METHOD_TABLE

    header = ("method", "presence", "absence", "what it is")
    rows = [header, *((name, row.presence, row.absence, row.summary) for name, row in sorted(METHOD_TABLE.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
