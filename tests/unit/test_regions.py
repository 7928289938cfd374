"""Region sources: fresh and in memory give the same numbers, whatever the threads do."""

import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from promptmlr.augmentation import Augmentation
from promptmlr.data.images import UnreadableImage
from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import (
    FreshRegions,
    InMemoryRegions,
    automatic_batch_size,
    encode_stream,
    extract,
    index_batches,
    map_ahead,
)
from promptmlr.training import fit


@dataclass(frozen=True)
class Picture:
    """Noise of its own, or nothing that could be read."""

    index: int
    readable: bool = True

    @property
    def name(self) -> str:
        return f"picture {self.index}"

    def open(self) -> Image.Image:
        if not self.readable:
            raise UnreadableImage(f"{self.name}: damaged")
        noise = np.random.default_rng(self.index).integers(0, 256, size=(20 + self.index, 30, 3), dtype=np.uint8)
        return Image.fromarray(noise)


PICTURES = [Picture(index) for index in range(10)]
SOME_DAMAGED = [Picture(index, readable=index not in (0, 4, 5)) for index in range(10)]
PLAN = [np.array([3, 1, 2]), np.array([4, 5]), np.array([0, 9])]


def collected(source, epoch: int = 0) -> list[tuple[list[int], torch.Tensor]]:
    return [(indices.tolist(), regions) for indices, regions in source.batches(PLAN, epoch)]


def test_fresh_regions_are_those_of_the_backbone(tiny_backbone) -> None:
    source = FreshRegions(tiny_backbone, PICTURES)
    assert len(source) == 10
    for (indices, regions), planned in zip(collected(source), PLAN, strict=True):
        assert indices == planned.tolist()
        pixels = torch.stack([tiny_backbone.preprocessing.pixels(PICTURES[index].open()) for index in indices])
        expected = tiny_backbone.encode_image(tiny_backbone.preprocessing.normalise(pixels))
        torch.testing.assert_close(regions, expected)


@pytest.mark.parametrize("augmentation", [None, Augmentation(3)])
def test_the_number_of_threads_changes_nothing(tiny_backbone, augmentation) -> None:
    one, *others = (
        collected(FreshRegions(tiny_backbone, PICTURES, augmentation=augmentation, workers=workers), epoch=2)
        for workers in (0, 1, 4)
    )
    for other in others:
        for (indices, regions), (other_indices, other_regions) in zip(one, other, strict=True):
            assert indices == other_indices
            assert torch.equal(regions, other_regions)


def test_augmented_views_change_with_the_epoch_alone(tiny_backbone) -> None:
    source = FreshRegions(tiny_backbone, PICTURES, augmentation=Augmentation(3))
    first, again, later = collected(source, 0), collected(source, 0), collected(source, 1)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for (_, a), (_, b) in zip(first, later, strict=True))


def test_in_memory_regions_are_picked_by_index() -> None:
    regions = torch.arange(60.0).reshape(10, 2, 3)
    source = InMemoryRegions(regions)
    assert len(source) == 10
    for (indices, picked), planned in zip(collected(source), PLAN, strict=True):
        assert indices == planned.tolist()
        assert torch.equal(picked, regions[indices])


def test_extracted_regions_train_to_the_same_weights_as_fresh_ones(tiny_backbone) -> None:
    fresh = FreshRegions(tiny_backbone, PICTURES)
    kept, memory = extract(fresh, batch_size=4)
    assert kept.tolist() == list(range(10))
    labels = np.random.default_rng(0).integers(-1, 2, size=(10, 2)).astype(np.int8)
    recipe = load_recipe("default", "positivecoop", context_length=2, epochs=2, batch_size=4)
    trained = []
    for source in (fresh, memory):
        recognizer = create_recognizer("positivecoop", tiny_backbone, ["dog", "cat"], context_length=2)
        fit(recognizer, source, labels, recipe)
        trained.append(recognizer.state_dict())
    for name in trained[0]:
        torch.testing.assert_close(trained[0][name], trained[1][name], rtol=1e-4, atol=1e-5)


