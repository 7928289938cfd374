"""Labels from one format to another: whole or not at all, and nothing lost without a word."""

import hashlib
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from promptmlr.data import load_parts
from promptmlr.data.answers import answered
from promptmlr.data.formats import WRITERS, detect_format
from promptmlr.data.formats.base import Writer
from promptmlr.data.images import ImageRef, UnreadableImage
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import split_for, usual_split
from promptmlr.errors import UserError, nearest
from promptmlr.files import new_folder
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Observation, hide
from promptmlr.names import first_names
from promptmlr.options import HidingOptions
from promptmlr.reporting import Reporter

__all__ = ["chosen_parts", "convert", "held_out", "readable", "thinned"]

ALL = Observation()
_DEFAULTS = DataOptions()
_ALL_SHOWN = HidingOptions()
_NOTHING: Mapping[str, Mapping[str, int]] = MappingProxyType({})


def convert(
    parts: Mapping[str | None, LabelledImages],
    destination: Path,
    to: str,
    *,
    link: bool = False,
    present_only: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> list[str]:
    """Write labelled images in another format.

    Args:
        parts: by split, with the same classes; under None where there are no splits.
        destination: a file with the format's suffix, which points at the images where they are (`.parquet` holds them);
            or a folder that does not exist yet, into which they are copied.
        to: a key of `WRITERS`.
        link: link to the images instead of copying them.
        present_only: write lists of what is present where the format has no place for absent classes, although others
            are unknown.
        overwrite: replace an existing file.
        reporter: where to say how far copying is.

    Returns:
        Lines for the user: what the format does not hold, and how to read it back.

    Raises:
        UserError: the format cannot hold these labels, an image is missing, or the destination is taken.
        EnvironmentFault: it cannot be written.
    """
    if to not in WRITERS:
        raise UserError(f"unknown format {to!r}; {nearest(to, WRITERS)}")
    target = WRITERS[to]
    given = next((part.source for part in parts.values() if part.features is not None), None)
    if given is not None:
        raise UserError(
            f"{given}: features have no image files that {to} could point at or hold; keep them as they are"
        )
    is_file = target.suffix is not None and destination.suffix.lower() == target.suffix
    if is_file and (destination.is_dir() or (destination.exists() and not overwrite)):
        raise UserError(f"{destination} exists; name another file, or replace it with --overwrite")
    if not is_file and destination.suffix.lower() in {one.suffix for one in WRITERS.values()}:
        needs = "a folder" if target.suffix is None else f"a folder or a name that ends in {target.suffix}"
        raise UserError(f"{destination}: {to} is written to {needs}")
    if is_file:
        output = Output(parts, destination, None, target.image_folder, embeds=target.suffix == ".parquet")
        notes = _lost(output, target, to, is_file=True, present_only=present_only)
        return [*notes, *target.write(output), *_misread(destination, to)]
    with new_folder(destination) as root:
        output = Output(parts, destination, root, target.image_folder)
        notes = _lost(output, target, to, is_file=False, present_only=present_only)
        with (reporter or Reporter()).progress("images") as say:
            output.place_images(target.image_folder, say, link=link)
        notes += target.write(output)
    odd = [split for split in output.splits() if to == "folder" and split and not usual_split(split)]
    if odd:
        notes.append(f"its folders {', '.join(odd)} are not read back as splits: call them train, val or test")
    written = destination / "labels.csv" if target.suffix == ".csv" else destination
    return notes if to == "label-studio" else [*notes, *_misread(written, to)]


def chosen_parts(
    data: str,
    options: DataOptions = _DEFAULTS,
    *,
    answers: Mapping[str, Mapping[str, int]] = _NOTHING,
    hold_out: float | None = None,
    hiding: HidingOptions = _ALL_SHOWN,
    limit: int | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> dict[str | None, LabelledImages]:
    """What `convert` is to write, by split: everything in the data, or what is chosen of it.

    Args:
        data: a file or a folder in any format.
        options: how it is read; unreadable images are left out where they say so.
        answers: image id → class name → 1, 0 or -1, in the place of labels.
        hold_out: share of the images that become the split test, in data without splits.
        hiding: which labels are hidden.
        limit: keep at most this many images of each split.
        workers: threads that decode images.
        reporter: told what the data are, and what was left out.

    Raises:
        UserError: as `load_parts`, `answered`, `held_out`, `thinned` and `readable`.
    """
    reporter = reporter or Reporter()
    parts = load_parts(data, options.or_else({"coco_images": "all"}))
    if answers:
        parts = answered(parts, answers)
    if hold_out is not None:
        parts = held_out(parts, hold_out, hiding.seed)
    parts = thinned(parts, Observation.of(hiding), hiding.seed, limit)
    for part in parts.values():
        for line in (part.source, *part.notes):
            reporter.note(line)
    return readable(parts, reporter, workers) if options.skip_unreadable else parts


def thinned(
    parts: Mapping[str | None, LabelledImages],
    observation: Observation = ALL,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str | None, LabelledImages]:
    """Fewer labels, fewer images: a small data set with blanks out of a large one without.

    Args:
        parts: by split.
        observation: which labels are kept, as `promptmlr train --observed` draws them: a fraction of all splits but
            test, any other protocol of those that are trained on alone, so that validation stays clean.
        seed: of what is kept.
        limit: keep the first images of each split, by name; None keeps all.

    Raises:
        UserError: more labels are to be kept than are known.
    """
    if observation == ALL and limit is None:
        return dict(parts)
    found, clean_validation = {}, observation.protocol != "fraction"
    for split, part in parts.items():
        thin, drawn = part.rows(np.arange(len(part.labels))[:limit]), ""
        if split != "test" and not (clean_validation and split is not None and split_for("test", [split])):
            thin = replace(thin, labels=hide(thin.labels, thin.kept(observation, seed)))
            drawn = f" by {observation.name}" if clean_validation else ""
        known, kind = np.count_nonzero(thin.labels != UNKNOWN), drawn + ("" if split is None else f" of split {split}")
        kept = f"kept{kind}: {len(thin.image_ids):,} images, {known:,} of their {thin.labels.size:,} labels"
        found[split] = replace(thin, notes=(*part.notes, kept))
    return found


def held_out(
    parts: Mapping[str | None, LabelledImages], share: float, seed: int = 0
) -> dict[str | None, LabelledImages]:
    """Data without splits, or of one alone, in two: train and test.

    Name and seed of an image say where it goes, so that one that is there already stays where it is when others come.

    Args:
        parts: one.
        share: of the images that goes into test, roughly.
        seed: of the choice.

    Raises:
        UserError: there are splits already, the share is outside (0, 1), or one of the two would be empty.
    """
    if len(parts) > 1:
        raise UserError(
            f"--hold-out makes a split, and the data have {', '.join(map(str, parts))} already; leave it out"
        )
    if not 0 < share < 1:
        raise UserError(f"--hold-out {share:g}: the share of the images to test on is between 0 and 1, such as 0.2")
    (whole,) = parts.values()
    digests = (hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest() for name in whole.image_ids)
    test = np.array([int.from_bytes(digest[:8]) < share * 2**64 for digest in digests])
    if test.all() or not test.any():
        raise UserError(f"--hold-out {share:g} leaves train or test without an image; try another --seed")
    said = f"--hold-out puts {np.count_nonzero(test):,} images into test and {np.count_nonzero(~test):,} into train"
    return {
        "train": replace(whole.rows(np.flatnonzero(~test)), source=f"{whole.source}: train"),
        "test": replace(whole.rows(np.flatnonzero(test)), source=f"{whole.source}: test", notes=(said,)),
    }


def readable(
    parts: Mapping[str | None, LabelledImages], reporter: Reporter, workers: int = 2
) -> dict[str | None, LabelledImages]:
    """The same without images that are missing or damaged, each of which is said; all are decoded for that.

    Raises:
        UserError: no image of a split can be read.
    """
    found = {}
    with reporter.progress("reading images") as say, ThreadPoolExecutor(max(workers, 1)) as pool:
        total = sum(len(part.images) for part in parts.values())
        done = itertools.count(1)
        for split, part in parts.items():
            kept = []
            for row, error in enumerate(pool.map(_error, part.images)):
                say(next(done), total)
                if error is None:
                    kept.append(row)
                else:
                    reporter.note(f"unreadable, left out: {error}")
            if not kept:
                raise UserError(f"{part.source}: none of its {len(part.images)} images can be read")
            found[split] = part if len(kept) == len(part.images) else part.rows(np.array(kept))
    return found


def _error(image: ImageRef) -> UnreadableImage | None:
    try:
        image.open()
    except UnreadableImage as error:
        return error
    return None


def _misread(written: Path, to: str) -> list[str]:
    """Whether it would be taken for something else, or for nothing."""
    try:
        found = detect_format(str(written))
    except UserError:
        return [f"read it with --format {to}"]
    return [] if found == to else [f"it looks like {found}; read it with --format {to}"]


def _lost(output: Output, target: Writer, to: str, *, is_file: bool, present_only: bool) -> list[str]:
    """What the format does not hold, or a refusal."""
    if not target.lists:
        return []
    notes = []
    both = bool(output.absent and output.unknown)
    if both and not target.negatives:
        if not present_only:
            raise UserError(
                f"{to} lists what is present alone, and of the rest {output.absent:,} labels are absent and "
                f"{output.unknown:,} unknown: --present-only drops the difference; csv, long-csv, list-csv, coco, "
                "label-studio and huggingface keep it"
            )
        notes.append(
            f"the difference between {output.absent:,} absent and {output.unknown:,} unknown labels is dropped"
        )
    if not both:
        rest = "absent" if output.absent or not output.unknown else "unknown"
        notes.append(f"what is not listed is {rest}; it is read back with --unlisted {rest}")
    elif not target.negatives:
        notes.append("what is not listed is absent or unknown; it is read back with --unlisted unknown")
    listed = not (target.class_list or (to == "label-studio" and not is_file) or (to == "huggingface" and is_file))
    if listed:
        codes = (PRESENT, ABSENT) if both else (PRESENT,)
        named = np.zeros(len(output.class_names), dtype=np.bool_)
        for entry in output.entries:
            named |= np.isin(entry.labels, codes)
        if not named.any():
            raise UserError(f"{to} holds classes that are listed for an image, and here none is; csv keeps them all")
        if not named.all():
            names = [name for name, kept in zip(output.class_names, named, strict=True) if not kept]
            notes.append(f"classes that no list names are not kept: {first_names(names)}")
    return notes
