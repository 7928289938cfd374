"""One inspection, from a data set's parts to what is said of it."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np
from open_clip.tokenizer import SimpleTokenizer

from promptmlr.advice.inspection.images import check_images
from promptmlr.advice.inspection.labels import JointCounts, class_counts, pairs
from promptmlr.advice.inspection.missingness import missingness
from promptmlr.advice.inspection.missingness_outputs import MissingLabels
from promptmlr.advice.inspection.names import Pieces, name_remarks
from promptmlr.advice.inspection.outputs import CloseTexts, Inspection
from promptmlr.advice.inspection.training_options import training_command
from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.data.rows import split_for
from promptmlr.reporting import Reporter

__all__ = ["inspect_data"]

_NEARER = 10  # times the usual, from which two class texts are called one
_MOST = 100  # pairs of texts that are kept


def inspect_data(
    data: str,
    parts: dict[str | None, LabelledImages],
    *,
    backbone: Backbone | None = None,
    read_images: bool = True,
    workers: int = 2,
    options: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Inspection:
    """Look at labels, images and class names.

    Args:
        data: what the data set is called.
        parts: by split, with the same classes; under None where there are no splits.
        backbone: a CLIP whose text tower says which class names are one to it.
        read_images: whether to read every image.
        workers: threads that decode.
        options: words of the command line that training needs too: how the data are read, and by which CLIP.
        reporter: where to say how far it is.
    """
    class_names = next(iter(parts.values())).class_names
    labels = np.concatenate([part.labels for part in parts.values()])
    images = [image for part in parts.values() for image in part.images]
    splits = [split for split, part in parts.items() for _ in part.image_ids]
    by_split = {split: part.labels for split, part in parts.items() if split is not None} if len(parts) > 1 else {}
    checked = None
    if read_images:
        with (reporter or Reporter()).progress("images") as say:
            checked = check_images(images, labels, splits, workers=workers, progress=say)
    together = {split: JointCounts.of(part.labels) for split, part in parts.items()}
    skipped = checked is not None and checked.unreadable and "--skip-unreadable" not in options
    words = [*options, "--skip-unreadable"] if skipped else options
    return Inspection(
        data,
        parts,
        class_counts(labels, class_names, by_split),
        _missing(data, parts, together, words),
        pairs(reduce(add, together.values()), class_names),
        name_remarks(class_names, _pieces()),
        None if backbone is None else _close(backbone, class_names),
        checked,
        [image_id for part in parts.values() for image_id in part.image_ids],
        splits,
    )


def _missing(
    data: str,
    parts: Mapping[str | None, LabelledImages],
    together: Mapping[str | None, JointCounts],
    options: Sequence[str],
) -> MissingLabels:
    """What is missing, above all in the split that training takes, and how to train on it."""
    usual = split_for("train", [split for split in parts if split])
    trained = usual or next(iter(parts))
    found = missingness({split: part.labels for split, part in parts.items()}, trained, together[trained])
    words = options if usual or trained is None else [*options, "--split", trained]
    return MissingLabels(found, next(iter(parts.values())).class_names, training_command(found, data, words))


def _pieces() -> Pieces:
    tokenizer = SimpleTokenizer()
    return lambda text: [str(tokenizer.decoder[token]) for token in tokenizer.encode(text)]


def _close(backbone: Backbone, class_names: Sequence[str]) -> CloseTexts:
    features = backbone.class_features(class_names, "a photo of a {}.").float().cpu().numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features @ features.T
    first, second = np.triu_indices(len(class_names), k=1)
    each = cosines[first, second]
    nearest = [
        (class_names[first[i]], class_names[second[i]], float(each[i]))
        for i in np.argsort(-each, kind="stable")[:_MOST]
    ]
    median = float(np.median(each)) if len(each) else 1.0
    texts = f"“a photo of a X.” for {backbone.name}" if backbone.has_text_tower else "the text features given"
    return CloseTexts(texts, nearest, median, 1 - (1 - median) / _NEARER)
