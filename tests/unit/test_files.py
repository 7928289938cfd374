"""A file is written whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from promptmlr.errors import EnvironmentFault
from promptmlr.files import check_writable, new_folder, replacing, write_at, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path) -> None:
    write_bytes(tmp_path / "new" / "deep" / "a.bin", b"\x00\xff")
    write_text(tmp_path / "b.txt", "é\r\n\n")
    assert (tmp_path / "new" / "deep" / "a.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b.txt").read_bytes() == "é\r\n\n".encode()
    assert names(tmp_path) == ["b.txt", "new"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_on_the_way_leaves_the_old_file(tmp_path, error: BaseException) -> None:
    write_text(tmp_path / "a.txt", "old")

    def interrupted() -> None:
        with replacing(tmp_path / "a.txt", "w") as file:
            file.write("new, but only ha")
            file.flush()
            assert (tmp_path / "a.txt").read_text() == "old"
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call: str) -> None:
    write_text(tmp_path / "a.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    with pytest.raises(EnvironmentFault, match=r"cannot write .*a\.txt: No space left on device; free some") as fault:
        write_text(tmp_path / "a.txt", "new")
    assert "\n" not in str(fault.value)
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_that_shows_while_writing(tmp_path) -> None:
    def written() -> None:
        with replacing(tmp_path / "a.txt") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EnvironmentFault, match="No space left"):
        written()
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    nameless = Path(), Path("folder/..")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "folder", tmp_path / ("x" * 300), *nameless):
        with pytest.raises(EnvironmentFault, match="cannot write") as fault:
            write_text(path, "new")
        assert "\n" not in str(fault.value)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_what_can_be_written_is_found_out_beforehand(tmp_path) -> None:
    check_writable(tmp_path / "new" / "page.html")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        check_writable(tmp_path / "file" / "page.html")


def test_the_umask_of_other_threads_stays(tmp_path, monkeypatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "umask", lambda mask: calls.append(mask) or 0o022)
    write_text(tmp_path / "a.txt", "x")
    with new_folder(tmp_path / "b"):
        pass
    assert calls == []


def test_what_is_private_is_so_from_its_first_byte_on(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.touch(0o600)
    with replacing(path, like=path.stat()) as file:
        file.write(b"secret")
        assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_permissions_can_be_those_of_the_file_before(tmp_path, mode: int) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(mode)
    with replacing(path, like=path.stat()) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("refused", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_no_fault(tmp_path, monkeypatch, refused: str) -> None:
    """Windows opens no folder, and some file systems sync none; the file is whole either way."""
    real = getattr(os, refused)

    def refusing(target, *rest, **options):
        if Path(f"/proc/self/fd/{target}" if refused == "fsync" else target).is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(target, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, refused, refusing)
        with pytest.raises(OSError, match="Invalid"):
            os.fsync(os.open(tmp_path, os.O_RDONLY))
        write_text(tmp_path / "a.txt", "whole")
        write_at(tmp_path / "b.bin", 0, b"whole")
        with new_folder(tmp_path / "c"):
            pass
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b.bin").read_text() == "whole"
    assert (tmp_path / "c").is_dir()
