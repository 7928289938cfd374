"""What mAP does not show, for people: F1 at ½, how good probabilities are, and how far training moved each side."""

import math

from promptmlr.paper.grid.results import GridResults
from promptmlr.report.findings import Finding, Heading, Table

__all__ = ["beside_findings"]

COLUMNS = {
    "cf1": ("CF1", "{:.1%}"),
    "of1": ("OF1", "{:.1%}"),
    "log_loss": ("log loss", "{:.3f}"),
    "calibration_error": ("calibration error", "{:.1%}"),
    "presence_moved": ("presence moved", "{:.2f}"),
    "absence_moved": ("absence moved", "{:.2f}"),
}


def beside_findings(results: GridResults) -> list[Finding]:
    """A table with a row per method, and a warning for every learned side that stayed where it began."""
    if not results.beside:
        return []
    rows = []
    for method in results.methods:
        found = results.mean_beside(method, None)
        rows.append([method, *(_shown(form, found[name]) for name, (_, form) in COLUMNS.items())])
    return [
        Heading("What mAP does not show"),
        Table(
            "mean over columns and seeds (by column in table.csv)",
            ["method", *(head for head, _ in COLUMNS.values())],
            rows,
        ),
        "CF1 and OF1 in percent, of the labels whose probability is above ½. Log loss: the mean of −log P of the known "
        "test labels in nats, with P kept above 1e-7. Calibration error in points: how far, over ten bins of "
        "probability, the mean probability is from the share that is present; both of probabilities as training leaves "
        "them. Moved: the root mean square of what training added to a side's map, in logits. mAP sees neither a "
        "constant that is added to a class's scores nor, where the other side learns well, a side that learns nothing.",
        *(
            f"The {side} side of {method} stayed where it began in at least one run, though it is learned."
            for method, side in results.unmoved()
        ),
    ]


def _shown(form: str, value: float) -> str:
    """A dash where it was not kept: by an older version."""
    return "–" if math.isnan(value) else form.format(value).removesuffix("%")
