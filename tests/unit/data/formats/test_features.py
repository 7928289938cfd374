"""Features instead of images: what is read, in what order, and what is refused in one line."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmlr.advice.inspection.images import check_images
from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from promptmlr.data.formats.features import read_features
from promptmlr.data.precomputed import PrecomputedImage, precomputed_regions
from promptmlr.errors import UserError

N, D, C = 6, 4, 3
NAMES = ["hot_dog", "cat", "traffic light"]
IDS = ["f.jpg", "a.jpg", "c.jpg", "b.jpg", "e.jpg", "d.jpg"]
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(N, D)).astype(np.float32)
TEXT = RNG.normal(size=(C, D)).astype(np.float32)
LABELS = RNG.integers(-1, 2, size=(N, C))
SPLIT = ["train", "test", "train", "train", "test", "train"]
FOLD = np.array([0, 1, 2, 0, 1, 2])
WHOLE: dict[str, Any] = {
    "features": FEATURES,
    "labels": LABELS,
    "class_names": NAMES,
    "text": TEXT,
    "image": IDS,
    "split": SPLIT,
    "fold": FOLD,
}


def npz(path: Path, **changes: Any) -> Path:
    """The whole file with changes; None takes a key out."""
    np.savez(path, **{key: value for key, value in (WHOLE | changes).items() if value is not None})
    return path


def parquet(path: Path, changes: dict[str, Any] | None = None, text: dict[str, Any] | None = None) -> Path:
    columns = {"image": IDS, "features": FEATURES.tolist(), "split": SPLIT, "fold": FOLD}
    columns |= {name: [None if label < 0 else int(label) for label in LABELS[:, i]] for i, name in enumerate(NAMES)}
    columns |= changes or {}
    pq.write_table(pa.table({key: value for key, value in columns.items() if value is not None}), path)
    if text is not None:
        pq.write_table(pa.table(text), path.with_suffix(".text.parquet"))
    return path


def check_whole(path: Path) -> None:
    """Both splits, sorted by id, everything still with its row."""
    parts = load_parts(str(path))
    assert list(parts) == ["train", "test"]
    for split, part in parts.items():
        assert list(part.image_ids) == sorted(name for name, own in zip(IDS, SPLIT, strict=True) if own == split)
        rows = [IDS.index(name) for name in part.image_ids]
        assert [image.name for image in part.images] == list(part.image_ids)
        assert part.class_names == ("hot dog", "cat", "traffic light")
        assert part.labels.tolist() == LABELS[rows].tolist()
        assert part.folds is not None
        assert part.folds.tolist() == FOLD[rows].tolist()
        np.testing.assert_array_equal(precomputed_regions(part.images), FEATURES[rows, None])
        assert part.features is not None
        np.testing.assert_array_equal([part.features.text[name] for name in part.class_names], TEXT)


def test_an_npz(tmp_path: Path) -> None:
    path = npz(tmp_path / "some.npz")
    assert detect_format(str(path)) == "features"
    check_whole(path)
    check_whole(npz(path, image=None, ids=IDS))


@pytest.mark.parametrize("kind", [None, pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), D)])
def test_a_parquet_with_text_beside_it(tmp_path: Path, kind: pa.DataType | None) -> None:
    lists = pa.array(FEATURES.tolist(), kind)
    text = {"class": [*NAMES[::-1], "more"], "features": [*TEXT[::-1].tolist(), [1.0] * D]}
    path = parquet(tmp_path / "some.parquet", {"features": lists}, text)
    assert detect_format(str(path)) == "features"
    check_whole(path)


def test_parquet_in_row_groups_is_read_whole(tmp_path: Path) -> None:
    table = pq.read_table(parquet(tmp_path / "one.parquet", {"cat": None}))
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=2)
    found = read_features(tmp_path / "many.parquet")
    np.testing.assert_array_equal(found.features.regions[:, 0], FEATURES)


def test_regions_of_each_image(tmp_path: Path) -> None:
    regions = RNG.normal(size=(N, 5, D))
    by_npz = load_data(str(npz(tmp_path / "some.npz", features=regions, split=None)))
    by_parquet = load_data(str(parquet(tmp_path / "some.parquet", {"features": regions.tolist(), "split": None})))
    wanted = regions[np.argsort(IDS)].astype(np.float32)
    for data in (by_npz, by_parquet):
        np.testing.assert_array_equal(precomputed_regions(data.images), wanted)
        assert any("5 regions of width 4" in note for note in data.notes)


@pytest.mark.parametrize(
    "labels", [LABELS.astype(np.int8), np.where(LABELS < 0, np.nan, LABELS), np.where(LABELS < 0, -1.0, LABELS)]
)
def test_unknown_is_minus_one_or_nan(tmp_path: Path, labels: np.ndarray) -> None:
    data = load_data(str(npz(tmp_path / "some.npz", labels=labels, split=None)))
    assert data.labels.tolist() == LABELS[np.argsort(IDS)].tolist()


def test_half_precision_and_bool(tmp_path: Path) -> None:
    path = npz(tmp_path / "some.npz", features=FEATURES.astype(np.float16), labels=LABELS == 1, split=None)
    data = load_data(str(path))
    regions = precomputed_regions(data.images)
    assert regions is not None
    assert regions.dtype == np.float32
    assert set(np.unique(data.labels)) <= {0, 1}


def test_rows_and_classes_keep_everything_together(tmp_path: Path) -> None:
    data = load_data(str(npz(tmp_path / "some.npz", split=None)))
    few = data.rows(np.array([1, 4])).with_classes(["cat", "traffic light", "hot dog"])
    rows = [IDS.index(name) for name in few.image_ids]
    assert few.image_ids == ("b.jpg", "e.jpg")
    np.testing.assert_array_equal(precomputed_regions(few.images), FEATURES[rows, None])
    assert few.folds is not None
    assert few.folds.tolist() == FOLD[rows].tolist()
    assert few.labels.tolist() == LABELS[rows][:, [1, 2, 0]].tolist()
    assert few.features is not None
    np.testing.assert_array_equal(few.features.text["cat"], TEXT[1])


def test_rows_without_names_keep_their_order_and_differ_from_those_of_other_files(tmp_path: Path) -> None:
    one, other = (load_data(str(npz(tmp_path / name, image=None, split=None))) for name in ("one.npz", "other.npz"))
    np.testing.assert_array_equal(precomputed_regions(one.images), FEATURES[:, None])
    assert not set(one.image_ids) & set(other.image_ids)


def test_what_only_predictions_are_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", features=FEATURES)
    found = read_features(tmp_path / "bare.npz")
    assert (found.class_names, len(found.image_ids), found.features.text) == ((), N, {})
    with pytest.raises(UserError, match="no key 'class_names'; what is trained or scored needs"):
        load_data(str(tmp_path / "bare.npz"))
    unlabelled = npz(tmp_path / "unlabelled.npz", labels=None)
    assert (load_data(str(unlabelled)).labels == -1).all()


def test_a_given_image_has_no_pixels(tmp_path: Path) -> None:
    image = load_data(str(npz(tmp_path / "some.npz"))).images[0]
    assert isinstance(image, PrecomputedImage)
    with pytest.raises(UserError, match="its features are given, not its pixels"):
        image.open()


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    def sha(**changes: Any) -> str:
        features = load_data(str(npz(tmp_path / "some.npz", **changes))).features
        assert features is not None
        return features.sha256

    changed = FEATURES.copy()
    changed[3, 2] += 1
    assert sha() == sha(labels=np.abs(LABELS)) != sha(features=changed)


def test_equal_vectors_are_found(tmp_path: Path) -> None:
    twice = FEATURES.copy()
    twice[4] = twice[1]
    data = load_data(str(npz(tmp_path / "some.npz", features=twice, split=None)))
    found = check_images(data.images, data.labels, [None] * N)
    assert not found.unreadable
    assert [{data.image_ids[i] for i in group.images} for group in found.duplicates] == [{IDS[4], IDS[1]}]


def nan_at(row: int) -> np.ndarray:
    changed = FEATURES.copy()
    changed[row, 1] = np.nan
    return changed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": None}, "no key 'features'; it has 'labels', 'class_names'"),
        ({"label": LABELS}, "unknown key 'label'; did you mean 'labels'?"),
        ({"text_a_photo_of": TEXT}, "unknown key 'text_a_photo_of'; known: features, labels"),
        ({"features": FEATURES.astype(int)}, "features is of type int64; features are floating point"),
        ({"features": FEATURES[0]}, r"features has shape \(4,\); features are \(N, D\)"),
        ({"features": FEATURES[:, None, None]}, r"features has shape \(6, 1, 1, 4\)"),
        ({"features": FEATURES[:, :0]}, r"features has shape \(6, 0\)"),
        ({"features": nan_at(3)}, r"features\[3\] holds NaN, or a number too large for float32 \(1 rows do\)"),
        ({"features": FEATURES.astype(float) * 1e300}, r"features\[0\] holds NaN, or a number too large"),
        ({"labels": LABELS.T}, r"labels has shape \(3, 6\), where 6 rows and 3 classes need \(6, 3\)"),
        ({"labels": LABELS + 1}, r"labels\[\d, \d\] is 2; write 1 for present, 0 for absent, -1 or NaN"),
        ({"labels": LABELS.astype(str)}, "labels is of type <U"),
        ({"class_names": NAMES[:2]}, r"labels has shape \(6, 3\), where 6 rows and 2 classes need \(6, 2\)"),
        ({"class_names": ["hot dog", "hot_dog", "cat"]}, "duplicate class name 'hot dog'"),
        ({"class_names": [1.5, 2.5, 3.5]}, "class_names is of type float64, or has gaps"),
        ({"class_names": None}, "labels without class_names"),
        ({"class_names": None, "labels": None}, "text without class_names"),
        ({"text": TEXT[:, :3]}, r"text has shape \(3, 3\), where 3 classes and features of width 4 need \(3, 4\)"),
        ({"text": TEXT * [[1], [0], [1]]}, "text: those of class 'cat' are all zero"),
        ({"text": TEXT * np.nan}, r"text\[0\] holds NaN"),
        ({"ids": IDS}, "image and ids both name its rows"),
        ({"image": IDS[:5]}, r"image has shape \(5,\), where \(6,\) is needed"),
        ({"image": ["a.jpg", *IDS[1:]]}, r"row 1 counted from 0: image 'a.jpg' is there already \("),
        ({"split": SPLIT[:2]}, r"split has shape \(2,\)"),
        ({"fold": FOLD / 2}, "fold is float64 of shape"),
        ({"fold": FOLD[:2]}, r"fold is int64 of shape \(2,\); write 6 whole numbers"),
        ({"class_names": np.array(NAMES, dtype=object)}, r"class_names holds Python objects.*np.array\(class_names, d"),
        ({"labels": np.array(LABELS, dtype=object)}, r"labels holds Python objects.*dtype=float"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = npz(tmp_path / "bad.npz", **changes)
    with pytest.raises(UserError, match=f"^{path}[:,] {words}") as error:
        load_data(str(path))
    assert "\n" not in str(error.value)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = npz(tmp_path / "trap.npz", class_names=np.array([Trap(), "cat", "dog"], dtype=object))
    with pytest.raises(UserError, match="could run code"):
        load_data(str(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"])
def test_a_damaged_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.npz is damaged, or was not written by np\.savez"):
        load_data(str(path))


def test_a_cut_off_npz_a_missing_one_and_a_single_array(tmp_path: Path) -> None:
    path = npz(tmp_path / "some.npz")
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged"):
            load_data(str(path))
    with pytest.raises(UserError, match="no such file"):
        load_data(str(tmp_path / "none.npz"))
    np.save(tmp_path / "one.npy", FEATURES)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(UserError, match=r"is one array; write it with np\.savez"):
        load_data(str(tmp_path / "one.npz"))


def test_damaged_bytes_are_noticed(tmp_path: Path) -> None:
    path = npz(tmp_path / "some.npz")
    content = bytearray(path.read_bytes())
    content[content.index(FEATURES.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        load_data(str(path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"caption": IDS}, "column 'caption' is of type string, and every column but features, image, id"),
        ({"cat": [1, 0, -1, None, 0, 1]}, "column 'cat': -1 means absent to some"),
        ({"cat": [1, 0, 2, None, 0, 1]}, "column 'cat', row 2 counted from 0, is 2; write 1 for present"),
        ({"features": [*FEATURES[:5].tolist(), [1.0]]}, "the lists of 'features' are of several lengths"),
        ({"features": [*FEATURES[:5].tolist(), None]}, "the lists of 'features' are of several lengths, or one is"),
        ({"features": [*FEATURES[:5].tolist(), [1.0, None, 2.0, 3.0]]}, r"features\[5\] holds NaN"),
        ({"id": IDS}, "the columns image and id both name its rows"),
        ({"image": [*IDS[:5], None]}, "column 'image' is of type object, or has gaps"),
        ({"fold": [0, 1, 2, 0, None, 1]}, "column 'fold' is float64"),
        (dict.fromkeys(NAMES), "no column that is a class"),
    ],
)
def test_what_is_wrong_with_a_parquet(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = parquet(tmp_path / "bad.parquet", changes)
    with pytest.raises(UserError, match=f"^{path}[:,] {words}"):
        load_data(str(path))


@pytest.mark.parametrize("twice", ["features", "cat"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, twice: str) -> None:
    path = parquet(tmp_path / "bad.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column(twice, table.column(twice)), path)
    with pytest.raises(UserError, match=f"^{path}: '{twice}' is the name of two columns; rename one of them"):
        load_data(str(path))


def test_what_is_wrong_with_text_beside_a_parquet(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    for text, words in (
        ({"class": NAMES[:2], "features": TEXT[:2].tolist()}, "no text features of class 'traffic light'"),
        ({"features": TEXT.tolist()}, "no column 'class'"),
        ({"class": NAMES, "text": TEXT.tolist()}, "no column 'features'"),
        ({"class": NAMES, "features": TEXT[:, :3].tolist()}, r"has shape \(3, 3\)"),
    ):
        parquet(path, text=text)
        with pytest.raises(UserError, match=rf"some\.text\.parquet: .*{words}"):
            load_data(str(path))


def test_a_parquet_of_images_stays_one_of_images(tmp_path: Path) -> None:
    images = pa.array([{"bytes": b"", "path": name} for name in IDS])
    path = parquet(tmp_path / "images.parquet", {"image": images})
    assert detect_format(str(path)) == "huggingface"
    assert detect_format(str(parquet(tmp_path / "words.parquet", {"features": IDS}))) == "huggingface"


def test_unlisted_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="features says of every class what it is"):
        load_data(str(npz(tmp_path / "some.npz")), options=DataOptions(unlisted="absent"))
