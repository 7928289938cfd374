"""Stored regions are the fresh ones, are made once, and are never those of another image, view or tower."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import ClipBackbone, load_backbone
from promptmlr.data.images import ImageFile, UnreadableImage
from promptmlr.errors import UserError
from promptmlr.features import RegionCache, StoredRegions, extraction, open_regions, source
from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.training import fit
from support import Heard

COUNT = 10
PLAN = [np.array([3, 1, 2]), np.array([4, 5]), np.array([0, 9, 7])]


def noise(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(20 + seed, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    (tmp_path / "photos").mkdir()
    return [ImageFile(noise(tmp_path / "photos" / f"{index}.png", index)) for index in range(COUNT)]


@pytest.fixture
def cache(tmp_path: Path) -> RegionCache:
    return RegionCache(tmp_path / "cache", "float32")


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """The number of images in each batch that went through a tower."""
    batches = []
    real = ClipBackbone.encode_image

    def counted(self: ClipBackbone, images: torch.Tensor) -> torch.Tensor:
        batches.append(len(images))
        return real(self, images)

    monkeypatch.setattr(ClipBackbone, "encode_image", counted)
    return batches


def collected(regions, epoch: int = 0) -> torch.Tensor:
    batches = list(regions.batches(PLAN, epoch))
    assert [indices.tolist() for indices, _ in batches] == [planned.tolist() for planned in PLAN]
    return torch.cat([batch for _, batch in batches])


@pytest.mark.parametrize("held", [True, False])
def test_float32_gives_the_numbers_of_memory_and_the_same_run(images, cache, tiny_backbone, monkeypatch, held) -> None:
    if not held:
        monkeypatch.setattr(source, "MEMORY_FOR_REGIONS", 0)
    _, memory = extract(FreshRegions(tiny_backbone, images), batch_size=4)
    kept, stored = open_regions(FreshRegions(tiny_backbone, images), cache, batch_size=4)
    assert isinstance(stored, StoredRegions)
    assert kept.tolist() == list(range(COUNT)) == list(range(len(stored)))
    assert torch.equal(collected(stored), collected(memory))

    labels = np.random.default_rng(0).integers(-1, 2, size=(COUNT, 2)).astype(np.int8)
    recipe = load_recipe("default", "positivecoop", context_length=2, epochs=2, batch_size=4)
    trained = []
    for regions in (memory, stored):
        recognizer = create_recognizer("positivecoop", tiny_backbone, ["dog", "cat"], context_length=2)
        fit(recognizer, regions, labels, recipe)
        trained.append(recognizer.state_dict())
    for name, tensor in trained[0].items():
        assert torch.equal(tensor, trained[1][name]), name


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 1e-3), ("bfloat16", 8e-3), ("int8", 1e-2)])
def test_other_formats_are_near(images, tmp_path, tiny_backbone, storage: str, tolerance: float) -> None:
    fresh = FreshRegions(tiny_backbone, images)
    _, stored = open_regions(fresh, RegionCache(tmp_path / "cache", storage))
    expected = collected(fresh)
    error = (collected(stored) - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert 0 < error.max() < tolerance


def test_every_image_is_encoded_once(images, cache, tiny_backbone, encoded) -> None:
    first, second, both = images[:6], images[4:], images
    for part in (first, second, both, both):
        open_regions(FreshRegions(tiny_backbone, part), cache)
    assert encoded == [6, 4]
    _, stored = open_regions(FreshRegions(tiny_backbone, both), cache)
    torch.testing.assert_close(collected(stored), collected(FreshRegions(tiny_backbone, both)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("by_content", [False, True])
def test_a_changed_image_is_encoded_again(images, tmp_path, tiny_backbone, encoded, by_content: bool) -> None:
    cache = RegionCache(tmp_path / "cache", "float32", by_content)
    open_regions(FreshRegions(tiny_backbone, images), cache)
    noise(images[3].path, seed=77)
    Image.open(images[4].path).save(images[4].path)  # the same pixels, another time
    os.utime(images[4].path, ns=(1, 1))
    moved = images[5].path.rename(tmp_path / "moved.png")
    images[5] = ImageFile(moved)
    encoded.clear()
    _, stored = open_regions(FreshRegions(tiny_backbone, images), cache)
    assert encoded == ([1] if by_content else [3])
    torch.testing.assert_close(collected(stored), collected(FreshRegions(tiny_backbone, images)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("by_content", [False, True])
@pytest.mark.parametrize("readable", [False, True])
def test_an_image_changed_while_it_is_encoded_is_not_stored(
    images, tmp_path, tiny_backbone, monkeypatch, by_content: bool, readable: bool
) -> None:
    """Its fingerprint is that of what was there before, and what was there before may come back."""
    cache, original = RegionCache(tmp_path / "cache", "float32", by_content), images[3].path.read_bytes()
    real = FreshRegions.batches

    def changed_before_it_is_decoded(self, plan, epoch=0):
        if readable:
            noise(images[3].path, seed=77)
        else:
            images[3].path.write_bytes(original[:100])
        return real(self, plan, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(FreshRegions, "batches", changed_before_it_is_decoded)
        with pytest.raises(UserError, match=r"3.png was changed while it was being encoded"):
            open_regions(FreshRegions(tiny_backbone, images, skip_unreadable=True), cache)
    images[3].path.write_bytes(original)
    kept, stored = open_regions(FreshRegions(tiny_backbone, images), cache)
    assert len(kept) == COUNT
    torch.testing.assert_close(collected(stored), collected(FreshRegions(tiny_backbone, images)), rtol=1e-5, atol=1e-5)


def test_a_size_or_time_alone_makes_another_image(images) -> None:
    path = images[0].path
    first, by_bytes = images[0].fingerprint(), images[0].fingerprint(content=True)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    second = images[0].fingerprint()
    with path.open("ab") as file:
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    third = images[0].fingerprint()
    assert len({first, second, third}) == 3
    assert images[0].fingerprint(content=True) != by_bytes


def test_paths_to_one_file_share_its_regions(images, tmp_path, monkeypatch) -> None:
    (tmp_path / "link.png").symlink_to(images[0].path)
    monkeypatch.chdir(tmp_path)
    prints = {
        ImageFile(path).fingerprint() for path in (images[0].path, Path("link.png"), Path("photos/../photos/0.png"))
    }
    assert len(prints) == 1
    assert images[1].fingerprint() not in prints


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def test_unreadable_images_are_left_out_and_remembered(images, cache, tiny_backbone, monkeypatch) -> None:
    damaged(images[2].path)
    images[6].path.unlink()
    fresh = FreshRegions(tiny_backbone, images, skip_unreadable=True)
    kept, stored = open_regions(fresh, cache, batch_size=3)
    assert kept.tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    assert sorted(fresh.unreadable) == [2, 6]
    whole = FreshRegions(tiny_backbone, [images[index] for index in kept])
    expected = torch.cat([batch for _, batch in whole.batches([np.arange(8)])])
    torch.testing.assert_close(
        torch.cat([b for _, b in stored.batches([np.arange(8)])]), expected, rtol=1e-5, atol=1e-5
    )

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "open", lambda image: pytest.fail(f"{image.name} was read again"))
        again = FreshRegions(tiny_backbone, images, skip_unreadable=True)
        assert open_regions(again, cache)[0].tolist() == kept.tolist()
        assert {index: str(error) for index, error in again.unreadable.items()} == {
            index: str(error) for index, error in fresh.unreadable.items()
        }
        with pytest.raises(UnreadableImage, match=r"2\.png: not an image"):
            open_regions(FreshRegions(tiny_backbone, images), cache)

    noise(images[2].path, seed=2)
    noise(images[6].path, seed=6)
    assert open_regions(FreshRegions(tiny_backbone, images), cache)[0].tolist() == list(range(COUNT))


def test_an_unreadable_image_stops_what_is_not_to_skip_it(images, cache, tiny_backbone, encoded) -> None:
    damaged(images[5].path)
    for _ in range(2):
        with pytest.raises(UnreadableImage, match=r"5\.png: not an image"):
            open_regions(FreshRegions(tiny_backbone, images), cache, batch_size=4)
    assert sum(encoded) <= 8  # what was encoded before stays
    with pytest.raises(UnreadableImage, match="no image could be read"):
        open_regions(FreshRegions(tiny_backbone, [images[5]], skip_unreadable=True), cache)


def test_what_the_system_refuses_today_is_tried_again(images, cache, tiny_backbone, monkeypatch) -> None:
    def refused(image: ImageFile) -> Image.Image:
        raise UnreadableImage(f"{image.name}: Permission denied") from PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "open", refused)
        with pytest.raises(UnreadableImage, match="Permission denied"):
            open_regions(FreshRegions(tiny_backbone, images), cache)
    assert len(open_regions(FreshRegions(tiny_backbone, images), cache)[0]) == COUNT


@pytest.mark.parametrize("held", [True, False])
def test_stored_views_are_those_drawn_fresh(images, cache, tiny_backbone, encoded, monkeypatch, held: bool) -> None:
    if not held:
        monkeypatch.setattr(source, "MEMORY_FOR_REGIONS", 0)
    augmentation = Augmentation(5, views=3)
    _, stored = open_regions(FreshRegions(tiny_backbone, images, augmentation=augmentation), cache)
    assert encoded == [COUNT] * 3
    fresh = FreshRegions(tiny_backbone, images, augmentation=augmentation)
    for epoch in range(4):
        torch.testing.assert_close(collected(stored, epoch), collected(fresh, epoch), rtol=1e-5, atol=1e-5)
    assert not torch.equal(collected(stored, 0), collected(stored, 1))
    encoded.clear()
    _, again = open_regions(FreshRegions(tiny_backbone, images, augmentation=augmentation), cache)
    assert torch.equal(collected(stored, 3), collected(again, 3))
    assert encoded == []
    open_regions(FreshRegions(tiny_backbone, images, augmentation=Augmentation(6, views=3)), cache)
    open_regions(FreshRegions(tiny_backbone, images), cache)
    open_regions(FreshRegions(tiny_backbone, images, augmentation=Augmentation(5, views=4)), cache)
    assert encoded == [COUNT] * (3 + 1 + 1)


def test_a_view_is_drawn_for_each_image_and_epoch() -> None:
    drawn = np.stack([Augmentation(1, views=4).drawn(200, epoch) for epoch in range(50)])
    assert np.array_equal(drawn[7], Augmentation(1, views=4).drawn(200, 7))
    shares = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    assert np.abs(shares - 0.25).max() < 0.02
    assert np.abs(np.corrcoef(drawn.T)[np.triu_indices(200, 1)]).mean() < 0.2
    assert not np.array_equal(drawn, np.stack([Augmentation(2, views=4).drawn(200, epoch) for epoch in range(50)]))
    assert Augmentation(1).drawn(3, 9).tolist() == [9, 9, 9]


def test_exact_views_and_no_cache_are_not_stored(images, cache, tiny_backbone) -> None:
    fresh = FreshRegions(tiny_backbone, images, augmentation=Augmentation(5))
    assert open_regions(fresh, cache)[1] is fresh
    assert isinstance(open_regions(FreshRegions(tiny_backbone, images), None)[1], InMemoryRegions)
    assert not cache.folder.exists()


def test_without_room_regions_come_from_elsewhere(images, cache, tiny_backbone, monkeypatch) -> None:
    heard = Heard()
    monkeypatch.setattr(extraction, "DISK_LEFT_FREE", 1 << 60)
    _, regions = open_regions(FreshRegions(tiny_backbone, images), cache, reporter=heard)
    assert isinstance(regions, InMemoryRegions)
    assert "no regions are stored" in heard.notes[0]
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert isinstance(open_regions(FreshRegions(tiny_backbone, images), cache, reporter=heard)[1], InMemoryRegions)
    assert "cannot be written" in heard.notes[1]
    assert not cache.folder.exists()


def test_it_says_where_how_much_and_how_long_before_it_starts(images, cache, tiny_backbone) -> None:
    heard = Heard()
    open_regions(FreshRegions(tiny_backbone, images), cache, reporter=heard)
    assert len(heard.notes) == 1
    assert f"encoding 10 views of images once, to be kept in {cache.folder}" in heard.notes[0]
    assert "19.2 kB as float32, about 0 s" in heard.notes[0]
    open_regions(FreshRegions(tiny_backbone, images), cache, reporter=heard)
    assert len(heard.notes) == 1


@pytest.mark.parametrize(("value", "shown"), [(999, "999 bytes"), (1500, "1.5 kB"), (16_500_000_000, "16.5 GB")])
def test_sizes_are_readable(value: int, shown: str) -> None:
    assert extraction.size(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.2, "0 s"), (99, "99 s"), (150, "2 min"), (7260, "2 h 01 min")])
def test_durations_are_readable(value: float, shown: str) -> None:
    assert extraction.duration(value) == shown


def test_a_changed_checkpoint_is_another_tower(images, cache, tiny_backbone, tiny_resnet, tmp_path, encoded) -> None:
    open_regions(FreshRegions(tiny_backbone, images), cache)
    weight = tiny_resnet["visual.conv1.weight"].clone()
    weight[0, 0, 0, 0] += 1e-3
    torch.save(tiny_resnet | {"visual.conv1.weight": weight}, tmp_path / "other.pt")
    other = load_backbone(tmp_path / "other.pt")
    _, stored = open_regions(FreshRegions(other, images), cache)
    assert encoded == [COUNT, COUNT]
    torch.testing.assert_close(collected(stored), collected(FreshRegions(other, images)), rtol=1e-5, atol=1e-5)
