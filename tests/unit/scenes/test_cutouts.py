"""Scenes of cut-outs: reproducible, labelled with what can be seen, and of the photographs of one split alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cutout_support import photo_tree
from promptmlr.backbone import load_backbone
from promptmlr.errors import UserError
from promptmlr.methods import create_recognizer
from promptmlr.paper.cutouts.folder import cut_out
from promptmlr.report.tables import csv_text
from promptmlr.reporting import Reporter
from promptmlr.scenes import IMAGE_SIZE, Scene, caption
from promptmlr.scenes.captions import plural, vocabulary
from promptmlr.scenes.cutouts import CutoutWorld
from promptmlr.scenes.pretraining import PretrainingConfig, pretrain, pretrain_to_file
from support import assert_same_tensors, csv_rows

TINY = PretrainingConfig(scenes=12, batch_size=6, word_steps=2, text_steps=1, joint_steps=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    parent = tmp_path_factory.mktemp("photos")
    cut_out(photo_tree(parent / "coco"), parent / "cutouts", Reporter())
    return parent / "cutouts"


@pytest.fixture(scope="module")
def scenes(folder: Path) -> list[Scene]:
    world = CutoutWorld(folder, "train")
    return [world.scene(3, index) for index in range(200)]


def seen(scene: Scene) -> list[int]:
    """Pixels that are green, and those that are red: the colours of disc and square, which no background has."""
    pixels = scene.image.astype(int)
    return [int((pixels[..., own] > 1.5 * pixels[..., other] + 20).sum()) for own, other in ((1, 0), (0, 1))]


def test_labels_say_what_can_be_seen(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        for class_index, (visible, present) in enumerate(zip(seen(scene), scene.labels, strict=True)):
            boxes = np.array([thing.box for thing in scene.objects if thing.class_index == class_index])
            assert bool(len(boxes)) == bool(present)
            # a turned disc fills half of its box at least, and 65 % of it is in view
            assert visible > 0.3 * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).max() if present else visible == 0
    assert 0.2 < np.mean([scene.labels for scene in scenes]) < 0.95


def test_any_scene_can_be_made_alone(folder: Path, scenes: list[Scene]) -> None:
    for index in (150, 3):
        again = CutoutWorld(folder, "train").scene(3, index)
        np.testing.assert_array_equal(again.image, scenes[index].image)
        assert again.objects == scenes[index].objects
    others = [CutoutWorld(folder, "train").scene(*which).image for which in ((3, 4), (4, 3))]
    assert not any(np.array_equal(other, scenes[3].image) for other in others)


def painted_over(folder: Path, copy: Path, split: str) -> Path:
    """A copy with other pixels in every cut-out of a split."""
    shutil.copytree(folder, copy)
    for path in (copy / split).rglob("*.png"):
        with Image.open(path) as image:
            painted = Image.new(image.mode, image.size, (250, 0, 250, 255)[: len(image.mode)])
        painted.save(path)
    return copy


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_scenes_of_one_split_show_nothing_of_the_other(folder: Path, tmp_path: Path, split: str, other: str) -> None:
    """They stay the same to the last bit if every cut-out of the other split is painted over."""
    copy = painted_over(folder, tmp_path / "cutouts", other)
    for index in range(20):
        scene = CutoutWorld(folder, split).scene(3, index)
        np.testing.assert_array_equal(CutoutWorld(copy, split).scene(3, index).image, scene.image)
    assert not np.array_equal(CutoutWorld(copy, other).scene(3, 0).image, CutoutWorld(folder, other).scene(3, 0).image)


def test_both_splits_have_the_same_classes_as_often(folder: Path) -> None:
    worlds = [CutoutWorld(folder, split) for split in ("train", "test")]
    assert worlds[0].frequencies == worlds[1].frequencies
    labels = [np.mean([world.scene(5, index).labels for index in range(400)], axis=0) for world in worlds]
    np.testing.assert_allclose(*labels, atol=0.1)


def test_classes_come_together_as_photographs_show_them(folder: Path, tmp_path: Path) -> None:
    apart = Path(shutil.copytree(folder, tmp_path / "apart"))
    rows = csv_rows(apart / "attribution.csv")
    one_each = [row | {"photo": row["class"]} for row in rows]  # as if no photograph showed two classes
    (apart / "attribution.csv").write_text(csv_text(list(rows[0]), one_each))
    both = [
        np.mean([CutoutWorld(where, "train").scene(3, index).labels.all() for index in range(60)])
        for where in (folder, apart)
    ]
    assert both[1] < 0.7 * both[0]


def test_captions_name_what_is_there_without_colours(scenes: list[Scene]) -> None:
    words = set(vocabulary(scenes[0].frequencies))
    rng = np.random.default_rng(0)
    for scene in scenes:
        said = set(caption(scene, rng, 0.0).replace(".", " ").replace(",", " ").replace("!", " ").split())
        for name, present in zip(scene.frequencies, scene.labels, strict=True):
            assert present or not said & {name, plural(name)}
        assert {word for word in said if word.isalpha()} <= words


def test_plurals_of_photographed_things() -> None:
    assert [plural(name) for name in ("bus", "person", "wine glass", "bench", "box", "knife", "cup")] == [
        *("buses", "people", "wine glasses", "benches", "boxes", "knives", "cups")
    ]


def test_a_folder_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no attribution\.csv.*promptmlr cut-out"):
        CutoutWorld(tmp_path, "train")
    (tmp_path / "attribution.csv").write_text("file,class\na.png,dog\n")
    with pytest.raises(UserError, match="not a table of file, split"):
        CutoutWorld(tmp_path, "train")
    rows = (folder / "attribution.csv").read_text().splitlines()
    kept = [row for row in rows if not row.startswith("test/disc")]
    (tmp_path / "attribution.csv").write_text("\n".join(kept))
    with pytest.raises(UserError, match="no class 'disc' for split 'test'"):
        CutoutWorld(tmp_path, "test")
    with pytest.raises(UserError, match="no PNG image that can be read"):
        CutoutWorld(tmp_path, "train").scene(0, 0)


def test_the_miniature_can_be_pretrained_on_them(folder: Path, tmp_path: Path) -> None:
    config = replace(TINY, cutouts=str(folder))
    state: dict[str, Tensor] = pretrain(config)
    without_test, without_train = (
        pretrain(replace(config, cutouts=str(painted_over(folder, tmp_path / split, split))))
        for split in ("test", "train")
    )
    assert_same_tensors(without_test, state)
    assert not torch.equal(without_train["visual.conv1.weight"], state["visual.conv1.weight"])
    pretrain_to_file(tmp_path / "clip.safetensors", config)
    backbone = load_backbone(tmp_path / "clip.safetensors")
    recognizer = create_recognizer("zeroshot", backbone, ("disc", "square"))
    image = backbone.preprocessing.pixels(Image.fromarray(CutoutWorld(folder, "test").scene(2, 0).image))
    logits = recognizer(backbone.encode_image(backbone.preprocessing.normalise(image[None])))
    assert logits.shape == (1, 2, 2)
    assert not (tmp_path / "clip.safetensors.partial").exists()


def test_a_length_is_a_share_of_each_stage() -> None:
    half = PretrainingConfig().shortened(0.5)
    assert (half.word_steps, half.text_steps, half.joint_steps) == (1_100, 400, 750)
    assert PretrainingConfig().shortened(1.0) == PretrainingConfig()
