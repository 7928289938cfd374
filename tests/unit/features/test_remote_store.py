"""A store at a URL holds whole shards and nothing else, and the disk holds a bounded part of them."""

import copy
import errno
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from promptmlr.augmentation import Augmentation
from promptmlr.data.images import ImageFile, UnreadableImage
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features import RegionCache, StoredRegions, copies, open_regions, remote_store, source
from promptmlr.features.copies import LocalCopies
from promptmlr.features.remote_store import RemoteStore
from promptmlr.labels import UNKNOWN
from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter
from promptmlr.training import TrainingState, fit
from support import draw_photos

ROW = 5 * 96 * 4  # bytes
URL = "memory://regions"
KEYS = [bytes([index + 1]) * 32 for index in range(100)]


def regions_of(indices) -> torch.Tensor:
    return torch.stack([torch.full((5, 96), index + 0.5) for index in indices])


@pytest.fixture(autouse=True)
def empty() -> None:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def opened(tmp_path: Path, tiny_backbone):
    """Opens the store: three rows to a shard, and room for four of these on the disk."""

    def new() -> RemoteStore:
        return RemoteStore(URL, tiny_backbone, "float32", LocalCopies(tmp_path / "copies", 12 * ROW), 3 * ROW + 1)

    return new


def write(store: RemoteStore, indices) -> None:
    with store.writing(Reporter()):
        store.append([KEYS[index] for index in indices], regions_of(indices))


def assert_holds(store: RemoteStore, indices) -> None:
    assert sorted(store.rows) == [KEYS[index] for index in indices]
    rows = np.array([store.rows[KEYS[index]] for index in indices], dtype=np.int64)
    assert torch.equal(store.format.unpack(store.format.parts(store.read(rows))), regions_of(indices))


def files(pattern: str) -> list[str]:
    return sorted(fsspec.filesystem("memory").glob(f"{URL}/*/{pattern}"))


def test_rows_are_found_again_in_shards_of_the_stated_size(opened) -> None:
    write(opened(), range(5))
    write(opened(), range(5, 7))
    assert_holds(opened(), range(7))
    system = fsspec.filesystem("memory")
    assert [system.size(name) for name in files("regions-*")] == [3 * ROW, 2 * ROW, 2 * ROW]
    assert len(files("store.json")) == 1


def test_copies_never_take_more_than_they_may(opened, tmp_path) -> None:
    write(opened(), range(30))
    store = opened()
    for _ in range(3):
        assert_holds(store, range(30))
        held = [path for path in (tmp_path / "copies").iterdir() if path.suffix == "" and path.name != "lock"]
        assert 0 < sum(path.stat().st_size for path in held) <= 12 * ROW
    store.read(np.arange(3))
    fsspec.filesystem("memory").rm(f"{URL}/", recursive=True)
    store.read(np.arange(3))  # what was used last is still here
    with pytest.raises(UserError, match="no such file"):
        store.read(np.arange(12, 15))


def test_one_shard_must_fit(tmp_path, tiny_backbone, opened) -> None:
    write(opened(), range(3))
    small = RemoteStore(URL, tiny_backbone, "float32", LocalCopies(tmp_path / "small", 3 * ROW - 1))
    with pytest.raises(UserError, match=r"--cache-size is 5,759 bytes, and one shard has 5,760; give it more"):
        small.read(np.arange(3))


def test_a_shard_without_an_index_is_not_there(opened, monkeypatch) -> None:
    write(opened(), range(3))
    real = remote_store.storing

    def dies_before_the_index(url: str):
        if "/index-" in url:
            raise KeyboardInterrupt
        return real(url)

    with monkeypatch.context() as patch:
        patch.setattr(remote_store, "storing", dies_before_the_index)
        with pytest.raises(KeyboardInterrupt):
            write(opened(), range(3, 6))
    assert len(files("regions-*")) == 2
    assert_holds(opened(), range(3))
    write(opened(), range(3, 6))
    assert_holds(opened(), range(6))


