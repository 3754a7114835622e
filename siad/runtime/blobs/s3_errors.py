"""Translation of S3 errors into the errors of the blob port.

=============================================  =============================================================
S3 says                                        the port raises
=============================================  =============================================================
404 (not of an upload), KeyTooLongError        ``MissingError``
409, 412                                       ``ConflictError``
401, 403; no or unusable credentials           ``DeniedError``: check the keys and the policy
403 RequestTimeTooSkewed                       ``DeniedError``: set the clock
408, 429, 5xx but 501; a lost or cut answer    ``TransientError``
no connection, TLS, OS and urllib3 errors      ``TransientError``
an answer that is not S3 (no ETag, not XML)    ``TransientError``
a checksum that does not match                 ``CorruptError``
any other status (3xx, 400, 405, 501, ...)     ``DeniedError``: check endpoint, region and what the store supports
any other error of botocore                    ``DeniedError``: check SIAD_STORE_*
=============================================  =============================================================

Denial is the default, since it loses nothing: the work pauses, readiness shows the text, and the work resumes by itself
once the setting, the policy or the store is corrected.
"""

from http.client import HTTPException
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own: names, refused connections, TLS
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    LoginError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
    UnknownCredentialError,
    UnknownTokenProviderError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from siad.contracts.errors import ConflictError, CorruptError, DeniedError, MissingError, TransientError

# Everything that boto3 and what lies under it may raise; LookupError: an answer without the field it must have.
S3_ERRORS: Final = (ClientError, BotoCoreError, ResponseParserError, HTTPError, HTTPException, OSError, LookupError)

_CONFLICT: Final = frozenset({409, 412})
_DENIED: Final = frozenset({401, 403})
_RETRY: Final = frozenset({408, 429})
_RETRY_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody", "NoSuchUpload"})  # by code: 400, 404 mean more
_IMPOSSIBLE_KEY_CODES: Final = frozenset({"KeyTooLongError", "XMinioInvalidObjectName"})
_NOT_IMPLEMENTED: Final = 501
_UNAVAILABLE: Final = (
    ConnectionError,
    HTTPClientError,  # time-outs, resets, answers cut short
    IncompleteReadError,
    CredentialRetrievalError,  # the service that issues credentials is unavailable
    MetadataRetrievalError,
    TokenRetrievalError,
)
_NO_CREDENTIALS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    NoAuthTokenError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    LoginError,
    UnknownCredentialError,
    UnknownTokenProviderError,
)
_CHECK_KEYS: Final = (
    "check SIAD_STORE_ACCESS_KEY, SIAD_STORE_SECRET_KEY, and that the bucket's policy allows GetObject, PutObject, "
    "DeleteObject and ListBucket (`siad store-policy` prints what each stage needs)"
)
_CHECK_STORE: Final = (
    "check SIAD_STORE_ENDPOINT_URL and SIAD_STORE_REGION, and that the store supports conditional puts, object tags "
    "and multipart uploads"
)

PortError = ConflictError | CorruptError | DeniedError | MissingError | TransientError


def translate(error: Exception, failure: str, *, endpoint: str) -> PortError:
    """Translate one of ``S3_ERRORS`` into an error of the blob port.

    Args:
        error: what boto3 raised.
        failure: operation, bucket and key, such as ``could not read s3://plant/images/1.png``.
        endpoint: where the store is.
    """
    if isinstance(error, ClientError):
        return _translate_answer(error, failure)
    if isinstance(error, (ChecksumError, FlexibleChecksumError)):
        return CorruptError(f"{failure}: {error}; the bytes were refused. Restore the object from a backup")
    if isinstance(error, _NO_CREDENTIALS):
        remedy = "set SIAD_STORE_ACCESS_KEY and SIAD_STORE_SECRET_KEY, or give this machine a role"
        return DeniedError(f"{failure}: {error}; {remedy}")
    if isinstance(error, BotoCoreError) and not isinstance(error, _UNAVAILABLE):
        return DeniedError(f"{failure}: {type(error).__name__}, {error}; check the settings SIAD_STORE_*")
    if isinstance(error, LookupError):
        return TransientError(f"{failure}: the answer of {endpoint} is not one of S3, it lacks {error}")
    return TransientError(f"store at {endpoint} is unavailable, {failure}: {error or type(error).__name__}")


def status_of(error: ClientError) -> int:
    """HTTP status of an answer; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """S3's error code; the status where the answer has no body."""
    return str(error.response.get("Error", {}).get("Code", status_of(error)))


def was_retried(error: ClientError) -> bool:
    """Whether boto3 repeated a request whose first attempt may have succeeded."""
    retries = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
    return retries > 0 and status_of(error) in {404, *_CONFLICT}


def _translate_answer(error: ClientError, failure: str) -> PortError:
    status, code = status_of(error), code_of(error)
    text = f"{failure}: {code}, {error.response.get('Error', {}).get('Message', 'no message')}"
    if (status == 404 and code not in _RETRY_CODES) or code in _IMPOSSIBLE_KEY_CODES:
        return MissingError(f"{text}; there is no such object or bucket")
    if status in _CONFLICT:
        return ConflictError(f"{text}; another writer was first, nothing was changed")
    if code == "RequestTimeTooSkewed":
        return DeniedError(f"{text}; set the clock of this machine")
    if status in _DENIED:
        return DeniedError(f"{text}; {_CHECK_KEYS}")
    if status in _RETRY or code in _RETRY_CODES or status < 300 or (status >= 500 and status != _NOT_IMPLEMENTED):
        return TransientError(text)  # below 300: an error inside an answer that began as a success
    return DeniedError(f"{text}; {_CHECK_STORE}")
