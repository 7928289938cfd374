"""The command line: one short file per verb. Nothing heavy is imported before a verb runs."""

import errno
import io
import itertools
import os
import sys
from typing import NoReturn, get_args

from cyclopts import App, ArgumentCollection, CoercionError, CycloptsError, Group, Parameter
from cyclopts.help import DefaultFormatter

from promptmlr.cli.help import ALL, Short
from promptmlr.cli.interrupts import never_lost
from promptmlr.cli.several import check_verb, let_first_speak
from promptmlr.errors import EnvironmentFault, UnreadableImage, UserError
from promptmlr.options.data import Unclear

__all__ = ["app", "main"]

SKIPPING = "--skip-unreadable"
INTERRUPTED = 130  # what shells say of Ctrl-C

_OF_THE_SYSTEM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.EFBIG,
    errno.EIO,
)

VERBS = {
    "Start here": ("demo",),
    "Your data": (
        "inspect",
        "convert",
        "cache",
        "suggest",
        "audit",
    ),
    "Train and use": (
        "train",
        "evaluate",
        "predict",
        "learning_curve",
        "serve",
        "export",
        "push",
    ),
    "Lists": (
        "runs",
        "methods",
        "backbones",
    ),
    "The paper": (
        "paper.compare",
        "paper.reproduce",
        "paper.cost",
        "explain",
        "paper.probe_text",
        "paper.probe_captions",
        "paper.experiment",
        "paper.cut_out",
        "paper.pretrain_scenes",
    ),
}
"""Heading → modules below this one; the function of a module's name is the verb."""


def _version() -> str:
    from promptmlr import __version__

    return f"promptmlr {__version__}"


def _shown(default: object) -> str | None:
    """What help says of a default: nothing where an option is simply not given."""
    return None if default in (None, False, ()) else str(default)


def _check_whole_numbers(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse 1.5 where a whole number is asked for: cyclopts would round it.

    Raises:
        CoercionError: as for any other word that is no number.
    """
    for argument in arguments:
        if int in (argument.hint, *get_args(argument.hint)):
            for token in argument.tokens:
                if "." in token.value:
                    raise CoercionError(argument=argument, token=token, target_type=int)


app = App(
    name="promptmlr",
    help="Tag photos with every class that applies, learning from a table with blank cells.",
    version=_version,
    help_flags=("-h", "--help"),
    default_parameter=Parameter(negative=(), show_default=_shown, allow_repeating=True),
    group_parameters=Group("Options", sort_key=0),
    print_error=False,
    exit_on_error=False,
    verbose=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
    config=_check_whole_numbers,
)
for place, (heading, modules) in enumerate(VERBS.items()):
    group = Group(heading, sort_key=place)
    for number, module in enumerate(modules):
        verb = module.rpartition(".")[2]
        path, name = f"promptmlr.cli.{module}:{verb}", verb.replace("_", "-")
        app.command(path, name=name, group=group, sort_key=number)


def main() -> None:
    """Run the command line; every failure a person can meet is one line and an exit code.

    2: a mistake of the user; 1: the environment (disk, memory, network); 130: Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # of a terminal that cannot write …; stderr escapes such letters itself
    try:
        with never_lost():
            _run(sys.argv[1:])
        sys.stdout.flush()
    except CycloptsError as error:  # a wrong command line
        _leave(f"{str(error).removesuffix('.')} (see --help)", 2)
    except UnreadableImage as error:
        _leave(str(error) + _way_around(), 2)
    except Unclear as error:
        _show_readings(error)
    except UserError as error:
        _leave(str(error), 2)
    except EnvironmentFault as error:
        _leave(str(error), 1)
    except MemoryError:
        _leave("out of memory; use a smaller --batch-size or --image-size", 1)
    except BrokenPipeError:  # `promptmlr … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _leave(f"{str(error.filename)[:80]}…: {error.strerror}; give a shorter path", 2)
        if error.filename is None and error.errno not in _OF_THE_SYSTEM:  # a named file is no mistake of the program
            raise
        _leave(f"{error.filename or 'the output'}: {error.strerror}", 1)
    except RuntimeError as error:
        if not any(words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")):
            raise
        _leave("out of memory; use a smaller --batch-size or --image-size", 1)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)
    sys.exit(0)


def _run(words: list[str]) -> None:
    if not words or words[0].startswith("-"):  # the help of all verbs quotes each, and so needs their files
        for verb in app:
            app[verb]
    if not words:
        app.help_print([])
        sys.exit(2)
    check_verb(words)
    _show_help(words) if {"-h", "--help"} & set(words) else app(words)


def _show_help(words: list[str]) -> None:
    """On one screen, or all of it: cyclopts' own flag knows no `--all`."""
    verb = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    short = Short()
    app.help_formatter = DefaultFormatter() if ALL in words else short
    app([*verb, "--help"])
    if short.shortened:
        print(f"\npromptmlr {' '.join(verb)} --help --all explains these.")


def _way_around() -> str:
    """How the verb that was called leaves unreadable images out, if it can and was not told to."""
    verb = next(argument for argument in sys.argv[1:] if not argument.startswith("-"))
    known = {name for argument in app[verb].assemble_argument_collection() for name in argument.names}
    return f"; {SKIPPING} leaves such images out" if SKIPPING in known and SKIPPING not in sys.argv else ""


def _show_readings(error: Unclear) -> NoReturn:
    """The commands that would read the data: one in the line of the error, several in a line each."""
    commands = error.commands(["promptmlr", *sys.argv[1:]])
    if len(commands) == 1:
        _leave(f"{error.problem}; read it with: {commands[0]}", 2)
    sys.stderr.write(f"error: {error.problem}; choose how it is read:\n" + "".join(f"  {one}\n" for one in commands))
    sys.exit(2)


def _leave(message: str, code: int) -> NoReturn:
    let_first_speak()
    line = " ".join(message.split())
    sys.stderr.write(line + "\n" if code == INTERRUPTED else f"error: {line}\n")
    sys.exit(code)
