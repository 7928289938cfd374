"""Presence and absence maps over a data set: how much they agree, and the images where they agree most and least.

Letters: N images, C classes, R regions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptmlr.data.images import ImageRef
from promptmlr.labels import PRESENT, Labels
from promptmlr.maps.agreement import chance_overlap, image_agreements
from promptmlr.maps.figure import WIDTH, Strip, agreement_chart, overlay_figure, shown_pixels
from promptmlr.maps.image import ClassMaps, class_strip, number
from promptmlr.maps.means import QUANTITIES, Agreement, Interval, agreements
from promptmlr.maps.subject import Subject
from promptmlr.regions import RegionSource
from promptmlr.report.figures import figure_jpeg, figure_png
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.tables import write_csv
from promptmlr.reporting import Reporter

__all__ = ["ExplainedData", "explain_data"]

HEADER = ("class", "images", "correlation", "with other classes", "overlap", "with other classes")
MEAN_HEADER = ("images", "measure", "same class", "other classes", "difference", "verdict")
IMAGES = {"present": "with the class", "absent": "without it"}


@dataclass(frozen=True, eq=False)
class ExplainedData:
    """The report on a data set.

    Attributes:
        data: the data set, in a few words.
        subject: the run or backbone that makes the maps.
        found: agreement per class and as means over classes, by label.
        examples: images with the two maps of a class that is present: of highest, median and lowest correlation.
        regions: R, without those of tiles.
        share: of the regions that count as a map's highest.
    """

    data: str
    subject: Subject
    found: Sequence[Agreement]
    examples: Sequence[Strip]
    regions: int
    share: float

    title = "Are presence and absence highest in the same regions?"

    @property
    def lead(self) -> str:
        """A sentence on the subject and the data."""
        return f"{self.subject.name} on {self.data}, image by image."

    def findings(self, table: Path) -> list[Finding]:
        """Means over classes, notes, examples, and a row per class; `table` is the CSV with all numbers."""
        found: list[Finding] = [
            Heading("In numbers"),
            Table(f"Means over classes ({table})", MEAN_HEADER, self._mean_rows(), words=2),
            *self._notes(),
            Picture(
                lambda: figure_png(agreement_chart(self.found), WIDTH),
                alt="Correlation of presence and absence map for every class; the tables hold the same numbers.",
                caption="Dots: correlation of a class's two maps, with 95 % intervals; strokes: of its presence map "
                "with those of the other classes.",
            ),
        ]
        if self.examples:
            found += [
                Heading("In pictures"),
                Picture(
                    lambda: figure_jpeg(overlay_figure(self.examples), WIDTH),
                    alt="Three images, each with the presence and the absence map of a class that is present.",
                    caption="Of all images and the classes present in them: the pair of maps with the highest, the "
                    "median and the lowest correlation. One colour scale; yellow is most similar. The global region is "
                    "left out.",
                    least=34,
                ),
            ]
        return [
            *found,
            Heading("By class"),
            *(Table(f"Images {words} ({table})", HEADER, self._class_rows(label)) for label, words in IMAGES.items()),
        ]

    def write(self, table: Path) -> None:
        """Every number as CSV: a row per class and label, and the means over classes."""
        records = self._records()
        write_csv(table, list(records[0]), records)

    def _mean_rows(self) -> list[list[str]]:
        rows = []
        for mean in self._of(None):
            for key in ("correlation", "overlap"):
                difference = mean.quantities[f"{key}_difference"]
                cells = (mean.quantities[key], mean.quantities[f"other_{key}"], difference)
                rows.append([IMAGES[mean.label], key, *map(_interval, cells), _verdict(difference)])
        return rows

    def _of(self, label: str | None) -> list[Agreement]:
        """The means over classes for None, else the classes' agreement at one label."""
        return [one for one in self.found if (one.class_name is None if label is None else one.label == label)]

    def _class_rows(self, label: str) -> list[list[str]]:
        keys = ("correlation", "other_correlation", "overlap", "other_overlap")
        return [
            [one.class_name, f"{one.images:,}", *(_interval(one.quantities[key]) for key in keys)]
            for one in self._of(label)
            if one.class_name is not None
        ]

    def _notes(self) -> list[str]:
        presence, absence = (side.format("X") for side in self.subject.sides)
        counts = "; ".join(f"{one.images:,} images and {one.classes} classes {one.label}" for one in self._of(None))
        return [
            f"Same class: its {presence} map with its {absence} map. Other classes: its {presence} map with those of "
            "every other class in the same image, as a reference for maps of different things. Correlation is over the "
            f"{self.regions - 1} regions of the grid; overlap is intersection over union of the "
            f"{100 * self.share:g} % of them where each map is highest, {chance_overlap(self.regions, self.share):.2f} "
            "for maps drawn at random. More and less alike: the interval of the difference is above or "
            "below 0.",
            f"Means over classes, each a mean over images ({counts}), with 95 % bootstrap intervals over images, "
            "too narrow where images are few. An image whose label is unknown, or one of whose maps is the same "
            "everywhere, is left out for that class.",
        ]

    def _records(self) -> list[dict[str, object]]:
        records = []
        for one in self.found:
            record: dict[str, object] = {
                "scope": "mean" if one.class_name is None else "class",
                "class": one.class_name or "",
                "label": one.label,
                "images": one.images,
                "classes": one.classes,
            }
            for key in QUANTITIES:
                for end in ("value", "low", "high"):
                    number = getattr(one.quantities[key], end)
                    record[key if end == "value" else f"{key}_{end}"] = None if isnan(number) else number
            records.append(record)
        return records


