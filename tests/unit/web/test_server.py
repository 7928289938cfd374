"""A service that the system leaves too little for."""

import errno
import logging
from pathlib import Path

import pytest

from promptmlr.errors import EnvironmentFault
from promptmlr.web import server
from promptmlr.web.server import Server, listen


async def nobody(_scope, _receive, _send) -> None:
    """Answers nothing."""


def test_it_does_not_begin_without_files(monkeypatch) -> None:
    made, few = Server(nobody, listen("127.0.0.1", 0)), iter(range(5))

    def opened(path: str):
        if next(few, None) is None:
            raise OSError(errno.EMFILE, "Too many open files")
        return Path(path).open()

    monkeypatch.setattr(server, "open", opened, raising=False)
    monkeypatch.setattr(made._server, "run", lambda **_: pytest.fail("it began"))
    with pytest.raises(EnvironmentFault, match="cannot serve: Too many open files; allow more with ulimit -n"):
        made.run()


def test_what_the_loop_says_is_one_line(capsys) -> None:
    with listen("127.0.0.1", 0) as bound:
        Server(nobody, bound)
    text = "socket.accept() out of system resource\nsocket: 7"
    why = OSError(errno.EMFILE, "Too many open files")
    logging.getLogger("asyncio").error(text, exc_info=(type(why), why, None))
    assert capsys.readouterr().err == "socket.accept() out of system resource\n"
