"""Labels written in any format and read back are the same, or the difference was said."""

import itertools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from promptmlr.data import DataOptions, ImageFile, LabelledImages, load_parts
from promptmlr.data.convert import convert
from promptmlr.data.formats import WRITERS
from promptmlr.errors import UserError

FILES = {
    "cvat": ".xml",
    "csv": ".csv",
    "long-csv": ".csv",
    "list-csv": ".csv",
    "label-studio": ".json",
    "huggingface": ".parquet",
}
PLACES = [(to, None) for to in sorted(WRITERS)] + [(to, suffix) for to, suffix in sorted(FILES.items())]
NUMBERS = itertools.count()

characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="_")
words = st.one_of(
    st.text(characters, min_size=1, max_size=8),
    st.text(st.sampled_from("ab ,;|'\"[]-=#0<&猫"), min_size=1, max_size=6),
).map(str.strip)
class_names = st.lists(
    words.filter(lambda name: name and name not in ("image", "split")), min_size=1, max_size=4, unique=True
)
file_names = st.lists(
    st.text(st.sampled_from("ab ,;'\"%&#+é猫-"), min_size=1, max_size=6).map(str.strip).filter(bool),
    min_size=1,
    max_size=4,
    unique_by=str.lower,
)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def known(parts: dict[str | None, LabelledImages]) -> dict[tuple[str | None, str], dict[str, int]]:
    """Split and file name → class → label."""
    return {
        (split, Path(str(image.path)).stem if isinstance(image, ImageFile) else Path(image_id).stem): dict(
            zip(part.class_names, row.tolist(), strict=True)
        )
        for split, part in parts.items()
        for image_id, image, row in zip(part.image_ids, part.images, part.labels, strict=True)
    }


@pytest.mark.parametrize(("to", "suffix"), PLACES)
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_written_is_read_back(folder: Path, to: str, suffix: str | None, data: st.DataObject) -> None:
    names, files = data.draw(class_names), data.draw(file_names)
    codes = data.draw(st.sampled_from([(0, 1), (-1, 1), (-1, 0, 1)]))
    cells = st.lists(st.sampled_from(codes), min_size=len(names), max_size=len(names))
    labels = np.array(data.draw(st.lists(cells, min_size=len(files), max_size=len(files))), dtype=np.int8)
    split = data.draw(st.integers(0, len(files) - 1)) if data.draw(st.booleans()) else None
    work = folder / str(next(NUMBERS))
    (work / "photos").mkdir(parents=True)
    paths = [work / "photos" / f"{name}.png" for name in files]
    for path in paths:
        Image.new("RGB", (1, 1)).save(path)
    cuts = {None: slice(None)} if split is None else {"train": slice(split, None), "test": slice(split)}
    parts = {
        name: LabelledImages.from_rows(
            [path.name for path in paths[cut]], list(map(ImageFile, paths[cut])), labels[cut], names, "drawn"
        )
        for name, cut in cuts.items()
        if paths[cut]
    }
    out = work / f"out{suffix or ''}"
    if to == "list-csv" and all(any(mark in name for name in names) for mark in "|;,\t"):
        with pytest.raises(UserError, match="every usual delimiter"):
            convert(parts, out, to, link=True, present_only=True)
        assert not out.exists()
        return
    by_name = to == "list-csv" or (to, suffix) in (("huggingface", None), ("label-studio", ".json"))
    if by_name and not (labels == 1).any() and not ({0, -1} <= set(labels.flat)):
        with pytest.raises(UserError, match="and here none is"):
            convert(parts, out, to, link=True, present_only=True)
        assert not out.exists()
        return
    notes, refused = [], ""
    try:
        notes = convert(parts, out, to, link=True, present_only=True)
    except UserError as error:
        refused = str(error)
    if refused:
        assert to == "list-csv"
        assert re.search("says of each class|seems to mean an absent|is a name with a number", refused)
        assert not out.exists()
        return
    said = " ".join(notes)
    reading = re.search(r"--unlisted (\w+)", said)
    delimiter = re.search(r"--delimiter '(.)'", said)
    options = DataOptions(
        unlisted=reading[1] if reading else None,
        delimiter=delimiter[1] if delimiter else None,
        codes="=absent" if "--codes =absent" in said else None,
        coco_images="all",
        format=to,
    )
    written = {"csv": "labels.csv", "long-csv": "labels.csv", "list-csv": "labels.csv", "label-studio": "tasks.json"}
    place = out if suffix or to not in written else out / written[to]
    wanted = known(parts)
    back = known(load_parts(str(place), options))
    if to == "coco" and split is None:
        back = {(None, name): row for (_, name), row in back.items()}
    assert set(back) == set(wanted)
    for key, row in back.items():
        assert set(row) <= set(wanted[key])
        for name in wanted[key]:
            if name not in row:
                assert re.search(r"are not kept: ", said)
                assert wanted[key][name] != 1
            elif "difference between" in said:
                assert row[name] == (1 if wanted[key][name] == 1 else -1)
            else:
                assert row[name] == wanted[key][name], (name, row, wanted[key])


