"""What `promptmlr inspect` counts, finds and says, against independent counts and planted faults."""

from pathlib import Path

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image, ImageEnhance
from sklearn.metrics import matthews_corrcoef

from promptmlr import scenes
from promptmlr.advice.inspection.images import check_images
from promptmlr.advice.inspection.inspecting import inspect_data
from promptmlr.advice.inspection.labels import JointCounts, class_counts, pairs
from promptmlr.advice.inspection.names import name_remarks
from promptmlr.data import DrawnImage, ImageFile, LabelledImages

TOKENIZER = SimpleTokenizer()


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decoder[token] for token in TOKENIZER.encode(text)]


def problems(*names: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for remark in name_remarks(names, pieces):
        found.setdefault(remark.name, []).append(remark.problem)
    return found


def test_counts_and_what_they_advise() -> None:
    labels = np.array([[1, 0, 1, -1]] * 12 + [[1, 1, 0, 0]] * 11, dtype=np.int8)
    found = {one.name: one for one in class_counts(labels, "abcd", {"train": labels[:12], "test": labels[12:]})}
    assert (found["a"].present, found["a"].absent, found["a"].unknown) == (23, 0, 0)
    assert found["b"].share == pytest.approx(11 / 23)
    assert "never known to be absent" in found["a"].advice
    assert "never present in train" in found["b"].advice
    assert "never present in test" in found["c"].advice
    assert "never present: " in found["d"].advice
    assert "fewer than 10" in class_counts(labels[8:16], "abcd", {})[1].advice


def test_pairs_are_scikit_learns_phi_on_the_images_where_both_are_known() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((4_000, 1)) < 0.4
    labels = np.where(rng.random((4_000, 5)) < 0.7, base, rng.random((4_000, 5)) < 0.3).astype(np.int8)
    labels[:, 4] = rng.random(4_000) < 0.3  # keeps no company
    labels[rng.random(labels.shape) < 0.5] = -1
    found = {(pair.first, pair.second): pair for pair in pairs(JointCounts.of(labels), "abcde")}
    assert set(found) == {(a, b) for a in "abcd" for b in "abcd" if a < b}
    for (a, b), pair in found.items():
        one, other = labels[:, "abcde".index(a)], labels[:, "abcde".index(b)]
        both = (one != -1) & (other != -1)
        assert pair.images == both.sum()
        assert pair.together == ((one == 1) & (other == 1)).sum()
        assert pair.expected == pytest.approx(
            (one[both] == 1).mean() * (other[both] == 1).mean() * both.sum(), rel=1e-6
        )
        assert pair.correlation == pytest.approx(matthews_corrcoef(one[both], other[both]), abs=1e-6)
    assert [abs(pair.correlation) for pair in found.values()] == sorted(
        (abs(pair.correlation) for pair in found.values()), reverse=True
    )


def test_unrelated_classes_seldom_stand_out() -> None:
    loud = 0
    for seed in range(40):
        labels = (np.random.default_rng(seed).random((300, 8)) < 0.4).astype(np.int8)
        loud += bool(pairs(JointCounts.of(labels), "abcdefgh"))
    assert loud <= 6  # 2 expected


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """0 to 5 different; 6 the bytes of 0; 7 the pixels of 1; 8 a smaller 2; 9 a brighter 3; 10 broken; 11 missing."""
    paths = [tmp_path / f"{i:02d}.png" for i in range(12)]
    pictures = [Image.fromarray(scenes.draw_scene(3, i).image).resize((200, 160)) for i in range(6)]
    for picture, path in zip(pictures, paths, strict=False):
        picture.save(path)
    paths[6].write_bytes(paths[0].read_bytes())
    paths[7] = tmp_path / "07.bmp"
    pictures[1].save(paths[7])
    paths[8] = tmp_path / "08.jpg"
    pictures[2].resize((150, 120)).save(paths[8], quality=80)
    ImageEnhance.Brightness(pictures[3]).enhance(1.1).save(paths[9])
    paths[10].write_bytes(b"no image")
    return paths


def test_copies_and_broken_images_are_found(photos: list[Path]) -> None:
    labels = np.zeros((12, 2), dtype=np.int8)
    labels[0], labels[6], labels[8] = (1, -1), (0, 1), (-1, 1)
    splits = ["train"] * 7 + ["test"] * 5
    found = check_images(list(map(ImageFile, photos)), labels, splits)
    assert {index: problem.split(": ")[-1] for index, problem in found.unreadable.items()} == {
        10: "not an image, or damaged at its start",
        11: "no such file",
    }
    assert {group.images: (group.kind, group.across, group.contradicting) for group in found.duplicates} == {
        (0, 6): ("same bytes", False, (0,)),
        (1, 7): ("same pixels", True, ()),
        (2, 8): ("look alike", True, (1,)),
        (3, 9): ("look alike", True, ()),
    }
    assert found.duplicates[0].images == (2, 8)  # across splits and contradicting


def test_different_images_and_plain_ones_are_no_copies(tmp_path: Path) -> None:
    drawn = [DrawnImage(1, index) for index in range(60)]
    plain = []
    for index in range(5):
        plain.append(ImageFile(tmp_path / f"{index}.png"))
        Image.new("RGB", (50, 50), (40 * index, 10, 10)).save(plain[-1].path)
    found = check_images([*drawn, *plain], np.zeros((65, 1), dtype=np.int8), [None] * 65)
    assert (found.duplicates, found.unreadable) == ((), {})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cls 03", "a code"),
        ("n01440764", "a code"),
        ("7", "a code"),
        ("RBC", "an abbreviation?"),
        ("crane", "two meanings"),
        ("diningtable", "run together"),
        ("tvmonitor", "run together"),
        ("TrafficLight", "run together"),
        ("猫", "letters CLIP hardly knows"),
        ("zygomaticus", "a rare word"),
        ("a dog that sits on a chair beside a table in the garden of a house on a hill at sea", "long"),
        ("dog " * 70, "too long"),
    ],
)
def test_names_that_clip_misreads(name: str, problem: str) -> None:
    assert problem in problems(name.strip())[name.strip()]


def test_common_names_get_no_remark() -> None:
    names = ["dog", "traffic light", "sports ball", "tv", "surfboard", "dining table", "café", "hot dog", "person"]
    assert problems(*names) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [("sofa", "couch"), ("dog", "dogs"), ("traffic light", "trafficlight"), ("aubergine", "aubergines")],
)
def test_names_of_one_thing(one: str, other: str) -> None:
    assert f"{one}, {other}" in problems(one, other)


def test_names_that_share_letters_alone_are_two() -> None:
    assert problems("cat", "car", "glass", "grass", "boat", "goat") == {}


def test_the_page_the_files_and_the_terminal_say_the_same(photos: list[Path], tmp_path: Path, scenes_backbone) -> None:
    labels = np.ones((10, 2), dtype=np.int8)
    data = LabelledImages.from_rows(
        [path.name for path in photos[:10]],
        list(map(ImageFile, photos[:10])),
        labels,
        ["dog", "cls 03"],
        "drawn",
        ["10"],
    )
    found = inspect_data("drawn.csv", {None: data}, backbone=scenes_backbone)
    found.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("inspection.md", "classes.csv", "pairs.csv", "names.csv", "unreadable.csv", "duplicates.csv", "cosines.csv"),
        *("missingness.csv", "known-with.csv"),
    }
    rows = (tmp_path / "out" / "duplicates.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(len(group.images) for group in found.images.duplicates) == 9
    assert "4 groups of images" in (tmp_path / "out" / "inspection.md").read_text()
