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


def test_other_errors_there_are_said_as_before(monkeypatch) -> None:
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: heard.append(ignored.exc_type))
    with never_lost():
        Broken()
    assert heard == [ValueError]
