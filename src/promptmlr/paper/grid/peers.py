"""What others have printed for the same data sets: rows beside the paper's, and what makes them comparable or not.

Rows are `peers.csv`, each with its backbone, its resolution and what it uses besides images and class names, as far as
its source says; `sources.csv` says where each number was read. A number that was not read in its source is not there.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from promptmlr.paper.grid.observed import Observed, column, observed_as
from promptmlr.report.findings import Finding, Heading, Lines, Table

__all__ = ["Peer", "Source", "all_peers", "all_sources", "peer_findings"]


@dataclass(frozen=True)
class Peer:
    """One number of another publication.

    Attributes:
        benchmark: a key of `BENCHMARKS`, or "coco48-17" for COCO with unseen classes.
        classes: the scored classes: all or unseen.
        method: as the source calls it.
        observed: the labels it was trained on, as in `grid.observed`; None where no label of the data set was used.
        mean_ap: in percent, as printed.
        backbone: of the images; empty where the source does not say.
        pixels: the resolution, likewise.
        uses: what besides images and class names.
        source: a key of `all_sources`.
    """

    benchmark: str
    classes: str
    method: str
    observed: Observed | None
    mean_ap: str
    backbone: str
    pixels: str
    uses: str
    source: str

    @property
    def setting(self) -> tuple[str, ...]:
        """All but the labels and the score: numbers of one setting share a row."""
        return self.method, self.classes, self.backbone, self.pixels, self.uses, self.source


@dataclass(frozen=True)
class Source:
    """Where numbers were printed, and where they were read.

    Attributes:
        source: its key.
        work: authors, where known, and title.
        venue: where it appeared.
        year: when; empty where the source does not say.
        arxiv: its number there, if known.
        place: of the numbers in it.
        seen_in: what was read for them.
    """

    source: str
    work: str
    venue: str
    year: str
    arxiv: str
    place: str
    seen_in: str

    def __str__(self) -> str:
        """In a line."""
        arxiv = f", arXiv {self.arxiv}" if self.arxiv else ""
        when = " ".join(part for part in (self.venue, self.year) if part)
        return f"{self.source}: {self.work} ({when}{arxiv}), {self.place}; read in: {self.seen_in}"


def all_peers() -> list[Peer]:
    """All rows, in the order of the file."""
    return [
        Peer(observed=observed_as(seen) if seen else None, **row)
        for row in _rows("peers.csv")
        for seen in [row.pop("observed")]
    ]


def all_sources() -> dict[str, Source]:
    """Key → source."""
    return {row["source"]: Source(**row) for row in _rows("sources.csv")}


def peer_findings(benchmark: str | None, observed: Sequence[Observed]) -> list[Finding]:
    """Numbers of others on the same data set, with the same labels or without any; empty if there are none.

    Args:
        benchmark: as in `Peer`; None is none of them.
        observed: the columns of the grid.
    """
    rows = [one for one in all_peers() if one.benchmark == benchmark]
    labelled = [one for one in rows if one.observed in observed]
    free = [one for one in rows if one.observed is None]
    if not labelled and not free:
        return []
    settings = ["classes", "backbone", "px", "uses", "source"]
    found: list[Finding] = [Heading("What others have printed")]
    if labelled:
        shown = [seen for seen in observed if any(one.observed == seen for one in labelled)]
        found.append(
            Table(
                "mAP in percent, with the same labels (peers.csv)",
                ["method", *map(column, shown), *settings],
                [
                    [setting[0], *_across(setting, labelled, shown), *setting[1:]]
                    for setting in dict.fromkeys(one.setting for one in labelled)
                ],
            )
        )
    if free:
        found.append(
            Table(
                "mAP in percent, without training on labels of these images (peers.csv)",
                ["method", "mAP", *settings],
                [[one.method, one.mean_ap, *one.setting[1:]] for one in free],
            )
        )
    sources = all_sources()
    return [
        *found,
        "A difference to these numbers means something only where backbone, resolution, images and what is used agree; "
        "a blank means that the source does not say. How many runs a number is of, and how epochs were chosen, is "
        "rarely said.",
        Lines("Sources", [str(sources[key]) for key in dict.fromkeys(one.source for one in (*labelled, *free))]),
    ]


def _across(setting: tuple[str, ...], peers: Sequence[Peer], observed: Sequence[Observed]) -> list[str]:
    scores = {one.observed: one.mean_ap for one in peers if one.setting == setting}
    return [scores.get(seen, "") for seen in observed]


def _rows(name: str) -> list[dict[str, str]]:
    with files("promptmlr.paper.grid").joinpath(name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
