"""Ctrl-C that is never lost."""

import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["never_lost"]

A_MOMENT = 0.01  # seconds, after which the program is where it can be interrupted


@contextmanager
def never_lost() -> Iterator[None]:
    """Within the block, Ctrl-C that hits where nothing can be raised (in a destructor or a callback of C) comes again.

    Python would print a traceback, and go on with the work.
    """
    before, inside = sys.unraisablehook, True

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if ignored.exc_type is not KeyboardInterrupt:
            before(ignored)
        elif inside:
            threading.Timer(A_MOMENT, interrupt_main).start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        inside, sys.unraisablehook = False, before
