"""The command line: one short file per verb. Nothing heavy is imported before a verb runs."""

import errno
import sys
from inspect import signature
from typing import Annotated

import typer

from promptmlr.cli.audit import audit
from promptmlr.cli.backbones import backbones
from promptmlr.cli.cache import cache
from promptmlr.cli.convert import convert
from promptmlr.cli.demo import demo
from promptmlr.cli.evaluate import evaluate
from promptmlr.cli.explain import explain
from promptmlr.cli.export import export
from promptmlr.cli.inspect import inspect
from promptmlr.cli.learning_curve import learning_curve
from promptmlr.cli.methods import methods
from promptmlr.cli.paper.compare import compare
from promptmlr.cli.paper.cost import cost
from promptmlr.cli.paper.experiment import experiment
from promptmlr.cli.paper.pretrain_scenes import pretrain_scenes
from promptmlr.cli.paper.probe_captions import probe_captions
from promptmlr.cli.paper.probe_text import probe_text
from promptmlr.cli.paper.reproduce import reproduce
from promptmlr.cli.predict import predict
from promptmlr.cli.push import push
from promptmlr.cli.runs import runs
from promptmlr.cli.serve import serve
from promptmlr.cli.suggest import suggest
from promptmlr.cli.train import train
from promptmlr.errors import EnvironmentFault, UnreadableImage, UserError

__all__ = ["app", "main"]

SKIPPING = "--skip-unreadable"
INTERRUPTED = 130  # what shells say of Ctrl-C, and typer

app = typer.Typer(
    name="promptmlr",
    help="Multi-label recognition from partial labels on a frozen CLIP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="Start here")(demo)
app.command(rich_help_panel="Your data")(inspect)
app.command(rich_help_panel="Your data")(convert)
app.command(rich_help_panel="Your data")(cache)
app.command(rich_help_panel="Your data")(suggest)
app.command(rich_help_panel="Your data")(audit)
app.command(rich_help_panel="Train and use")(train)
app.command(rich_help_panel="Train and use")(evaluate)
app.command(rich_help_panel="Train and use")(predict)
app.command("learning-curve", rich_help_panel="Train and use")(learning_curve)
app.command(rich_help_panel="Train and use")(serve)
app.command(rich_help_panel="Train and use")(export)
app.command(rich_help_panel="Train and use")(push)
app.command(rich_help_panel="What there is")(runs)
app.command(rich_help_panel="What there is")(methods)
app.command(rich_help_panel="What there is")(backbones)
app.command(rich_help_panel="The paper")(compare)
app.command(rich_help_panel="The paper")(reproduce)
app.command(rich_help_panel="The paper")(cost)
app.command(rich_help_panel="The paper")(explain)
app.command("probe-text", rich_help_panel="The paper")(probe_text)
app.command("probe-captions", rich_help_panel="The paper")(probe_captions)
app.add_typer(experiment, name="experiment", rich_help_panel="The paper")
app.command("pretrain-scenes", rich_help_panel="The paper")(pretrain_scenes)


def _print_version(wanted: bool) -> None:
    if wanted:
        from promptmlr import __version__

        typer.echo(f"promptmlr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every failure a person can meet is one line and an exit code.

    2: a mistake of the user; 1: the environment (disk, memory, network); 130: Ctrl-C.
    """
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            _leave("interrupted", INTERRUPTED)
        sys.exit(code)
    except typer.Abort:
        _leave("interrupted", INTERRUPTED)
    except typer.TyperException as error:  # a wrong command line
        if not error.format_message():  # no command at all: the help was printed
            sys.exit(2)
        _leave(f"{error.format_message().replace('Value error, ', '')} (see --help)", 2)
    except UnreadableImage as error:
        _leave(str(error) + _way_around(), 2)
    except UserError as error:
        _leave(str(error), 2)
    except EnvironmentFault as error:
        _leave(str(error), 1)
    except MemoryError:
        _leave("out of memory; use a smaller --batch-size or --image-size", 1)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _leave(f"{str(error.filename)[:80]}…: {error.strerror}; give a shorter path", 2)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE):
            raise
        _leave(f"{error.filename or 'a file'}: {error.strerror}", 1)
    except RuntimeError as error:
        if not any(words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")):
            raise
        _leave("out of memory; use a smaller --batch-size or --image-size", 1)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)


def _way_around() -> str:
    """How the verb that was called leaves unreadable images out, if it can and was not told to."""
    verb = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "").replace("-", "_")
    called = (one.callback for one in app.registered_commands if one.callback and one.callback.__name__ == verb)
    can = any("skip_unreadable" in signature(one).parameters for one in called) and SKIPPING not in sys.argv
    return f"; {SKIPPING} leaves such images out" if can else ""


def _leave(message: str, code: int) -> None:
    line = " ".join(message.split())
    sys.stderr.write(line + "\n" if code == INTERRUPTED else f"error: {line}\n")
    sys.exit(code)