def test_an_unreadable_image_stops_or_is_left_out(tiny_backbone) -> None:
    with pytest.raises(UnreadableImage, match="picture 4: damaged"):
        collected(FreshRegions(tiny_backbone, SOME_DAMAGED))
    source = FreshRegions(tiny_backbone, SOME_DAMAGED, skip_unreadable=True)
    batches = collected(source)
    assert [indices for indices, _ in batches] == [[3, 1, 2], [9]]
    assert [len(regions) for _, regions in batches] == [3, 1]
    assert sorted(source.unreadable) == [0, 4, 5]
    ninth = collected(FreshRegions(tiny_backbone, PICTURES))[2][1][1]
    torch.testing.assert_close(batches[1][1][0], ninth, rtol=1e-4, atol=1e-4)


def test_extraction_says_which_images_it_could_read(tiny_backbone) -> None:
    progress = []
    source = FreshRegions(tiny_backbone, SOME_DAMAGED, skip_unreadable=True)
    kept, memory = extract(source, batch_size=3, progress=lambda *step: progress.append(step))
    assert kept.tolist() == [1, 2, 3, 6, 7, 8, 9]
    assert len(memory) == 7
    assert progress[-1] == (7, 10)
    with pytest.raises(UnreadableImage, match="no image could be read"):
        extract(FreshRegions(tiny_backbone, [SOME_DAMAGED[0]], skip_unreadable=True))


def test_a_stream_keeps_order_and_says_what_it_could_not_read(tiny_backbone) -> None:
    batches = list(encode_stream(tiny_backbone, iter(SOME_DAMAGED), batch_size=2))
    assert [image for images, _, _ in batches for image in images] == SOME_DAMAGED
    assert [str(error) if error else None for _, errors, _ in batches for error in errors] == [
        None if picture.readable else f"{picture.name}: damaged" for picture in SOME_DAMAGED
    ]
    assert [0 if regions is None else len(regions) for _, _, regions in batches] == [1, 2, 0, 2, 2]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_map_ahead_keeps_the_order(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_ahead(work, range(100), workers, ahead=20)) == [item * item for item in range(100)]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_map_ahead_takes_a_bounded_number_of_items(workers: int) -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = map_ahead(lambda item: item, endless(), workers, ahead=20)
    assert [next(results) for _ in range(3)] == [1, 2, 3]
    assert taken <= 3 + 20
    results.close()


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_map_ahead_passes_on_what_goes_wrong_and_ends_its_threads(workers: int) -> None:
    def work(item: int) -> int:
        if item == 7:
            raise LookupError("seven")
        return item

    seen = []
    with pytest.raises(LookupError, match="seven"):
        seen.extend(map_ahead(work, range(1000), workers, ahead=20))
    assert seen == list(range(7))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_batches_of_indices_end_with_the_rest() -> None:
    assert [batch.tolist() for batch in index_batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert index_batches(0, 2) == []


def test_a_stream_decodes_the_next_batch_while_one_is_in_the_tower(tiny_backbone, monkeypatch) -> None:
    begun, real = set(), type(tiny_backbone).encode_image

    class Watched(Picture):
        def open(self) -> Image.Image:
            begun.add(self.index)
            return super().open()

    def patient(self, images):
        number = len(batches)
        limit = time.monotonic() + 10
        while number < 3 and not begun >= set(range(2 * number + 2, 2 * number + 4)):
            assert time.monotonic() < limit, "nothing is decoded while the tower works"
            time.sleep(0.001)
        batches.append(len(images))
        return real(self, images)

    batches = []
    monkeypatch.setattr(type(tiny_backbone), "encode_image", patient)
    list(encode_stream(tiny_backbone, (Watched(index) for index in range(8)), batch_size=2, workers=1))
    assert batches == [2, 2, 2, 2]


def test_the_automatic_batch_shrinks_with_the_image(tiny_backbone) -> None:
    sizes = [
        automatic_batch_size(SimpleNamespace(image_size=size, device=torch.device(device)))
        for size, device in ((64, "cpu"), (224, "cpu"), (448, "cpu"), (448, "cuda"), (8000, "cpu"))
    ]
    assert sizes == [256, 128, 32, 256, 1]