def explain_data(
    subject: Subject,
    source: RegionSource,
    images: Sequence[ImageRef],
    labels: Labels,
    class_names: Sequence[str],
    data: str,
    *,
    share: float = 0.2,
    resamples: int = 1000,
    reporter: Reporter | None = None,
) -> ExplainedData:
    """Measure the agreement of presence and absence maps on N images.

    Args:
        subject: makes the maps; its C classes are those of `labels`.
        source: regions of the images.
        images: N images, for the examples.
        labels: (N, C) int8.
        class_names: the classes to report.
        data: the images, in a few words.
        share: of the regions that count as a map's highest.
        resamples: of the images, for intervals.
        reporter: receives progress.

    Raises:
        UnreadableImage: no image could be read.
        UserError: an unknown class.
    """
    columns = subject.columns(class_names)
    with (reporter or Reporter()).progress("comparing maps") as say:
        kept, measured = image_agreements(subject.recognizer, source, share, say, subject.tiles)
    measured, labels = measured[:, columns], labels[kept][:, columns]
    return ExplainedData(
        data,
        subject,
        agreements(measured, labels, class_names, resamples),
        list(_examples(subject, source, images, kept, measured, labels, columns)),
        subject.backbone.regions - subject.tiles,
        share,
    )


def _examples(
    subject: Subject,
    source: RegionSource,
    images: Sequence[ImageRef],
    kept: NDArray[np.int64],
    measured: NDArray[np.floating],
    labels: Labels,
    columns: Sequence[int],
) -> Iterator[Strip]:
    """The pairs of maps of present classes with the highest, median and lowest correlation."""
    correlation = np.where(labels == PRESENT, measured[..., 0], np.nan)
    order = np.argsort(correlation, axis=None)[: np.count_nonzero(~np.isnan(correlation))]  # NaN comes last
    for rank in dict.fromkeys((len(order) - 1, len(order) // 2, 0)) if len(order) else ():
        row, column = np.unravel_index(order[rank], correlation.shape)
        index, c = int(kept[row]), columns[column]
        _, regions = next(iter(source.batches([np.array([index])])))
        presence, absence = subject.maps(regions)
        probabilities = subject.probabilities(regions)
        probability = None if probabilities is None else float(probabilities[0, c])
        numbers = map(float, measured[row, column, :2])
        maps = ClassMaps(subject.class_names[c], probability, presence[0, c], absence[0, c], *numbers)
        strip = class_strip(shown_pixels(images[index].open()), maps, subject)
        yield Strip(strip.image, f"{Path(images[index].name).name}\n{strip.title}", strip.overlays)


def _interval(found: Interval) -> str:
    value, low, high = map(number, (found.value, found.low, found.high))
    return value if isnan(found.low) else f"{value} ({low} to {high})"


def _verdict(difference: Interval) -> str:
    """Whether a class's two maps agree more than the presence maps of two classes."""
    if isnan(difference.low):
        return "–"
    if difference.low > 0:
        return "more alike"
    return "less alike" if difference.high < 0 else "within noise"