@pytest.mark.parametrize("to", ["long-csv", "list-csv"])
@pytest.mark.parametrize("name", ["[]", "[a]", "()", "{}", "set()", "[3]", '["x"]', '{"a": 1}', "[a, b]"])
def test_names_that_look_like_lists_come_back(tmp_path: Path, to: str, name: str) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (1, 1)).save(image)
    labels = np.array([[1, 0]], dtype=np.int8)
    parts = {None: LabelledImages.from_rows(["a.png"], [ImageFile(image)], labels, [name, "dog"], "drawn")}
    notes = convert(parts, tmp_path / "out", to, link=True, present_only=True)
    delimiter = re.search(r"--delimiter '(.)'", " ".join(notes))
    options = DataOptions(format=to, delimiter=delimiter and delimiter[1], unlisted="absent")
    back = load_parts(str(tmp_path / "out" / "labels.csv"), options)[None]
    assert dict(zip(back.class_names, back.labels[0].tolist(), strict=True))[name] == 1


def test_what_a_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    part = LabelledImages.from_rows(
        ["a.png"], [ImageFile(tmp_path / "a.png")], np.array([[1, 0, -1]], dtype=np.int8), ["x", "y", "z"], "drawn"
    )
    before = set(tmp_path.iterdir())
    for to in ("folder", "fiftyone"):
        with pytest.raises(UserError, match=r"1 labels are absent and 1 unknown.*--present-only"):
            convert({None: part}, tmp_path / "out", to)
    missing = LabelledImages.from_rows(
        ["b.png"], [ImageFile(tmp_path / "b.png")], np.array([[1]], dtype=np.int8), ["x"], "drawn"
    )
    for to in WRITERS:
        with pytest.raises(UserError, match=r"b\.png"):
            convert({None: missing}, tmp_path / "out", to)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("to", sorted(WRITERS))
def test_images_of_one_name_stay_apart(tmp_path: Path, to: str) -> None:
    paths = [tmp_path / place for place in ("a/x.png", "b/x.png", "c/X.jpg", "c/x-2.png")]
    for shade, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (60 * shade, 0, 0)).save(path)
    labels = np.eye(4, dtype=np.int8)
    part = LabelledImages.from_rows(
        [path.relative_to(tmp_path).as_posix() for path in paths], list(map(ImageFile, paths)), labels, "wxyz", "drawn"
    )
    convert({None: part}, tmp_path / "out", to)
    place = {"label-studio": "out/tasks.json", "csv": "out/labels.csv"}.get(
        to, "out/labels.csv" if "csv" in to else "out"
    )
    lists = to not in ("csv", "long-csv", "coco")
    (back,) = load_parts(str(tmp_path / place), options=DataOptions(unlisted="absent" if lists else None)).values()
    shades = [round(image.open().getpixel((4, 4))[0] / 60) for image in back.images]
    assert sorted(shades) == [0, 1, 2, 3]
    for shade, row in zip(shades, back.labels, strict=True):
        assert {name for name, code in zip(back.class_names, row, strict=True) if code == 1} == {"wxyz"[shade]}


def one_image(path: Path, image_id: str = "") -> LabelledImages:
    if not path.exists():
        Image.new("RGB", (2, 2)).save(path, "PNG")
    labels = np.array([[1, 0]], dtype=np.int8)
    return LabelledImages.from_rows([image_id or path.name], [ImageFile(path)], labels, ["x", "y"], "drawn")


@pytest.mark.parametrize("split", ["../out2", "/tmp/out2", "a/b", "..", "", ".git", "data", "Images", "a\nb", " "])
@pytest.mark.parametrize("to", ["coco", "fiftyone", "folder", "huggingface"])
def test_splits_without_a_folder_of_their_own_are_refused(tmp_path: Path, to: str, split: str) -> None:
    parts = {split: one_image(tmp_path / "a.png"), "test": one_image(tmp_path / "b.png")}
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        convert(parts, tmp_path / "out", to)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}
    convert(parts, tmp_path / "out", "long-csv")
    assert set(load_parts(str(tmp_path / "out" / "labels.csv"))) == {split.strip(), "test"}


@pytest.mark.parametrize("name", ["classes.png", ".hidden.png", "photo", "photo.jfif", ".png", "a\rb.png", "a\nb.png"])
@pytest.mark.parametrize("to", sorted(WRITERS))
def test_images_of_odd_names_come_back(tmp_path: Path, to: str, name: str) -> None:
    convert({None: one_image(tmp_path / name)}, tmp_path / "out", to)
    place = {"label-studio": "out/tasks.json"}.get(to, "out/labels.csv" if "csv" in to else "out")
    unlisted = None if to in ("csv", "long-csv", "coco") else "absent"
    (back,) = load_parts(str(tmp_path / place), options=DataOptions(unlisted=unlisted)).values()
    assert [image.open().size for image in back.images] == [(2, 2)]
    kept = {"x": 1, "y": 0} if WRITERS[to].class_list or "y" in back.class_names else {"x": 1}
    assert dict(zip(back.class_names, back.labels[0].tolist(), strict=True)) == kept


def test_links_to_images_keep_their_names(tmp_path: Path) -> None:
    real = one_image(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    parts = {"train": real, "test": one_image(tmp_path / "link.png")}
    convert(parts, tmp_path / "out.csv", "csv")
    assert known(load_parts(str(tmp_path / "out.csv"))) == known(parts)
    (tmp_path / "again").symlink_to(tmp_path)
    twice = {"train": real, "test": one_image(tmp_path / "again" / "real.png", "again/real.png")}
    with pytest.raises(UserError, match=r"'real\.png' and 'again/real\.png' are the same file"):
        convert(twice, tmp_path / "twice.csv", "csv")


def test_line_breaks_in_names_are_refused_where_a_file_points_at_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line break"):
        convert({None: one_image(tmp_path / "a\rb.png")}, tmp_path / "out.csv", "csv")
