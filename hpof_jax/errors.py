"""The one exception for input that a user can put right."""


class UserError(ValueError):
    """Bad input; the message is one sentence that says what is wrong, where, and what to do.

    Entry points print it on standard error and exit with status 2; everything else that is raised is a defect.
    """
