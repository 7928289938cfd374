"""Cutting out: what is on a cut-out and a background, which classes and photographs, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutout_support import annotation, photo_tree
from promptmlr.data import DataOptions, load_data
from promptmlr.errors import UserError
from promptmlr.paper.cutouts import cutting
from promptmlr.paper.cutouts import folder as cutouts_folder
from promptmlr.paper.cutouts.cutting import pieces
from promptmlr.paper.cutouts.folder import cut_out
from promptmlr.paper.cutouts.photos import read_photos
from promptmlr.reporting import Reporter
from promptmlr.scenes.cutouts import read_cutouts
from support import Heard, csv_rows

HUES = {"square": 0, "disc": 1}  # the channel that is brightest


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return photo_tree(tmp_path_factory.mktemp("photos") / "coco")


@pytest.fixture(scope="module")
def made(tree: Path) -> Path:
    cut_out(tree, tree.parent / "cutouts", Reporter())
    return tree.parent / "cutouts"


def amended(tree: Path, change) -> Path:
    """`tree` with its annotations changed in place."""
    path = tree / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return tree


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_an_object_is_cut_out_along_its_outline(made: Path) -> None:
    for row in read_cutouts(made):
        pixels = pixels_of(made / row.file)
        if row.class_name:
            opacity, colour = pixels[..., 3], pixels[pixels[..., 3] == 255][:, :3]
            assert np.all(colour.argmax(axis=1) == HUES[row.class_name])
            filled = (opacity > 127).mean()  # of its box: all by a square, π/4 by a disc
            assert abs(filled - {"square": 1.0, "disc": np.pi / 4}[row.class_name]) < 0.06


def test_backgrounds_show_no_object_of_any_class(made: Path) -> None:
    backgrounds = [row for row in read_cutouts(made) if not row.class_name]
    assert backgrounds
    for row in backgrounds:
        pixels = pixels_of(made / row.file)
        assert pixels.shape[2] == 3
        assert min(pixels.shape[:2]) >= 96
        assert np.ptp(pixels, axis=2).max() < 10  # the wall is grey


def test_backgrounds_of_a_photograph_lie_side_by_side() -> None:
    covered = np.zeros((200, 640), int)
    for left, top, right, bottom in cutting._empty_squares((), (640, 200)):
        assert right - left == bottom - top >= 96
        covered[top:bottom, left:right] += 1
    assert covered.sum() == 3 * 200 * 200
    assert covered.max() == 1


def test_no_photograph_is_in_both_splits_and_every_class_is(made: Path) -> None:
    rows = read_cutouts(made)
    photos = {split: {row.photo for row in rows if row.split == split} for split in ("train", "test")}
    assert not photos["train"] & photos["test"]
    assert len(photos["test"]) == 6  # every third of 18
    for split in photos:
        assert {row.class_name for row in rows if row.split == split} == {"", "square", "disc"}
    whole = {Path(row["image"]).name: row["split"] for row in csv_rows(made / "photos.csv")}
    assert {row.photo: row.split for row in rows} == whole


@pytest.mark.parametrize("seed", range(10))
def test_rare_classes_choose_first(seed: int) -> None:
    photos = [f"{number}.jpg" for number in range(9)]
    split = cutouts_folder._split({"common": photos, "rare": photos[:3]}, seed, photos)
    tested = [photo for photo in photos if split[photo] == "test"]
    assert len(tested) == 3
    assert len(set(tested) & set(photos[:3])) == 1


def test_every_cut_out_says_where_it_is_from(made: Path) -> None:
    rows = read_cutouts(made)
    assert {str(path.relative_to(made)) for path in made.rglob("*.png")} == {row.file for row in rows}
    for row in rows:
        assert row.licence == "Attribution License http://creativecommons.org/licenses/by/2.0/"
        assert row.url == f"http://example.org/{row.photo}"
        assert Path(row.file).name.startswith(Path(row.photo).stem)


def test_the_photographs_are_labelled_images_too(made: Path) -> None:
    data = load_data(str(made / "photos.csv"), "test", DataOptions())
    assert data.class_names == ("disc", "square")
    assert data.labels.shape == (6, 2)
    assert np.all(data.labels == 1)


def test_a_seed_chooses_the_photographs_for_testing(tree: Path, made: Path, tmp_path: Path) -> None:
    def tested(folder: Path) -> set[str]:
        return {row.photo for row in read_cutouts(folder) if row.split == "test"}

    for seed in (0, 1):
        cut_out(tree, tmp_path / str(seed), Reporter(), seed)
    assert tested(tmp_path / "0") == tested(made) != tested(tmp_path / "1")


def test_what_lies_on_an_object_is_cut_away(tmp_path: Path) -> None:
    tree = photo_tree(tmp_path / "coco", 1)
    corner = [50, 40, 75, 40, 75, 65, 50, 65]  # covers a sixth of the square
    photo = read_photos(amended(tree, lambda content: content["annotations"].append(annotation(0, 18, corner))))[0]
    square = next(piece for piece in pieces(photo) if piece.class_name == "square")
    opacity = np.asarray(square.image.getchannel("A"))
    assert opacity[:25, :25].min() > 127
    assert opacity[35:48, 35:48].max() == 0


@pytest.mark.parametrize("crowd", [0, 1])
def test_an_object_under_others_is_left_out_even_if_they_have_no_outline(tmp_path: Path, crowd: int) -> None:
    tree = photo_tree(tmp_path / "coco", 1)
    over = annotation(0, 18, [20, 10, 60, 10, 60, 58, 20, 58], outlined=False) | {"iscrowd": crowd}
    found = list(pieces(read_photos(amended(tree, lambda content: content["annotations"].append(over)))[0]))
    assert "square" not in {piece.class_name for piece in found}
    assert "disc" in {piece.class_name for piece in found}


def test_small_objects_are_left_out(tmp_path: Path) -> None:
    tree = photo_tree(tmp_path / "coco", 1)
    small = annotation(0, 18, [200, 10, 223, 10, 223, 70, 200, 70])
    found = list(pieces(read_photos(amended(tree, lambda content: content["annotations"].append(small)))[0]))
    assert sum(piece.class_name == "hot dog" for piece in found) == 1  # the one of 28 × 50 pixels


def test_photographs_whose_licence_forbids_it_are_left_out(tmp_path: Path) -> None:
    forbidding = [
        {"id": 4, "name": "Attribution License"},
        {"id": 6, "name": "Attribution-NoDerivs License"},
        {"id": 2, "name": "Attribution-NonCommercial License"},
        {"id": 1, "url": "http://creativecommons.org/licenses/by-nc-sa/2.0/"},
    ]

    def set_licences(content) -> None:
        for image, licence in zip(content["images"], (6, 2, 1), strict=False):
            image["license"] = licence

    tree = amended(photo_tree(tmp_path / "coco", licences=forbidding), set_licences)
    cut_out(tree, tmp_path / "out", heard := Heard())
    assert not {"t000.jpg", "t001.jpg", "t002.jpg"} & {row.photo for row in read_cutouts(tmp_path / "out")}
    assert "3 of 18 photographs left out" in heard.notes[0]


@pytest.mark.parametrize(
    ("licence", "permits"),
    [
        ("CC BY NC 4.0", False),
        ("cc_by-sa-nc", False),
        ("CC-BY-ND", False),
        ("Attribution-ShareAlike License", True),
        ("No known copyright restrictions", True),
        ("CC0 http://creativecommons.org/publicdomain/zero/1.0/", True),
    ],
)
def test_a_licence_forbids_by_any_of_its_spellings(tmp_path: Path, licence: str, permits: bool) -> None:
    tree = photo_tree(tmp_path / "coco", 1, licences=[{"id": 4, "name": licence}])
    assert [photo.permits for photo in read_photos(tree)] == [permits]


def test_photographs_without_a_licence_are_used_with_a_note(tmp_path: Path) -> None:
    cut_out(photo_tree(tmp_path / "coco", licences=()), tmp_path / "out", heard := Heard())
    assert any("name no licence" in note for note in heard.notes)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path, "is no COCO folder: no annotations/instances_*.json"),
        (lambda path: photo_tree(path, outlined=False), "boxes are not enough"),
        (lambda path: photo_tree(path, 6), "0 classes with 8 cut-outs from 5 photographs"),
        (lambda path: photo_tree(path, licences=[{"id": 4, "name": "NonCommercial"}]), "no photograph whose licence"),
        (lambda path: amended(photo_tree(path), lambda content: content.pop("images")), "not a COCO instances file"),
    ],
    ids=["no annotations", "no outlines", "too few", "licence", "damaged"],
)
def test_bad_folders_are_refused_and_nothing_is_written(tmp_path: Path, make, said: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*$") as refused:
        cut_out(make(tmp_path / "coco"), tmp_path / "out", Reporter())
    assert said.replace("*", "") in str(refused.value).replace("*", "")
    assert not (tmp_path / "out").exists()


def test_photographs_of_all_files_are_read_each_once(tmp_path: Path) -> None:
    tree = photo_tree(tmp_path / "coco", 2, splits=("train2017", "val2017"))
    assert [photo.image.path.stem for photo in read_photos(tree)] == ["t000", "t001", "v000", "v001"]
    annotations = tree / "annotations"
    (annotations / "instances_copy.json").write_text((annotations / "instances_train2017.json").read_text())
    shutil.copytree(tree / "train2017", tree / "copy")
    with pytest.raises(UserError, match="have one name"):
        read_photos(tree)


def test_a_missing_photograph_and_an_existing_folder_are_refused(tree: Path, made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        cut_out(tree, made, Reporter())
    photo_tree(tmp_path / "coco")
    (tmp_path / "coco" / "train2017" / "t003.jpg").unlink()
    with pytest.raises(UserError, match=r"image 3: no file .*t003\.jpg"):
        cut_out(tmp_path / "coco", tmp_path / "out", Reporter())
