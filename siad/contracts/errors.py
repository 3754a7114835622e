"""The failures that have a named outcome. Any other exception is a bug and ends the process.

``docs/architecture.md`` has the table of outcomes: one for each exception, wherever it is raised.
"""


class PoisonError(Exception):
    """A message that can never be handled: it goes whole to the stage's dead-letter topic."""


class TransientError(Exception):
    """A dependency that is unavailable: the same work is retried, and nothing is skipped."""


class DeniedError(TransientError):
    """A dependency that denies access: the work pauses, readiness says why, and it resumes once access is back."""


class MissingError(Exception):
    """An object that the store does not have."""


class ConflictError(Exception):
    """A conditional write that lost its race: another writer was first, and nothing was changed."""


class CorruptError(Exception):
    """Bytes that differ from what their digest, size or format promises; they are refused."""


class OutOfMemoryError(TransientError):
    """Memory ran out, on the host or on the device: the same work is retried, and weights are not refused for it."""


class UnusableWeightsError(Exception):
    """Weights that cannot serve: they are refused until a release names them anew."""


class GoldenError(UnusableWeightsError):
    """Weights that do not reproduce the scores stored with them."""
