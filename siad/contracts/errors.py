"""The fates a failure can have. Anything else that is raised is a bug and ends the process."""


class PoisonError(Exception):
    """This message can never work: it is buried whole in the stage's dead-letter topic."""


class TransientError(Exception):
    """Store, broker or Ray is away: the same message is tried again, nothing is skipped."""


class MissingError(Exception):
    """The store has nothing under this key."""


class ConflictError(Exception):
    """A conditional write lost its race: somebody else wrote first, and nothing was changed."""


class CorruptError(Exception):
    """Bytes are not what their digest or size says; they are refused."""
