"""The report of a text probe: cosines compared with the paper's, AUCs of sentences, and the files behind them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from promptmlr.files import write_text
from promptmlr.paper.text_probe.scores import PresenceScore, PromptCosines
from promptmlr.report.findings import Finding, Table
from promptmlr.report.outputs import Outputs, Records

__all__ = ["PAPER_COSINES", "ProbeOutputs", "cosine_rows"]

Row = dict[str, Any]

PAPER_COSINES: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = MappingProxyType(
    {
        "single": {"positive_negative": (0.58, 0.06, 0.37, 0.69), "positive_positive": (0.53, 0.04, 0.51, 0.67)},
        "imagenet": {"positive_negative": (0.56, 0.06, 0.37, 0.67), "positive_positive": (0.61, 0.01, 0.55, 0.63)},
    }
)
"""The paper's Table 3 for COCO's 80 classes: mean, standard deviation, minimum, maximum; its set has 85 prompts."""

PAIRS = MappingProxyType(
    {
        "positive_negative": "positive – negative",
        "positive_positive": "positive – positive",
        "between_classes": "with the other classes",
        "nearest_class": "with the nearest class",
    }
)
SPREAD = ("mean", "std", "min", "max")


def cosine_rows(cosines: PromptCosines, templates: str) -> list[Row]:
    """Mean, standard deviation, minimum and maximum over classes of each kind of cosine, and the paper's values."""
    rows = []
    for key in PAIRS:
        values = getattr(cosines, key)
        found = map(float, (values.mean(), values.std(ddof=1), values.min(), values.max()))
        row: Row = {"cosine": key, **dict(zip(SPREAD, found, strict=True))}
        paper = PAPER_COSINES[templates].get(key, (None,) * len(SPREAD))
        rows.append(row | {f"paper_{name}": value for name, value in zip(SPREAD, paper, strict=True)})
    return rows


class ProbeOutputs(Outputs):
    """The report of a probe.

    Args:
        cosines: of prompts.
        templates: the name of the set of templates.
        scores: of sentences; empty without images.
        setting: written to `settings.json`.
        tower: the name of the text tower.
    """

    title = "How text encodes absence"

    def __init__(
        self,
        cosines: PromptCosines,
        templates: str,
        scores: Sequence[PresenceScore],
        setting: Mapping[str, Any],
        tower: str,
    ) -> None:
        self.cosines = cosines
        self.rows = cosine_rows(cosines, templates)
        self.scores = scores
        self.setting = setting
        self.lead = f"Prompts of {len(cosines.class_names)} classes through the text tower of {tower}."

    def findings(self) -> list[Finding]:
        """Cosines compared with the paper's, and AUCs of sentences if there were images."""
        cosines, header = self.cosines, ("cosine of text features", "mean ± std", "minimum to maximum", "paper, COCO")
        cells = []
        for row in self.rows:
            paper = "–" if row["paper_mean"] is None else "{paper_mean} ± {paper_std} ({paper_min} to {paper_max})"
            spread = f"{row['mean']:.3f} ± {row['std']:.3f}", f"{row['min']:.3f} to {row['max']:.3f}"
            cells.append((PAIRS[row["cosine"]], *spread, paper.format(**row)))
        nearer = int((cosines.positive_negative > cosines.nearest_class).sum())
        return [
            Table("Cosines of prompts (cosines.csv; by class in classes.csv)", header, cells),
            f"Mean, standard deviation and range over {len(cosines.class_names)} classes; positive – positive are two "
            f"wordings of one. For {nearer} of the classes the negative prompt is nearer to the positive one than the "
            "positive prompt of any other class is. The paper's numbers are as it prints them.",
            *(self._presence() if self.scores else []),
        ]

    def files(self) -> dict[str, Records]:
        """Cosines, cosines by class, and AUCs if there are any."""
        columns = {key: getattr(self.cosines, key) for key in PAIRS}
        columns |= {f"auc of {score.sentence!r}, {score.scope}": score.per_class for score in self.scores}
        classes: list[Row] = [
            {"class": name} | {key: _cell(values[index]) for key, values in columns.items()}
            for index, name in enumerate(self.cosines.class_names)
        ]
        fields = ("sentence", "scope", "mean", "low", "high", "verdict")
        aucs = [{field: getattr(score, field) for field in fields} for score in self.scores]
        tables = {"cosines.csv": self.rows, "classes.csv": classes, "auc.csv": aucs}
        return {name: Records.of(rows) for name, rows in tables.items() if rows}

    def write(self, folder: Path) -> None:
        """All files, and `settings.json`."""
        write_text(folder / "settings.json", json.dumps(dict(self.setting), indent=2) + "\n")
        super().write(folder)

    def _presence(self) -> list[Finding]:
        header = ("sentence", "scope", "AUC", "95 % interval", "verdict")
        cells = [
            (score.sentence, score.scope, f"{score.mean:.3f}", f"{score.low:.3f} to {score.high:.3f}", score.verdict)
            for score in self.scores
        ]
        per_class = self.scores[0].per_class
        return [
            Table("Whether a sentence fires on the object (auc.csv)", header, cells, words=2),
            "AUC of the sentence's cosine with an image as a score for the class's presence: 1 where it is always "
            "nearer to images with the class, 1/2 if it is uninformative, below 1/2 if it indicates absence. Global is "
            "region 0, local the largest cosine over the others. Means over the "
            f"{int((~np.isnan(per_class)).sum())} of {len(per_class)} classes with labels of both kinds; the intervals "
            "are a bootstrap over images.",
        ]


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
