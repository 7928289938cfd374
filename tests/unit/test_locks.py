"""One process at a time, and what is said of whoever holds the lock; on file systems without locks as well."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from errno import ENOSYS
from pathlib import Path

import pytest

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.locks import only_process

NO_LOCKS = """
import errno, fcntl, os, sys
from pathlib import Path
from promptmlr.locks import only_process
def flock(*_): raise OSError(errno.ENOSYS, "")
if sys.argv[2] == "no locks": fcntl.flock = flock
with only_process(Path(sys.argv[1]), "busy"): os._exit(1)
"""


@pytest.fixture
def without_locks(monkeypatch) -> None:
    """A file system that knows no locks, as some that come over a network."""

    def flock(*_: object) -> None:
        raise OSError(ENOSYS, os.strerror(ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture(params=["locks", "no locks"])
def file_system(request) -> str:
    if request.param == "no locks":
        request.getfixturevalue("without_locks")
    return request.param


@pytest.mark.usefixtures("file_system")
def test_a_lock_is_waited_for_as_long_as_that_is_wanted(tmp_path) -> None:
    lock, inside = tmp_path / "lock", threading.Event()

    def hold() -> None:
        with only_process(lock, "busy"):
            inside.set()
            time.sleep(1)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(UserError, match="busy"), only_process(lock, "busy"):
        pass
    with only_process(lock, "busy", patience=20):
        assert True
    thread.join()


@pytest.mark.usefixtures("file_system")
def test_who_holds_it_is_named(tmp_path) -> None:
    lock = tmp_path / "lock"
    with only_process(lock, ""), pytest.raises(UserError) as error, only_process(lock, "busy"):
        pass
    assert str(error.value).startswith(f"busy ({lock} is held by process {os.getpid()} on {socket.gethostname()}")
    assert "\n" not in str(error.value)


def test_what_a_killed_process_left_is_taken_over(tmp_path, file_system: str) -> None:
    lock = tmp_path / "lock"
    subprocess.run([sys.executable, "-c", NO_LOCKS, str(lock), file_system], check=False)
    assert str(os.getpid()) not in lock.read_text()
    with only_process(lock, "busy"):
        assert lock.read_text().split()[0] == str(os.getpid())


@pytest.mark.usefixtures("without_locks")
def test_of_a_process_on_another_host_the_host_the_process_and_the_file_are_named(tmp_path) -> None:
    """Nobody here knows whether it lives, so a person has to say so."""
    lock = tmp_path / "lock"
    lock.write_text("17\ngone.example.org\n")
    with pytest.raises(UserError) as error, only_process(lock, "busy"):
        pass
    assert str(error.value) == (
        f"busy ({lock} is held by process 17 on gone.example.org; if that runs no more, remove the file)"
    )
    lock.unlink()
    with only_process(lock, "busy"):
        assert lock.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can make a file")
def test_a_folder_where_no_lock_can_be_made_is_no_busy_one() -> None:
    with (
        pytest.raises(EnvironmentFault, match=r"cannot write /proc/self: .*; name another place") as error,
        only_process(Path("/proc/self/lock"), "busy", 60),
    ):
        pass
    assert "busy" not in str(error.value)


def test_the_wait_goes_on_as_long_as_the_other_process_gets_on(tmp_path) -> None:
    lock, waits, calls = tmp_path / "lock", [], []

    def progress() -> int:
        calls.append(time.monotonic())
        return min(len(calls), 8)  # gets on until then

    begin = time.monotonic()
    with (
        only_process(lock, ""),
        pytest.raises(UserError, match="busy"),
        only_process(lock, "busy", 0.5, progress=progress, on_wait=lambda: waits.append(0)),
    ):
        pass
    assert len(waits) == 1
    assert len(calls) > 8
    assert time.monotonic() - begin > 0.5 + 3 * 0.1
