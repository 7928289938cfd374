"""Ctrl-C that hits where Python lets nothing be raised."""

import signal
import sys
import time

import pytest

from promptmlr.cli.interrupts import never_lost


class Interrupted:
    """Is interrupted while it is destroyed."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Broken:
    def __del__(self) -> None:
        raise ValueError("mine")


def test_ctrl_c_in_a_destructor_is_heard_a_moment_later() -> None:
    hook, reached = sys.unraisablehook, []

    def work() -> None:
        with never_lost():
            Interrupted()
            reached.append("what comes after")
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert sys.unraisablehook is hook


def test_ctrl_c_that_a_library_made_an_error_of_its_own_is_ctrl_c() -> None:
    def work(message: str, interrupted: bool) -> None:
        with never_lost():
            try:
                if interrupted:
                    signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass
            raise ValueError(message)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work("KeyboardInterrupt: ", True)
    with pytest.raises(ValueError, match="its own"):
        work("its own", False)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with never_lost():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_errors_there_are_said_as_before(monkeypatch) -> None:
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: heard.append(ignored.exc_type))
    with never_lost():
        Broken()
    assert heard == [ValueError]
