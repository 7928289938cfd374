"""Ctrl-C that is never lost."""

import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["never_lost"]

A_MOMENT = 0.01  # seconds, after which the program is where it can be interrupted


@contextmanager
def never_lost() -> Iterator[None]:
    """Within the block, Ctrl-C ends it with a KeyboardInterrupt, wherever it hits; in the main thread.

    Where nothing can be raised (in a destructor or a callback of C) Python would print a traceback and go on with the
    work: there it comes again. Libraries that are written in other languages may make an error of their own of it:
    whatever error the block ends with after Ctrl-C is taken for Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    hook, handler, inside, heard = sys.unraisablehook, signal.getsignal(signal.SIGINT), True, False

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if ignored.exc_type is not KeyboardInterrupt:
            hook(ignored)
        elif inside:
            threading.Timer(A_MOMENT, interrupt_main).start()

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        signal.default_int_handler(number, frame)

    own = handler is signal.default_int_handler  # else it is ignored, as under nohup, or somebody else's
    sys.unraisablehook = again
    if own:
        signal.signal(signal.SIGINT, hear)
    try:
        yield
    except Exception as error:
        if heard:
            raise KeyboardInterrupt from error
        raise
    finally:
        inside, sys.unraisablehook = False, hook
        if own:
            signal.signal(signal.SIGINT, handler)
