"""A table in any codes is read as it was meant, and a cell written in them is read back."""

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from promptmlr.data import DataOptions, load_data
from promptmlr.data.cells import LabelCells
from promptmlr.data.codes import MEANINGS, cell_key
from promptmlr.options.data import between_commas, with_commas

characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))
texts = (
    st.one_of(
        st.text(characters, max_size=6), st.sampled_from(["1", "0", "-1", "1,0", "x", "=", "a=b", '"', ",", "nan"])
    )
    .map(str.strip)
    .filter(lambda text: not any(f"={meaning}" in text for meaning in MEANINGS))
)
codes = st.lists(texts, min_size=3, max_size=3, unique_by=cell_key)
names = st.lists(
    st.text(characters, min_size=1, max_size=6).map(str.strip).filter(lambda name: name.replace("_", "").strip()),
    min_size=1,
    max_size=3,
    unique_by=lambda name: name.replace("_", " ").strip().casefold(),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        for name in "abc":
            Image.new("RGB", (1, 1)).save(Path(path) / f"{name}.png")
        yield Path(path)


@settings(deadline=None)
@given(codes=codes, names=names, delimiter=st.sampled_from(",;\t"), data=st.data())
def test_what_is_written_in_any_codes_is_read_back(
    folder: Path, codes: list[str], names: list[str], delimiter: str, data: st.DataObject
) -> None:
    said = ",".join(f"{text}={meaning}" for text, meaning in zip(codes, MEANINGS, strict=True))
    text_of = dict(zip(MEANINGS.values(), codes, strict=True))
    row = st.lists(st.sampled_from([1, 0, -1]), min_size=len(names), max_size=len(names))
    labels = data.draw(st.lists(row, min_size=3, max_size=3))
    columns = [f"class {name}" for name in names]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["image", *columns])
    writer.writerows([f"{'abc'[i]}.png", *(text_of[label] for label in row)] for i, row in enumerate(labels))
    path = folder / "labels.csv"
    path.write_text(file.getvalue(), encoding="utf-8")
    options = DataOptions(codes=said, format="csv")
    read = load_data(str(path), options=options)
    np.testing.assert_array_equal(read.labels, labels)

    cells = LabelCells.parse(path, path.read_bytes(), options)
    image, place, label = (
        data.draw(st.sampled_from("abc")),
        data.draw(st.integers(0, len(names) - 1)),
        1 - abs(labels[0][0]),
    )
    changed = cells.with_label(f"{image}.png", read.class_names[place], label)
    path.write_bytes(changed.content)
    labels["abc".index(image)][place] = label
    np.testing.assert_array_equal(load_data(str(path), options=options).labels, labels)


@given(st.lists(st.text(characters, min_size=1).map(str.strip).filter(bool)))
def test_names_between_commas_are_taken_apart_again(names: list[str]) -> None:
    assert between_commas(with_commas(names)) == names
