"""A store holds what was committed and nothing else, at whatever byte its writer was stopped."""

import json
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from promptmlr.backbone import load_backbone
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features import RegionStore, store
from promptmlr.reporting import Reporter

COUNT = 7
KEYS = [bytes([index + 1]) * 32 for index in range(COUNT)]


def regions_of(indices: list[int]) -> torch.Tensor:
    return torch.stack([torch.full((5, 96), index + 0.5) for index in indices])


def write(opened: RegionStore, indices: list[int]) -> None:
    with opened.writing(Reporter()):
        opened.append([KEYS[index] for index in indices], regions_of(indices))


def assert_holds(opened: RegionStore, indices: list[int]) -> None:
    """Exactly these, each with its own regions."""
    assert sorted(opened.rows) == [KEYS[index] for index in indices]
    if not indices:
        return
    rows = np.array([opened.rows[KEYS[index]] for index in indices], dtype=np.int64)
    assert torch.equal(opened.format.unpack(opened.format.parts(opened.read(rows))), regions_of(indices))


@pytest.fixture
def opened(tmp_path: Path, tiny_backbone, monkeypatch) -> RegionStore:
    """A store with three rows to a shard, of which it holds 0…4."""
    monkeypatch.setattr(store, "SHARD_BYTES", 3 * 5 * 96 * 4 + 1)
    new = RegionStore(tmp_path, tiny_backbone, "float32")
    write(new, [0, 1])
    write(new, [2, 3, 4])
    return new


def again(opened: RegionStore, backbone) -> RegionStore:
    return RegionStore(opened.folder.parent, backbone, "float32")


def test_rows_are_found_again_in_shards_of_bounded_size(opened: RegionStore, tiny_backbone, monkeypatch) -> None:
    assert_holds(opened, [0, 1, 2, 3, 4])
    sizes = [path.stat().st_size for path in sorted(opened.folder.glob("regions-*.bin"))]
    assert sizes == [3 * 5 * 96 * 4, 2 * 5 * 96 * 4]
    assert json.loads((opened.folder / "store.json").read_text())["tower_dtype"] == "torch.float32"
    monkeypatch.undo()  # the size of shards is the store's, whatever a later version thinks
    reopened = again(opened, tiny_backbone)
    assert_holds(reopened, [0, 1, 2, 3, 4])
    write(reopened, [5, 6])
    assert_holds(again(opened, tiny_backbone), list(range(COUNT)))
    assert len(list(opened.folder.glob("regions-*.bin"))) == 3


