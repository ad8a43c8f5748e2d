"""What ends a command: an error that the user can mend, or a signal."""

import signal
from collections.abc import Iterable
from enum import StrEnum


class Code(StrEnum):
    """What kind of fault a :class:`UserError` tells of."""

    INVALID = "invalid"
    """A value of the wrong type, out of range, or none of those that are valid."""
    UNKNOWN_KEY = "unknown_key"
    MISSING = "missing"
    """A key, a file or a folder that must be there is not."""
    INCOMPATIBLE = "incompatible"
    """Each choice is valid by itself; together they are not defined."""
    INCOMPLETE_PART = "incomplete_part"
    """A class lacks members that its role needs."""
    CANNOT_BUILD = "cannot_build"
    """A class or function refused its arguments, or cannot be imported."""
    REFUSED = "refused"
    """Something found on the disk would run code."""
    CHANGED = "changed"
    """A run's saved config or curves are not those it was begun with."""
    LOCKED = "locked"
    """Another process owns the run."""
    DAMAGED = "damaged"
    """A file is torn or altered."""
    CANNOT_WRITE = "cannot_write"
    UNAVAILABLE = "unavailable"
    """Data, a server, a device or a program cannot be had here."""
    NOT_FINITE = "not_finite"
    """The training left the numbers."""
    FAILED = "failed"
    """Jobs, or a process that was started, failed."""
    NOT_FOUND = "not_found"
    """There is nothing to show, to compare or to continue."""
    NOT_SAME = "not_same"
    """Two runs that should be the same differ."""


class UserError(Exception):
    """Something the user can mend; the commands print it without a stack trace and exit with a code that is not 0.

    The message names for a person the key or file, what is wrong and what would be valid; ``code`` and ``about``, the
    full names of the config keys or the paths of the files at fault, are for a program.
    """

    def __init__(self, message: str, code: Code = Code.INVALID, about: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.about = tuple(map(str, about))


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


SAVED = "all is saved; the same command (without rerun=true) goes on from there"


class Interrupted(BaseException):
    """A signal asked the training to stop, and it did, between two batches, with everything saved.

    No ``Exception``: whoever goes on after errors, as a sweep does, must not go on after this.
    """

    def __init__(self, number: int, what_is_left: str = SAVED) -> None:
        super().__init__(f"{signal.Signals(number).name}: {what_is_left}")
        self.exit_code = 128 + number
        """By which a shell knows that a command was ended by a signal."""
