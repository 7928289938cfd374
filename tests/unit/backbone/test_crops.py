"""Crops: the tower sees tiles of an image as well, and their global regions come last."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone, Preprocessing, load_backbone
from promptmlr.data import ImageFile
from promptmlr.errors import UserError
from promptmlr.features import RegionStore
from promptmlr.features.store import description
from promptmlr.regions import FreshRegions, encode_pixels, encode_stream, extract


@pytest.fixture(scope="module")
def vit_file(tiny_vit, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    save_file(tiny_vit, path)
    return path


@pytest.fixture(scope="module", params=["resnet", "vit"])
def whole(request: pytest.FixtureRequest, vit_file: Path, tiny_checkpoint: Path) -> Backbone:
    return load_backbone(vit_file if request.param == "vit" else tiny_checkpoint)


def drawn(path: Path, size: tuple[int, int] = (90, 60)) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, size=(size[1] // 6, size[0] // 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(path)
    return path


def test_crops_cover_the_image_and_neighbours_share_half() -> None:
    tiles = Preprocessing(32, (0.5,) * 3, (0.5,) * 3, crops=3).tiles()
    assert len(tiles) == 9
    assert tiles[0][:2] == (0, 0)
    assert tiles[-1][2:] == pytest.approx((1, 1))
    assert all(right - left == pytest.approx(0.5) == bottom - top for left, top, right, bottom in tiles)
    assert tiles[1][0] - tiles[0][0] == pytest.approx(0.25)


@pytest.mark.parametrize("crops", [-1, 1, 9])
def test_impossible_crops_are_refused(crops: int) -> None:
    with pytest.raises(UserError, match=f"--crops {crops}: give 0, or from 2 to 8"):
        Preprocessing(32, (0.5,) * 3, (0.5,) * 3, crops=crops)


def test_the_last_regions_are_the_global_ones_of_the_tiles(whole: Backbone, tmp_path: Path) -> None:
    cropped = load_backbone(whole.name, crops=2)
    assert (cropped.regions, cropped.tiles) == (whole.regions + 4, 4)
    with Image.open(drawn(tmp_path / "a.png")) as image:
        pixels = cropped.preprocessing.pixels(image)
        tiles = [image.crop((left, top, left + 60, top + 40)) for top in (0, 20) for left in (0, 30)]
        views = torch.stack([whole.preprocessing.pixels(part) for part in (image, *tiles)])
    inner = (pixels.int() - views.int())[..., 3:-3, 3:-3]  # at its border a tile is mixed with what lies beside it
    assert inner.abs().max() <= 1
    alone = [encode_pixels(whole, [view])[0] for view in pixels]
    regions = encode_pixels(cropped, [pixels, pixels])
    assert regions.shape == (2, cropped.regions, whole.feature_width)
    expected = torch.cat([alone[0], torch.stack([part[0] for part in alone[1:]])])
    for found in regions:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_source_of_regions_has_them(whole: Backbone, tmp_path: Path) -> None:
    cropped = load_backbone(whole.name, crops=2)
    images = [ImageFile(drawn(tmp_path / f"{index}.png", (60 + index, 50))) for index in range(3)]
    kept, source = extract(FreshRegions(cropped, images, workers=0), batch_size=2)
    assert list(kept) == [0, 1, 2]
    assert source.regions.shape[1] == cropped.regions
    streamed = torch.cat([regions for _, _, regions in encode_stream(cropped, images, 2) if regions is not None])
    torch.testing.assert_close(streamed, source.regions)
    views = FreshRegions(cropped, images, augmentation=Augmentation(0, 2), workers=0)
    assert extract(views)[1].regions.shape == source.regions.shape


def test_a_store_is_of_one_way_and_one_number_of_crops(vit_file: Path, tmp_path: Path) -> None:
    options = [
        {},
        {"regions": "value"},
        {"regions": "qk"},
        {"crops": 2},
        {"crops": 3},
        {"regions": "value", "crops": 2},
    ]
    folders = [RegionStore(tmp_path, load_backbone(vit_file, **given), "float16").folder for given in options]
    default = load_backbone(vit_file).way
    assert folders[0] == RegionStore(tmp_path, load_backbone(vit_file, regions=default), "float16").folder
    assert len(set(folders[1:])) == 5


def test_a_store_that_says_nothing_of_regions_has_values(vit_file: Path) -> None:
    """So were all stores before there was anything else."""
    value, qk = (description(load_backbone(vit_file, regions=way), "float16") for way in ("value", "qk"))
    assert qk == value | {"way": "qk"}
    assert "way" not in value


def test_whole_images_are_described_as_before_there_were_crops() -> None:
    whole = Preprocessing(32, (0.5,) * 3, (0.5,) * 3)
    assert "crops" not in whole.as_dict()
    assert replace(whole, crops=2).as_dict() == whole.as_dict() | {"crops": 2}
