"""A table of what mAP does not show: F1 at ½, the quality of probabilities, and the displacement of each side."""

import math
from collections.abc import Mapping

from promptmlr.paper.grid.results import GridResults
from promptmlr.report.findings import Finding, Heading, Table

__all__ = ["other_metrics_findings"]

Columns = Mapping[str, tuple[str, str]]
"""Metric → its heading and the form of its values."""

COLUMNS: Columns = {
    "cf1": ("CF1", "{:.1%}"),
    "of1": ("OF1", "{:.1%}"),
    "log_loss": ("log loss", "{:.3f}"),
    "calibration_error": ("calibration error", "{:.1%}"),
    "presence_displacement": ("presence displacement", "{:.2f}"),
    "absence_displacement": ("absence displacement", "{:.2f}"),
}


TOP_COLUMNS: Columns = {
    "cf1_top3": ("CF1, top 3", "{:.1%}"),
    "of1_top3": ("OF1, top 3", "{:.1%}"),
    "f1_at_3": ("F1 at 3", "{:.1%}"),
}


def other_metrics_findings(results: GridResults) -> list[Finding]:
    """Tables with a row per method, and a warning for every learned side that stayed at its start."""
    if not results.other_metrics:
        return []
    cf1 = "CF1" if results.empty_classes == "left-out" else "CF1 (with empty classes as 0)"
    return [
        Heading("What mAP does not show"),
        _table("mean over columns and seeds (by column in table.csv)", results, COLUMNS),
        f"{cf1} and OF1 in percent, of the labels whose probability is above ½. Log loss: the mean of −log P of the "
        "known test labels in nats, with P kept above 1e-7. Calibration error in points: how far, over ten bins of "
        "probability, the mean probability is from the share that is present; both of probabilities as training leaves "
        "them. Displacement: the root mean square change of a side's map by training, in logits. mAP sees neither a "
        "constant that is added to a class's scores nor, where the other side learns well, a side that learns nothing.",
        *(
            _table(f"of an image's three most probable {which}classes (table.csv)", part, TOP_COLUMNS)
            for which, part in {"": results, **{f"{group} ": part for group, part in results.groups.items()}}.items()
        ),
        "Top 3, as supervised tables have it: predicted are those of the three that are above ½; CF1 is then the "
        "harmonic mean of precision and recall over classes. F1 at 3, as zero-shot tables have it: exactly three are "
        "predicted, all labels pooled.",
        *(
            f"The {side} side of {method} stayed at its start in at least one run, although it is learned."
            for method, side in results.sides_at_start()
        ),
    ]


def _table(caption: str, results: GridResults, columns: Columns) -> Table:
    rows = []
    for method in results.methods:
        found = results.other_metrics_of(method, None)
        rows.append([method, *(_shown(form, found[name]) for name, (_, form) in columns.items())])
    return Table(caption, ["method", *(head for head, _ in columns.values())], rows)


def _shown(form: str, value: float) -> str:
    """A dash where an older version did not store the metric."""
    return "–" if math.isnan(value) else form.format(value).removesuffix("%")
