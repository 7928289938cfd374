"""Help on one screen: options that a verb shares with others are listed by name; `--help --all` explains them."""

import textwrap
from typing import TYPE_CHECKING

from cyclopts.help import DefaultFormatter, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

__all__ = ["ALL", "LATER", "Short"]

ALL = "--all"
LEAST_WIDTH = 20
LATER = (
    "Backbone",
    "Training",
    "Labels that training sees",
    "Reading the data",
    "Stored regions",
    "Text of classes",
    "While it runs",
    "Archives in shards",
)
"""Headings of options that several verbs have, in the order in which help shows them."""


class Short(DefaultFormatter):
    """Names alone behind the headings of `LATER`.

    Attributes:
        shortened: whether there were any.
    """

    shortened = False

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: HelpPanel) -> None:
        """Print one heading with what belongs to it."""
        if panel.title not in LATER:
            super().__call__(console, options, panel)
            return
        self.shortened = True
        names = " ".join(name for entry in panel.entries for name in entry.names)
        line, width = f"{panel.title}: {names}", max(options.max_width, LEAST_WIDTH)
        console.print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False), highlight=False)
