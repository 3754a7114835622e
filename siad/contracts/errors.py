"""Errors with a named outcome.

Any other exception is a bug and ends the process. ``siad.runtime.outcomes`` has the table of outcomes: one for each
exception, wherever it is raised.
"""


class PoisonError(Exception):
    """Message that can never be handled.

    It goes whole to the stage's dead-letter topic.
    """


class TransientError(Exception):
    """Unavailable dependency: the same work is retried, nothing is skipped."""


class DeniedError(TransientError):
    """Denied access to a dependency.

    The work pauses, readiness says why, and it resumes once access is granted.
    """


class MissingError(Exception):
    """Object or bucket that the store does not have."""


class ConflictError(Exception):
    """Conditional write that lost its race; nothing was changed."""


class CorruptError(Exception):
    """Bytes that differ from their digest, size or format; they are refused."""


class OutOfMemoryError(TransientError):
    """Lack of memory on the host or the device.

    The same work is retried; weights are not refused for it.
    """


class UnusableWeightsError(Exception):
    """Weights that can't serve; refused until a release names them anew."""


class GoldenError(UnusableWeightsError):
    """Weights that do not reproduce the scores stored with them."""


class BusFailedError(RuntimeError):
    """Bus that this process can't use any more.

    The process ends and is restarted; no record counts as failed.
    """
