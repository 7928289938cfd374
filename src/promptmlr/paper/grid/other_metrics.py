"""A table of what mAP does not show: F1 at ½, the quality of probabilities, and the displacement of each side."""

import math

from promptmlr.paper.grid.results import GridResults
from promptmlr.report.findings import Finding, Heading, Table

__all__ = ["other_metrics_findings"]

COLUMNS = {
    "cf1": ("CF1", "{:.1%}"),
    "of1": ("OF1", "{:.1%}"),
    "log_loss": ("log loss", "{:.3f}"),
    "calibration_error": ("calibration error", "{:.1%}"),
    "presence_displacement": ("presence displacement", "{:.2f}"),
    "absence_displacement": ("absence displacement", "{:.2f}"),
}


def other_metrics_findings(results: GridResults) -> list[Finding]:
    """A table with a row per method, and a warning for every learned side that stayed at its start."""
    if not results.other_metrics:
        return []
    rows = []
    for method in results.methods:
        found = results.other_metrics_of(method, None)
        rows.append([method, *(_shown(form, found[name]) for name, (_, form) in COLUMNS.items())])
    cf1 = "CF1" if results.empty_classes == "left-out" else "CF1 (with empty classes as 0)"
    return [
        Heading("What mAP does not show"),
        Table(
            "mean over columns and seeds (by column in table.csv)",
            ["method", *(head for head, _ in COLUMNS.values())],
            rows,
        ),
        f"{cf1} and OF1 in percent, of the labels whose probability is above ½. Log loss: the mean of −log P of the "
        "known test labels in nats, with P kept above 1e-7. Calibration error in points: how far, over ten bins of "
        "probability, the mean probability is from the share that is present; both of probabilities as training leaves "
        "them. Displacement: the root mean square change of a side's map by training, in logits. mAP sees neither a "
        "constant that is added to a class's scores nor, where the other side learns well, a side that learns nothing.",
        *(
            f"The {side} side of {method} stayed at its start in at least one run, although it is learned."
            for method, side in results.sides_at_start()
        ),
    ]


def _shown(form: str, value: float) -> str:
    """A dash where an older version did not store the metric."""
    return "–" if math.isnan(value) else form.format(value).removesuffix("%")
