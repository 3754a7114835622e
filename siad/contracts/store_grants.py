"""Rights of each account on the bucket, by prefixes of keys.

Images and results are readable by every stage, since an event may refer to any of them. Passwords, keys and the audit
log are not. Each prefix has few writers, so that a stage that is taken over can neither release weights of another nor
undo what people decided.
"""

from dataclasses import dataclass
from typing import Final

from siad.contracts.keys import CONDITIONAL_PUT_KEY
from siad.contracts.topic_grants import ACCOUNTS, OPERATOR

_LEASES: Final = "pointers/leases/"
_AUDIT: Final = "access/audit/"
_KEYS: Final = "access/keys/"  # digests of API keys, which every stage checks
_OPEN: Final = (
    *("images/", "captures/", "normals/", "masks/", "corrections/", "thresholds/", "ledger/", "training-sets/"),
    *("parts/", "weights/", "checkpoints/", "run-requests/", "lines/", "pointers/", "backfills/", "stream-scores/"),
    *("drift/", "brakes/", "holds/", "commands/", "refits/", "quarantine/", "deletions/", "expiries/", "books/"),
    "trials/",
)
_RESTRICTED: Final = ("access/", "dead-letters/", "probes/")
PREFIXES: Final = (*_OPEN, *_RESTRICTED)  # of all objects
_WRITES: Final = {
    "ingest": ("images/", "captures/", "normals/", "lines/", "pointers/lines/", "books/", "expiries/", _LEASES),
    # with its scorer, which draws and fits
    "labeler": (
        *("masks/", "parts/", "weights/", "pointers/teacher/", "backfills/", "stream-scores/", "refits/"),
        *("brakes/", "holds/", "commands/", _LEASES),
    ),
    "console": ("corrections/", "thresholds/", "commands/", "access/", _LEASES),
    # with its jobs
    "trainer": (
        *("ledger/", "training-sets/", "checkpoints/", "run-requests/", "parts/", "weights/", "pointers/segmenter/"),
        *("commands/", "trials/", _LEASES),
    ),
    "inference": ("masks/", "drift/"),
    OPERATOR: PREFIXES,
}
_DELETES: Final = {
    "ingest": ("images/", "masks/", "captures/", "corrections/"),  # what is past its retention
    "console": ("corrections/",),  # of a capture that was erased meanwhile
    "trainer": ("ledger/", "checkpoints/"),  # files that were merged, checkpoints that were replaced
    OPERATOR: PREFIXES,
}


@dataclass(frozen=True, slots=True)
class StoreGrant:
    """Prefixes, or whole keys, on which an account may act.

    Every account may also list the keys of the bucket: without that right a store answers 403 for an object that does
    not exist.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    deletes: tuple[str, ...]


def store_grant_of(account: str) -> StoreGrant:
    """Return the rights of a stage, or of the operator.

    Raises:
        ValueError: for another account.
    """
    if account not in ACCOUNTS:
        msg = f"{account!r} is no account; they are {', '.join(ACCOUNTS)}"
        raise ValueError(msg)
    own = {"console": ("access/",), OPERATOR: _RESTRICTED}.get(account, (_KEYS,))
    written = _WRITES[account] if account in {"console", OPERATOR} else (*_WRITES[account], _AUDIT)
    return StoreGrant(
        reads=tuple(sorted((*_OPEN, *own, *(() if account == OPERATOR else (CONDITIONAL_PUT_KEY,))))),
        writes=tuple(sorted((*written, *(() if account == OPERATOR else (CONDITIONAL_PUT_KEY,))))),
        deletes=tuple(sorted(_DELETES.get(account, ()))),
    )
