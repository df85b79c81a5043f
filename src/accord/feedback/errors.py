"""The one error that a person is meant to read."""


class AccordError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and exits with status 1.
    """
