"""What mAP does not show, for people: F1 at ½, and how far training moved each side."""

from promptmlr.experiments.findings import Finding, Heading, Table
from promptmlr.experiments.grid.results import GridResults

__all__ = ["beside_findings"]

HEADER = ("method", "CF1", "OF1", "presence moved", "absence moved")


def beside_findings(results: GridResults) -> list[Finding]:
    """A table with a row per method, and a warning for every learned side that stayed where it began."""
    if not results.beside:
        return []
    rows = []
    for method in results.methods:
        found = results.mean_beside(method, None)
        scores = (f"{100 * found[name]:.1f}" for name in ("cf1", "of1"))
        rows.append([method, *scores, *(f"{found[name]:.2f}" for name in ("presence_moved", "absence_moved"))])
    return [
        Heading("What mAP does not show"),
        Table("mean over fractions and seeds (by fraction in table.csv)", HEADER, rows),
        "CF1 and OF1 in percent, of the labels whose probability is above ½. Moved: the root mean square of what "
        "training added to a side's map, in logits. mAP sees neither a constant that is added to a class's scores nor, "
        "where the other side learns well, a side that learns nothing.",
        *(
            f"The {side} side of {method} stayed where it began in at least one run, though it is learned."
            for method, side in results.unmoved()
        ),
    ]
