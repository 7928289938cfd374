"""Answers put back into a file are in it, and no other label has changed."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmlr.data import DataOptions, ImageFile, LabelledImages, load_parts
from promptmlr.data.answers import correct
from promptmlr.data.convert import convert
from support import write_image

NAMES = ("dog", "hot dog", "a,b; c", "猫 <&>")
NUMBERS = itertools.count()
WRITTEN = {
    "coco": ("", "annotations/instances_train.json"),
    "csv": (".csv", ""),
    "cvat": (".xml", ""),
    "fiftyone": ("", "labels.json"),
    "label-studio": ("", "tasks.json"),
}


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def labels_of(path: Path, options: DataOptions) -> dict[tuple[str, str], int]:
    """Name of the file without its suffix, and class → label."""
    return {
        (Path(str(image.path)).stem if isinstance(image, ImageFile) else "", name): code
        for part in load_parts(str(path), options).values()
        for image, row in zip(part.images, part.labels.tolist(), strict=True)
        for name, code in zip(part.class_names, row, strict=True)
    }


@pytest.mark.parametrize("to", sorted(WRITTEN))
@settings(max_examples=20)
@given(data=st.data())
def test_a_corrected_file_says_what_it_said_and_the_answers(folder: Path, to: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    code = st.sampled_from((0, 1))
    labels = np.array([[data.draw(code) for _ in NAMES] for _ in range(count)], dtype=np.int8)
    work = folder / str(next(NUMBERS))
    paths = [work / "photos" / f"{number}.png" for number in range(count)]
    for path in paths:
        write_image(path)
    images = list(map(ImageFile, paths))
    drawn = LabelledImages.from_rows([path.name for path in paths], images, labels, NAMES, "drawn")
    suffix, inside = WRITTEN[to]
    out = work / f"out{suffix}"
    convert({None: drawn}, out, to, link=True)
    source = out / inside if inside else out
    options = DataOptions(
        format=to, coco_images="all", skip_unreadable=True, unlisted=None if to in ("csv", "coco") else "absent"
    )
    before = labels_of(source, options)
    (part,) = load_parts(str(source), options).values()
    answers = {
        image_id: {name: data.draw(code) for name in NAMES if data.draw(st.booleans())} for image_id in part.image_ids
    }
    expected = dict(before)
    for image_id, image in zip(part.image_ids, part.images, strict=True):
        assert isinstance(image, ImageFile)
        expected |= {(image.path.stem, name): value for name, value in answers[image_id].items()}
    corrected = source.with_name(f"corrected{source.suffix}")
    correct(str(source), answers, corrected, options)
    assert labels_of(corrected, options) == expected
