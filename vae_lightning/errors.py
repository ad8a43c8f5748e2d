"""The one kind of error that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend. Its message names the key or file, what is wrong and what would be valid.

    The commands print it without a stack trace and exit with a code that is not 0.
    """
