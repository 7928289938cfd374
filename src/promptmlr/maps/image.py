"""Presence and absence maps over one image: the maps, their agreement, and the files and the page that show them.

Letters: C classes, Q captions, R regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.data.images import ImageRef
from promptmlr.files import write_bytes
from promptmlr.maps.agreement import chance_overlap, map_agreement
from promptmlr.maps.figure import WIDTH, Overlay, Strip, overlay_figure, shown_pixels
from promptmlr.maps.subject import COSINE, Subject
from promptmlr.regions import encode_pixels
from promptmlr.report.figures import figure_jpeg, figure_png
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.overlays import grid_of
from promptmlr.report.tables import write_csv

__all__ = ["ClassMaps", "ExplainedImage", "class_strip", "explain_image", "number", "numbers_beside"]

SHOWN_CLASSES = 3  # of a run, when none is named

HEADER = ("class", "P(present)", "correlation", "overlap")


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """The two maps of a class over an image.

    Attributes:
        class_name: of the class.
        probability: of presence; None for a bare backbone.
        presence: (R,) float32; region 0 is global, those of tiles come last.
        absence: (R,) float32.
        correlation: of the two maps over the grid; NaN where one of them is constant.
        overlap: of the regions where each map is highest; NaN likewise.
    """

    class_name: str
    probability: float | None
    presence: NDArray[np.float32]
    absence: NDArray[np.float32]
    correlation: float
    overlap: float

    def cells(self) -> tuple[str, ...]:
        """Name, probability, correlation and overlap as printed."""
        probability = "–" if self.probability is None else f"{self.probability:.2f}"
        return self.class_name, probability, number(self.correlation), number(self.overlap)


def class_strip(image: NDArray[np.uint8], maps: ClassMaps, subject: Subject, label: str = "") -> Strip:
    """An image with its two maps of a class, and their numbers in the titles."""
    name, probability, correlation, overlap = maps.cells()
    title = f"{name}{label}" if maps.probability is None else f"{name}{label}, P(present) {probability}"
    title += f"\ncorrelation {correlation}, overlap {overlap}"
    overlays = tuple(
        Overlay(side.format(name), grid_of(similarity, subject.tiles), scale)
        for side, similarity, scale in zip(subject.sides, (maps.presence, maps.absence), subject.scales, strict=True)
    )
    return Strip(image, title, overlays)


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """The report on one image.

    Attributes:
        name: of the image.
        image: (H, W, 3) uint8, made smaller where it is large.
        subject: the run or backbone that makes the maps.
        classes: the shown classes with two maps each.
        captions: (sentence, (R,) float32 map) each.
        share: of the regions that count as a map's highest.
    """

    name: str
    image: NDArray[np.uint8]
    subject: Subject
    classes: Sequence[ClassMaps]
    captions: Sequence[tuple[str, NDArray[np.float32]]]
    share: float

    title = "Similarity maps"

    @property
    def lead(self) -> str:
        """A sentence on the image and the subject."""
        classes = ", ".join(one.class_name for one in self.classes)
        what = f"the presence and the absence of {classes}" if classes else "sentences"
        return f"{self.subject.name} on {self.name}: similarity maps of {what}."

    def findings(self, picture: Path) -> list[Finding]:
        """The maps and how to read them; the numbers are beside the picture."""
        table = numbers_beside(picture)
        shown = [*(one.class_name for one in self.classes), *(f"“{sentence}”" for sentence, _ in self.captions)]
        found: list[Finding] = [
            Picture(
                lambda: figure_jpeg(overlay_figure(self._strips()), WIDTH),
                alt=f"{self.name}, and over it the maps of {', '.join(shown)}.",
                caption="One colour scale for all maps of a kind; yellow is most similar. Each cell is a region of the "
                "squashed square that the image tower sees, stretched back over the image; the region of the whole "
                f"picture is left out{_and_tiles(self.subject)}. The numbers of every cell: {table}.",
                least=34,
            )
        ]
        if self.classes:
            cells = [one.cells() for one in self.classes]
            found += [Heading("In numbers"), Table(f"Per class, for this image ({table})", HEADER, cells), self._note()]
        return found

    def write(self, picture: Path) -> None:
        """The picture as PNG, and beside it every map with its numbers as a row of a CSV."""
        write_bytes(picture, figure_png(overlay_figure(self._strips()), WIDTH))
        records = self._records()
        write_csv(numbers_beside(picture), list(records[0]), records)

    def _note(self) -> str:
        regions = len(self.classes[0].presence) - self.subject.tiles
        text = (
            f"Correlation of presence and absence map over the {regions - 1} regions of the grid; overlap is "
            f"intersection over union of the {100 * self.share:g} % of them where each map is highest, "
            f"{chance_overlap(regions, self.share):.2f} for maps drawn at random."
        )
        return text if self.subject.classifier is not None else f"{text} A bare backbone has no probability."

    def _strips(self) -> list[Strip]:
        strips = [class_strip(self.image, one, self.subject) for one in self.classes]
        overlays = [
            Overlay(f"“{sentence}”", grid_of(similarity, self.subject.tiles), COSINE)
            for sentence, similarity in self.captions
        ]
        pairs = [tuple(overlays[begin : begin + 2]) for begin in range(0, len(overlays), 2)]
        return [*strips, *(Strip(self.image, "captions", pair) for pair in pairs)]

    def _records(self) -> list[dict[str, object]]:
        records = []
        for one in self.classes:
            numbers = {"probability": one.probability, "correlation": one.correlation, "overlap": one.overlap}
            for side, title, scale, similarity in zip(
                ("presence", "absence"),
                self.subject.sides,
                self.subject.scales,
                (one.presence, one.absence),
                strict=True,
            ):
                cells = _places(similarity, self.subject)
                records.append(_record(one.class_name, side, title.format(one.class_name), scale, cells, numbers))
        for sentence, similarity in self.captions:
            records.append(_record("", "caption", sentence, COSINE, _places(similarity, self.subject), {}))
        return records


def explain_image(
    subject: Subject,
    image: ImageRef,
    class_names: Sequence[str] | None,
    captions: Sequence[str] = (),
    share: float = 0.2,
) -> ExplainedImage:
    """The maps of some classes and captions over an image.

    Args:
        subject: makes the maps.
        image: any size.
        class_names: which classes; None shows the `SHOWN_CLASSES` of the highest probability.
        captions: sentences whose maps are shown as well.
        share: of the regions that count as a map's highest.

    Raises:
        UnreadableImage: the image cannot be read.
        UserError: an unknown class, or a caption that does not fit the context.
    """
    opened = image.open()
    regions = encode_pixels(subject.backbone, [subject.backbone.preprocessing.pixels(opened)])
    probabilities = subject.probabilities(regions)
    if class_names is None:
        order = np.arange(len(subject.class_names)) if probabilities is None else np.argsort(-probabilities[0])
        columns = order[:SHOWN_CLASSES].tolist()
    else:
        columns = subject.columns(class_names)
    presence, absence = subject.maps(regions)
    on_grid = subject.backbone.regions - subject.tiles
    present, absent = (torch.from_numpy(side[..., :on_grid]) for side in (presence, absence))
    numbers = map_agreement(present, absent, share)[0].numpy()
    classes = [
        ClassMaps(
            subject.class_names[c],
            None if probabilities is None else float(probabilities[0, c]),
            presence[0, c],
            absence[0, c],
            *map(float, numbers[c, :2]),
        )
        for c in columns
    ]
    sentences = list(zip(captions, subject.text_maps(regions, captions)[0], strict=True)) if captions else []
    return ExplainedImage(image.name, shown_pixels(opened), subject, classes, sentences, share)


def _and_tiles(subject: Subject) -> str:
    return f", and so are those of {subject.tiles} tiles, which overlap" if subject.tiles else ""


def numbers_beside(picture: Path) -> Path:
    """Where the numbers of a picture are written."""
    return picture.with_suffix(".maps.csv")


def _record(
    name: str, side: str, sentence: str, scale: str, cells: dict[str, float], numbers: dict[str, float | None]
) -> dict[str, object]:
    keys = ("probability", "correlation", "overlap")
    return {
        "class": name,
        "side": side,
        "shown as": sentence,
        "scale": scale,
        **{key: _cell(numbers.get(key)) for key in keys},
        **cells,
    }


def _places(similarity: NDArray[np.float32], subject: Subject) -> dict[str, float]:
    """Each region of an (R,) map by where it lies; a tile by its sides, in percent of the image's width and height."""
    grid = grid_of(similarity, subject.tiles)
    cells = {f"row {r} column {c}": float(value) for (r, c), value in np.ndenumerate(grid)}
    boxes = subject.backbone.preprocessing.tiles()
    names = [f"tile from {100 * a:.0f},{100 * b:.0f} to {100 * c:.0f},{100 * d:.0f} %" for a, b, c, d in boxes]
    tiles = similarity[len(similarity) - subject.tiles :]
    return {"global": float(similarity[0])} | cells | {name: float(x) for name, x in zip(names, tiles, strict=True)}


def number(value: float) -> str:
    """A correlation or an overlap as printed."""
    return "–" if isnan(value) else f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _cell(value: float | None) -> float | None:
    return None if value is None or isnan(value) else value
