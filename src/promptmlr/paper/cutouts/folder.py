"""A folder of cut-outs: which classes, which photographs for training and for testing, and the files."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from promptmlr import files
from promptmlr.errors import UserError
from promptmlr.names import shown
from promptmlr.paper.cutouts.cutting import Piece, pieces
from promptmlr.paper.cutouts.photos import Photo, read_photos
from promptmlr.report.tables import write_csv
from promptmlr.reporting import Reporter
from promptmlr.scenes.cutouts import ATTRIBUTION, COLUMNS, SPLITS, Cutout

__all__ = ["LEAST_OBJECTS", "LEAST_PHOTOS", "PHOTOS", "cut_out"]

PHOTOS = "photos.csv"
"""The photographs themselves as labelled images, with the split that they have here."""

LEAST_OBJECTS = 8
"""Cut-outs that a class needs."""

LEAST_PHOTOS = 5
"""Photographs that they must come from."""

_TESTED = 3  # one photograph of so many is for testing

_Pieces = Mapping[str, list[Piece]]
"""A photograph's file name → what was cut out of it."""


def cut_out(source: Path, out: Path, reporter: Reporter, seed: int = 0) -> None:
    """Cut objects and backgrounds out of the photographs of a COCO folder.

    Photographs whose licence forbids changes or commercial use are left out. A class needs `LEAST_OBJECTS` cut-outs
    from `LEAST_PHOTOS` photographs. Every third photograph of a class is for testing, with all that is cut out of it;
    rare classes choose first.

    Args:
        source: a folder with `annotations/instances_*.json` with outlines, and the images.
        out: a new folder.
        reporter: where to say what was cut out and left out.
        seed: which photographs are for testing.

    Raises:
        UserError: no such folder, no outlines, too few cut-outs, or `out` exists.
    """
    if out.exists():
        raise UserError(f"{out} exists already; name another folder, or remove it")
    photos = read_photos(source)
    permitted = {photo.image.path.name: photo for photo in photos if photo.permits}
    _check_outlines(source, permitted)
    with reporter.progress("cutting out") as say:
        found: dict[str, list[Piece]] = {}
        for name, photo in permitted.items():
            found[name] = list(pieces(photo))
            say(len(found), len(permitted))
    showing = _showing(found)
    split = _split(showing, seed, list(found))
    classes = [name for name, at in showing.items() if {split[photo] for photo in at} == set(SPLITS)]
    if len(classes) < 2:
        raise UserError(
            f"{source}: {len(classes)} classes with {LEAST_OBJECTS} cut-outs from {LEAST_PHOTOS} photographs; at least "
            "2 are needed: add photographs"
        )
    with files.new_folder(out) as folder:
        rows = _write_pieces(folder, found, classes, split, permitted)
        _write_photos(folder, permitted, classes, split)
    _report(reporter, rows, classes, photos, permitted)


def _check_outlines(source: Path, photos: Mapping[str, Photo]) -> None:
    if not photos:
        raise UserError(f"{source}: no photograph whose licence permits changes and any use")
    if not any(thing.polygons for photo in photos.values() for thing in photo.objects):
        raise UserError(f"{source}: no outlines (`segmentation` as polygons) in annotations/; boxes are not enough")


def _showing(found: _Pieces) -> dict[str, list[str]]:
    """Class → the photographs with cut-outs of it, for those with enough cut-outs from enough photographs."""
    objects: dict[str, list[str]] = defaultdict(list)
    for photo, cut in found.items():
        for piece in cut:
            if piece.class_name:
                objects[piece.class_name].append(photo)
    enough = [name for name, at in objects.items() if len(at) >= LEAST_OBJECTS and len(set(at)) >= LEAST_PHOTOS]
    return {name: list(dict.fromkeys(objects[name])) for name in sorted(enough)}


def _split(showing: Mapping[str, Sequence[str]], seed: int, photos: Sequence[str]) -> dict[str, str]:
    """Photograph → "train" or "test"."""
    order = [photos[place] for place in np.random.default_rng(seed).permutation(len(photos))]
    split: dict[str, str] = {}
    for group in [*(sorted(at, key=order.index) for at in sorted(showing.values(), key=len)), order]:
        wanted = max(1, len(group) // _TESTED)
        tested = sum(split.get(photo) == "test" for photo in group)
        for photo in group:
            if photo not in split:
                split[photo] = "test" if tested < wanted else "train"
                tested += split[photo] == "test"
    return split


def _write_pieces(
    folder: Path, found: _Pieces, classes: Sequence[str], split: Mapping[str, str], photos: Mapping[str, Photo]
) -> list[Cutout]:
    rows = []
    for photo, cut in found.items():
        kept = [piece for piece in cut if not piece.class_name or piece.class_name in classes]
        for number, piece in enumerate(kept, start=1):
            file = (
                f"{split[photo]}/{(piece.class_name or 'background').replace('/', '-')}/{Path(photo).stem}-{number}.png"
            )
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            piece.image.save(folder / file)
            rows.append(Cutout(file, split[photo], piece.class_name, photo, photos[photo].licence, photos[photo].url))
    write_csv(folder / ATTRIBUTION, COLUMNS, (dict(zip(COLUMNS, row, strict=True)) for row in sorted(rows)))
    return rows


def _write_photos(folder: Path, photos: Mapping[str, Photo], classes: Sequence[str], split: Mapping[str, str]) -> None:
    rows = []
    for name, photo in photos.items():
        there = {thing.class_name for thing in photo.objects}
        labels = {one: int(one in there) for one in classes}
        rows.append(labels | {"image": shown(photo.image.path.resolve()), "split": split[name]})
    write_csv(folder / PHOTOS, ("image", "split", *classes), rows)


def _report(
    reporter: Reporter,
    rows: Sequence[Cutout],
    classes: Sequence[str],
    photos: Sequence[Photo],
    permitted: Mapping[str, Photo],
) -> None:
    if len(permitted) < len(photos):
        reporter.note(
            f"{len(photos) - len(permitted)} of {len(photos)} photographs left out: their licence forbids changes or "
            "commercial use"
        )
    if not all(photo.licence for photo in permitted.values()):
        reporter.note("note: some photographs name no licence; make sure that you may change them")
    for split in SPLITS:
        mine = [row for row in rows if row.split == split]
        objects = sum(bool(row.class_name) for row in mine)
        reporter.note(
            f"{split}: {objects} objects of {len(classes)} classes and {len(mine) - objects} backgrounds, from "
            f"{len({row.photo for row in mine})} photographs"
        )
