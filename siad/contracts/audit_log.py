"""Entries of the audit log."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from siad.contracts.json_codec import JsonRecord, JsonStyle


class AuditAction(StrEnum):
    """What happened."""

    SIGN_IN = "sign-in"
    SIGN_IN_REFUSED = "sign-in-refused"
    SESSION_ENDED = "session-ended"
    REQUEST = "request"  # one that changes lines, weights, data or access
    REQUEST_REFUSED = "request-refused"
    ACCOUNT_ADDED = "account-added"
    ROLE_CHANGED = "role-changed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a word, not a password
    ACCOUNT_DISABLED = "account-disabled"
    ACCOUNT_ENABLED = "account-enabled"
    KEY_MADE = "key-made"
    KEY_REVOKED = "key-revoked"
    ERASED = "erased"  # captures or a line, corrections included
    TAINTED = "tainted"  # put into quarantine
    ROLLED_BACK = "rolled-back"
    RUN_REQUESTED = "run-requested"
    RUN_CANCELLED = "run-cancelled"
    LEARNING_HELD = "learning-held"
    LEARNING_RESUMED = "learning-resumed"
    TRIAL_PROMOTED = "trial-promoted"
    TRIAL_DROPPED = "trial-dropped"

    @property
    def is_refusal(self) -> bool:
        """Whether nothing was done."""
        return self in (AuditAction.SIGN_IN_REFUSED, AuditAction.REQUEST_REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry(JsonRecord):
    """One entry; write-once."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.COMPACT

    entry_id: str  # random
    at: datetime
    action: AuditAction
    actor: str  # person, key, or user of the command line
    subject: str  # what it was done to: an account, key, line or address
    detail: str = ""
    stage: str = ""  # that answered; empty: the command line
    address: str = ""  # of the sender, where it is known