@pytest.mark.parametrize("tail", [b"", b"\0" * 50, b"garbage" * 11], ids=["nothing", "zeros", "garbage"])
def test_an_index_cut_at_any_byte_loses_the_cut_record_alone(opened, tiny_backbone, tmp_path, tail: bytes) -> None:
    whole = (opened.folder / "index.bin").read_bytes()
    assert len(whole) == 5 * 40
    for cut in range(0, len(whole) + 1, 5):
        cache = tmp_path / f"cut{cut}"
        shutil.copytree(opened.folder, cache / opened.folder.name)
        (cache / opened.folder.name / "index.bin").write_bytes(whole[:cut] + tail)
        held = list(range(cut // 40))
        reopened = RegionStore(cache, tiny_backbone, "float32")
        assert_holds(reopened, held)
        write(reopened, [6])
        assert_holds(RegionStore(cache, tiny_backbone, "float32"), [*held, 6])


def test_rows_whose_data_is_cut_or_gone_are_not_there(opened: RegionStore, tiny_backbone) -> None:
    shard = opened.folder / "regions-00001.bin"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert_holds(again(opened, tiny_backbone), [0, 1, 2, 3])
    (opened.folder / "regions-00000.bin").unlink()
    assert_holds(again(opened, tiny_backbone), [])


def test_a_lost_row_never_comes_back_with_the_data_of_another(opened, tiny_backbone, monkeypatch) -> None:
    (opened.folder / "regions-00000.bin").unlink()
    reopened = again(opened, tiny_backbone)
    with reopened.writing(Reporter()), monkeypatch.context() as patch:
        real = store.write_at

        def killed_before_the_index(path: Path, offset: int, content: bytes) -> None:
            if path.name == "index.bin":
                raise KeyboardInterrupt
            real(path, offset, content)

        patch.setattr(store, "write_at", killed_before_the_index)
        with pytest.raises(KeyboardInterrupt):
            reopened.append(KEYS[5:7], regions_of([5, 6]))
    assert_holds(again(opened, tiny_backbone), [])


@pytest.mark.parametrize("change", ["swapped", "duplicated", "flipped"])
def test_a_record_is_that_of_its_own_row_alone(opened: RegionStore, tiny_backbone, change: str) -> None:
    """Records that were moved, or a bit in one: that row and those behind it do not exist."""
    index = opened.folder / "index.bin"
    content = bytearray(index.read_bytes())
    one, two, three = (slice(40 * row, 40 * (row + 1)) for row in (1, 2, 3))
    if change == "swapped":
        content[one], content[two] = content[two], content[one]
    elif change == "duplicated":
        content[three] = content[one]
    else:
        content[40 + 33] ^= 1  # in the checksum of the data
    index.write_bytes(content)
    assert_holds(again(opened, tiny_backbone), [0, 1, 2] if change == "duplicated" else [0])


def test_regions_that_changed_on_the_disk_are_not_used(opened: RegionStore, tiny_backbone) -> None:
    shard = opened.folder / "regions-00001.bin"
    content = bytearray(shard.read_bytes())
    content[7] ^= 1
    shard.write_bytes(content)
    damaged = again(opened, tiny_backbone)
    assert damaged.read(np.array([0, 1, 2, 4])).shape[0] == 4
    with pytest.raises(EnvironmentFault, match=r"regions-00001.bin is damaged; remove "):
        damaged.read(np.array([3]))


@pytest.mark.parametrize("removed", ["regions-00001.bin", "index.bin", None])
def test_a_store_that_goes_while_it_is_written_is_noticed(opened: RegionStore, removed: str | None) -> None:
    """Nothing is ever read from the hole that a write behind the end of a file would leave."""
    with opened.writing(Reporter()):
        if removed is None:
            shutil.rmtree(opened.folder)
        else:
            (opened.folder / removed).unlink()
        with pytest.raises(EnvironmentFault, match="removed or cut off while it was written"):
            opened.append(KEYS[5:7], regions_of([5, 6]))


def test_a_store_that_goes_before_it_is_read_is_noticed(opened: RegionStore) -> None:
    shutil.rmtree(opened.folder)
    with pytest.raises(EnvironmentFault, match="removed or cut off meanwhile"):
        opened.read(np.array([0]))


@pytest.mark.parametrize("name", ["index.bin", "unreadable.jsonl"])
def test_what_cannot_be_read_is_named(opened: RegionStore, tiny_backbone, name: str) -> None:
    (opened.folder / name).unlink(missing_ok=True)
    (opened.folder / name).mkdir()
    with pytest.raises(EnvironmentFault, match=f"cannot read .*{name}"):
        again(opened, tiny_backbone)


def test_data_without_a_record_is_overwritten(opened: RegionStore, tiny_backbone) -> None:
    with (opened.folder / "regions-00001.bin").open("ab") as file:
        file.write(b"\x01" * (5 * 96 * 4 + 17))
    write(again(opened, tiny_backbone), [5, 6])
    assert_holds(again(opened, tiny_backbone), list(range(COUNT)))


def test_unreadable_images_are_remembered(opened: RegionStore, tiny_backbone) -> None:
    with opened.writing(Reporter()):
        opened.record_unreadable("a", "a.png", UnreadableImage("a.png: damaged"))
        opened.record_unreadable("b", "b.png", UnreadableImage("b.png: damaged"))
    path = opened.folder / "unreadable.jsonl"
    whole = path.read_bytes()
    assert [json.loads(line)["name"] for line in whole.splitlines()] == ["a.png", "b.png"]
    path.write_bytes(whole[:-1])
    reopened = again(opened, tiny_backbone)
    assert reopened.unreadable == {"a": "a.png: damaged"}
    with reopened.writing(Reporter()):
        reopened.record_unreadable("b", "b.png", UnreadableImage("b.png: damaged"))
    assert path.read_bytes() == whole


def test_another_tower_preprocessing_or_format_is_another_store(tmp_path, tiny_backbone, tiny_resnet, tiny_vit) -> None:
    changed = {key: value + 1e-3 if key.endswith("conv1.weight") else value for key, value in tiny_resnet.items()}
    save_file(changed, tmp_path / "changed.safetensors")
    save_file(tiny_resnet, tmp_path / "same.safetensors")
    save_file(tiny_vit, tmp_path / "vit.safetensors")
    stores = [
        RegionStore(tmp_path, tiny_backbone, "float32"),
        RegionStore(tmp_path, tiny_backbone, "float16"),
        RegionStore(tmp_path, load_backbone(tmp_path / "changed.safetensors"), "float32"),
        RegionStore(tmp_path, load_backbone(tmp_path / "same.safetensors", image_size=96), "float32"),
        RegionStore(tmp_path, load_backbone(tmp_path / "same.safetensors", dtype=torch.bfloat16), "float32"),
        RegionStore(tmp_path, load_backbone(tmp_path / "vit.safetensors"), "float32"),
        RegionStore(tmp_path, load_backbone(tmp_path / "vit.safetensors", quick_gelu=False), "float32"),
    ]
    assert len({each.folder for each in stores}) == len(stores)
    same = RegionStore(tmp_path, load_backbone(tmp_path / "same.safetensors"), "float32")
    assert same.folder == stores[0].folder


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 99}', "[]"])
def test_a_damaged_description_is_named(opened: RegionStore, tiny_backbone, content: str) -> None:
    (opened.folder / "store.json").write_text(content)
    with pytest.raises(UserError, match=r"store\.json.*remove"):
        again(opened, tiny_backbone)


def test_opening_writes_nothing(tmp_path: Path, tiny_backbone) -> None:
    assert RegionStore(tmp_path / "new", tiny_backbone, "int8").rows == {}
    assert not (tmp_path / "new").exists()


def test_a_second_writer_waits_and_sees_what_the_first_wrote(opened: RegionStore, tiny_backbone) -> None:
    first, second = again(opened, tiny_backbone), again(opened, tiny_backbone)
    notes = []

    class Releasing(Reporter):
        def note(self, message: str) -> None:
            notes.append(message)
            first.append(KEYS[5:6], regions_of([5]))
            writing.__exit__(None, None, None)

    writing = first.writing(Reporter())
    writing.__enter__()
    with second.writing(Releasing()):
        assert len(notes) == 1
        assert "waiting for another process" in notes[0]
        assert_holds(second, [0, 1, 2, 3, 4, 5])
        second.append(KEYS[6:7], regions_of([6]))
    assert_holds(again(opened, tiny_backbone), list(range(COUNT)))


def test_a_writer_that_writes_nothing_is_not_waited_for_without_end(
    opened: RegionStore, tiny_backbone, monkeypatch
) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.3)
    first, second = again(opened, tiny_backbone), again(opened, tiny_backbone)
    held = f"{opened.folder / 'lock'} is held by process {os.getpid()} on {socket.gethostname()}"
    with (
        first.writing(Reporter()),
        pytest.raises(UserError, match=re.escape(held)),
        second.writing(Reporter()),
    ):
        pass
    assert_holds(again(opened, tiny_backbone), [0, 1, 2, 3, 4])


def test_a_record_is_written_after_its_rows(opened: RegionStore, monkeypatch) -> None:
    order, real = [], store.write_at
    monkeypatch.setattr(store, "write_at", lambda path, *rest: (order.append(path.name), real(path, *rest)))
    write(opened, [5, 6])
    assert order == ["index.bin", "regions-00001.bin", "regions-00002.bin", "index.bin"]
