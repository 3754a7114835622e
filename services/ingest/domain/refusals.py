"""Saying no, so that the sender knows what to change. Pure."""

from enum import StrEnum


class RefusalReason(StrEnum):
    """Every kind of refusal; programs branch on it, metrics count by it."""

    UNKNOWN_LINE = "unknown-line"
    INVALID_LINE = "invalid-line"
    PRODUCT_MISSING = "product-missing"
    SHARDS_SHRINK = "shards-shrink"
    PRECONDITION_FAILED = "precondition-failed"
    INVALID_ETAG = "invalid-etag"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    TOO_LARGE = "too-large"  # bytes or pixels
    TOO_SLOW = "too-slow"
    CUT_OFF = "cut-off"
    INVALID_FORM = "invalid-form"
    NO_IMAGE = "no-image"
    UNKNOWN_PARAMETER = "unknown-parameter"  # of a form; of an address it is refused before the upload begins
    REPEATED_PARAMETER = "repeated-parameter"
    INVALID_INTENT = "invalid-intent"
    INVALID_SERIAL = "invalid-serial"
    INVALID_KEY = "invalid-idempotency-key"
    INVALID_TIME = "invalid-time"
    NAIVE_TIME = "naive-time"
    FUTURE_TIME = "future-time"
    PAST_TIME = "past-time"
    NOT_AN_IMAGE = "not-an-image"  # from here: the reasons of ``ImageError``
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"
    KEY_REUSED = "idempotency-key-reused"
    CAPTURE_DIFFERS = "capture-differs"
    CAPTURE_IS_NORMAL = "capture-is-normal"
    ERASED = "forgotten"


class RequestRefusedError(Exception):
    """A request refused for good; a repeat would be refused again.

    The message says what happened with the value, what was done about it and what to change.
    """

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
