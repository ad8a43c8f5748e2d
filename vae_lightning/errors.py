"""What ends a command: an error that the user can mend, or a signal."""

import signal


class UserError(Exception):
    """Something the user can mend. Its message names the key or file, what is wrong and what would be valid.

    The commands print it without a stack trace and exit with a code that is not 0.
    """


SAVED = "all is saved; the same command (without rerun=true) goes on from there"


class Interrupted(BaseException):
    """A signal asked the training to stop, and it did, between two batches, with everything saved.

    No ``Exception``: whoever goes on after errors, as a sweep does, must not go on after this.
    """

    def __init__(self, number: int, what_is_left: str = SAVED) -> None:
        super().__init__(f"{signal.Signals(number).name}: {what_is_left}")
        self.exit_code = 128 + number
        """By which a shell knows that a command was ended by a signal."""
