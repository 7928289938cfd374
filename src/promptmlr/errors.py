"""What a person did or met that the program cannot go on with: one line, no traceback."""

__all__ = ["EnvironmentFault", "UserError"]


class UserError(Exception):
    """A mistake its user can mend. The message is one line: what, where, how to fix. Exit code 2."""


class EnvironmentFault(Exception):
    """The machine could not do it (disk full, network away, memory). One line, exit code 1."""
