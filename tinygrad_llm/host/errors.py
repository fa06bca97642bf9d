"""The one exception that is meant for the person at the keyboard."""


class UserError(ValueError):
    """A mistake in what the user gave: missing data, a wrong flag, a file of another kind.

    Its message is complete by itself and names the way out, so the command line prints it without
    a traceback and exits with 2. A mistake of the calling code is a plain ValueError instead.
    """
