"""Object keys of trials, see ``siad.contracts.trials``."""

from siad.contracts.key_parts import checked_part
from siad.contracts.place import Place


def trials_prefix(line: str, product: str) -> str:
    """All records of trials of a line and product, in order."""
    return f"trials/{checked_part(line)}/{checked_part(product)}/"


def trial_key(line: str, product: str, number: int, record: str) -> str:
    """Record of the ``number``-th trial.

    ``spec``, ``canary``, ``order`` and ``end`` are write-once; ``pairs-shadow`` and ``pairs-canary`` are moved by
    conditional put.
    """
    return f"{trials_prefix(line, product)}{number:06d}/{checked_part(record)}.json"


def trial_of(key: str) -> int:
    """Return the number of the trial that a record belongs to."""
    return int(key.split("/")[3])


def every_trial_prefix() -> str:
    """All records of trials, of every line."""
    return "trials/"


def place_of_trial(key: str) -> Place:
    """Return the line and product of a trial's record."""
    _, line, product, _ = key.split("/", 3)
    return Place(line, product)
