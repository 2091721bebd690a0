"""What can go wrong, each with the exit status of the command line and a hint at what to do."""

from __future__ import annotations


class QprobeError(Exception):
    """An error that a person can act on.

    The message says what was asked and what was found; `hint` says what to do.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(QprobeError):
    """A given file, directory or option is wrong."""

    exit_code = 2


class PlanMismatchError(QprobeError):
    """A plan does not fit the module or, under `on_mismatch="error"`, the device."""

    exit_code = 2


class InfeasibleError(QprobeError):
    """No plan satisfies the limits that were given."""

    exit_code = 1


class UnavailableError(QprobeError):
    """Something that is needed to run is not there."""

    exit_code = 3


class CrashError(QprobeError):
    """Something that was run has taken the device from this process."""

    exit_code = 3