def test_what_was_encoded_before_an_interruption_stays(opened) -> None:
    store = opened()

    def interrupted() -> None:
        with store.writing(Reporter()):
            store.append(KEYS[:4], regions_of(range(4)))
            store.record_unreadable("f", "a.png", UnreadableImage("a.png: no image"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_holds(opened(), range(4))
    assert opened().unreadable == {"f": "a.png: no image"}


def test_two_writers_at_once_do_not_meet(opened) -> None:
    one, other = opened(), opened()
    with one.writing(Reporter()), other.writing(Reporter()):
        one.append(KEYS[:4], regions_of(range(4)))
        other.append(KEYS[2:7], regions_of(range(2, 7)))
    assert_holds(opened(), range(7))


def test_damage_is_noticed(opened, tmp_path) -> None:
    write(opened(), range(3))
    [name] = files("regions-*")
    system = fsspec.filesystem("memory")
    content = bytearray(system.cat(name))
    content[100] ^= 1
    system.pipe_file(name, bytes(content))
    with pytest.raises(EnvironmentFault, match="is damaged; remove both"):
        opened().read(np.arange(3))
    system.pipe_file(name, bytes(content[:-1]))
    store = opened()
    for copy_ in (tmp_path / "copies").iterdir():
        copy_.unlink()
    with pytest.raises(EnvironmentFault, match=r"has 5,759 bytes and not 5,760"):
        store.read(np.arange(3))


def test_a_full_disk_is_a_line_and_leaves_nothing(opened, tmp_path, monkeypatch) -> None:
    write(opened(), range(3))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copies.shutil, "copyfileobj", full)
    with pytest.raises(EnvironmentFault, match=r"cannot write .*No space left on device; free some space"):
        opened().read(np.arange(3))
    assert {path.suffix for path in (tmp_path / "copies").iterdir()} <= {".lock", ""}
    assert not [path for path in (tmp_path / "copies").iterdir() if path.stat().st_size > 1_000]


def test_many_threads_bring_a_shard_once(opened, monkeypatch) -> None:
    write(opened(), range(12))
    brought = []
    real = copies.opened
    monkeypatch.setattr(copies, "opened", lambda url: (brought.append(url), real(url))[1])
    store = opened()
    threads = [threading.Thread(target=store.read, args=(np.arange(12),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(brought) == len(set(brought)) == 4


class Counted(StoredRegions):
    """Notes which images are read."""

    def __init__(self, store, count: int) -> None:
        super().__init__(store, np.arange(count)[None], by_shard=True)
        self.seen: list[int] = []

    def batches(self, plan, epoch=0):
        self.seen += [int(index) for batch in plan for index in batch]
        return super().batches(plan, epoch)


def test_training_reads_images_with_a_known_label_once_and_goes_on(opened, tmp_path, tiny_backbone) -> None:
    """An interrupted run, resumed, ends at the weights of one that was not; images without a label are never read."""
    count = 60
    write(opened(), range(count))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=(count, 2)).astype(np.int8)
    labels[::3] = UNKNOWN
    recipe = load_recipe("default", "baseline", epochs=4, batch_size=7)
    begin = create_recognizer("baseline", tiny_backbone, ["cat", "dog"], **recipe.start_options())
    store = RemoteStore(URL, tiny_backbone, "float32", LocalCopies(tmp_path / "copies", 48 * ROW))

    whole, source_ = copy.deepcopy(begin), Counted(store, count)
    fit(whole, source_, labels, recipe)
    assert sorted(source_.seen) == sorted([index for index in range(count) if index % 3] * 4)

    class Stop(Exception):
        pass

    states: list[TrainingState] = []

    def stop(report, state: TrainingState) -> None:
        states.append(copy.deepcopy(state))
        if report.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(copy.deepcopy(begin), Counted(store, count), labels, recipe, on_epoch=stop)
    resumed = copy.deepcopy(begin)
    fit(resumed, Counted(store, count), labels, recipe, state=states[-1])
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)


@pytest.mark.parametrize(("sampling", "by_shard"), [("shuffle", False), ("auto", True), ("shards", True)])
def test_what_does_not_fit_memory_is_gone_through_by_shard(
    tmp_path, tiny_backbone, monkeypatch, sampling: str, by_shard: bool
) -> None:
    drawn_images = [ImageFile(path) for path, _ in draw_photos(tmp_path / "photos", 10)]
    monkeypatch.setattr(source, "MEMORY_FOR_REGIONS", 0)
    cache = RegionCache(tmp_path, "float32", url=URL, shard_bytes=2 * ROW, sampling=sampling)
    augmentation = Augmentation(0, 2)
    _, found = open_regions(FreshRegions(tiny_backbone, drawn_images, augmentation=augmentation), cache)
    assert (found.shards(0) is not None) == by_shard
    for epoch in (0, 1):
        if by_shard:
            views = augmentation.drawn(len(drawn_images), epoch)
            np.testing.assert_array_equal(found.shards(epoch), found.rows[views, np.arange(len(views))] // 2)
        [(_, stored)] = found.batches([np.arange(len(drawn_images))], epoch)
        assert stored.shape == (len(drawn_images), 5, 96)
    small = RegionCache(tmp_path / "small", "float32", url=URL, copies_bytes=4 * ROW, sampling=sampling)
    again = FreshRegions(tiny_backbone, drawn_images, augmentation=augmentation)
    if by_shard:
        with pytest.raises(UserError, match="--cache-size has room for 2 shards of memory://"):
            open_regions(again, small)
    else:
        assert len(open_regions(again, small)[0]) == len(drawn_images)
