"""One of several processes on the command line (`torchrun`): only the first speaks, and only `train` knows what to do.

What `torchrun` says stands in the environment; nothing heavy is imported for it.
"""

import os
import time

from promptmlr.errors import UserError

__all__ = ["check_verb", "is_first", "let_first_speak"]

VERB = "train"
A_MOMENT = 20.0  # seconds, within which torchrun, once one has failed, ends all others even on a busy machine


def _is_one_of_several() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ


def is_first() -> bool:
    """Whether this process is alone, or the first of several."""
    return not _is_one_of_several() or os.environ["RANK"] == "0"


def check_verb(words: list[str]) -> None:
    """Refuse to do the same work in all of several processes.

    Raises:
        UserError: they are called for something else than `train`.
    """
    if _is_one_of_several() and VERB not in words[:1]:
        called = words[0] if words else "promptmlr"
        raise UserError(f"torchrun is for `promptmlr {VERB}`; call {called} without it: one process does all of it")


def let_first_speak() -> None:
    """Before a process that fails says why: the same failure may end the first one, which says it for all."""
    if not is_first():
        time.sleep(A_MOMENT)
