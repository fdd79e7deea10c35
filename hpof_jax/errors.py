"""The exception for input that a user can correct."""


class UserError(ValueError):
    """Wrong input; the message is one sentence that says what is wrong, where, and what to do.

    Programs print the message on standard error and exit with status 2. Any other exception is a defect.
    """
